"""A mesh's own looks: colours of materials and vertices, and pictures with their seams and repeats on one sheet."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from core.io.appearance import appearance, displayed, linear
from core.io.mesh.source_mesh import build_source_mesh
from core.sequence import Material, MeshPart, Texture

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
UV = SQUARE[:, :2]
LEFT, RIGHT = np.array([[0, 1, 2]], np.int32), np.array([[0, 2, 3]], np.int32)


def quarters() -> bytes:
    """Four colours, red above green on the left, blue above white on the right."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16], pixels[16:, :16], pixels[:16, 16:], pixels[16:, 16:] = (
        (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255),
    )  # fmt: skip
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def textured(**about: object) -> Material:
    return Material(base_color=(1, 1, 1, 1), base_color_texture=Texture(quarters(), **about))  # type: ignore[arg-type]


def at(picture: np.ndarray, uv: np.ndarray) -> tuple[int, ...]:
    """The pixel under a texture coordinate whose origin is at the bottom left."""
    row = min(int((1 - uv[1]) * len(picture)), len(picture) - 1)
    return tuple(picture[row, min(int(uv[0] * picture.shape[1]), picture.shape[1] - 1)].tolist())


def inner(corners: np.ndarray) -> np.ndarray:
    """Places inside a face near each of its corners."""
    return corners + 0.1 * (corners.mean(axis=0) - corners)


def test_a_mesh_without_looks_has_none() -> None:
    assert appearance(build_source_mesh(SQUARE, np.concatenate([LEFT, RIGHT]))) is None


def test_each_part_has_the_colour_of_its_material_as_a_screen_shows_it() -> None:
    parts = [MeshPart("a", LEFT, Material(base_color=(0.5, 0, 0, 1))), MeshPart("b", RIGHT, None)]
    looks = appearance(build_source_mesh(SQUARE, parts=parts, path="a.glb"))
    assert looks is not None and looks.face_colors is not None
    assert looks.face_colors[0] == pytest.approx([0.7354, 0, 0], abs=1e-3)
    assert linear(displayed(0.3)) == pytest.approx(0.3)


def test_colours_of_vertices_are_multiplied_by_the_material_and_sharp_where_the_file_is() -> None:
    colors = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1]], float)
    points = np.concatenate([SQUARE[LEFT[0]], SQUARE[RIGHT[0]]])
    mesh = build_source_mesh(points, np.arange(6).reshape(2, 3), colors=colors, path="a.ply")
    looks = appearance(mesh)
    assert looks is not None and looks.face_colors is not None
    assert looks.face_colors.tolist() == [[1, 0, 0], [0, 0, 1]]
    shaded = build_source_mesh(SQUARE, np.concatenate([LEFT, RIGHT]), colors=np.eye(4, 3), path="a.ply")
    looks = appearance(shaded)
    assert looks is not None and looks.vertex_colors is not None
    assert looks.vertex_colors.tolist() == np.eye(4, 3).tolist()


def test_a_picture_lies_on_the_surface_the_right_way_up() -> None:
    parts = [MeshPart("a", LEFT, textured()), MeshPart("b", RIGHT, textured())]
    looks = appearance(build_source_mesh(SQUARE, parts=parts, uv=UV, path="a.glb"))
    assert looks is not None and looks.image is not None and looks.corner_uv is not None
    bottom_left, bottom_right, top_right = (at(looks.image, uv) for uv in inner(looks.corner_uv[:3]))
    assert bottom_left == (0, 255, 0) and bottom_right == (255, 255, 255) and top_right == (0, 0, 255)
    assert at(looks.image, inner(looks.corner_uv[3:])[2]) == (255, 0, 0)


@pytest.mark.parametrize("wrap, expected", [("repeat", (0, 255, 0)), ("mirror", (0, 0, 255))])
def test_a_picture_repeats_and_mirrors(wrap: str, expected: tuple[int, ...]) -> None:
    material = textured(wrap=(wrap, wrap))
    parts = [MeshPart("a", np.concatenate([LEFT, RIGHT]), material)]
    looks = appearance(build_source_mesh(SQUARE, parts=parts, uv=2 * UV + [0.0, 0.0], path="a.glb"))
    assert looks is not None and looks.image is not None and looks.corner_uv is not None
    corners = looks.corner_uv.reshape(2, 3, 2)[0]
    middle = (corners[0] + corners[2]) / 2  # texture coordinate 1, 1 of the file
    step = 0.1 * (corners[2] - corners[0])
    assert at(looks.image, middle + step) == expected


def test_seams_keep_both_their_coordinates_and_plain_parts_their_colour() -> None:
    seam = np.array([[[0.6, 0.1], [0.9, 0.1], [0.9, 0.4]]], np.float32)
    parts = [MeshPart("a", LEFT, textured(), seam), MeshPart("b", RIGHT, Material(base_color=(0, 0, 0, 1)))]
    looks = appearance(build_source_mesh(SQUARE, parts=parts, uv=UV, path="a.obj"))
    assert looks is not None and looks.image is not None and looks.corner_uv is not None
    assert {at(looks.image, uv) for uv in looks.corner_uv[:3]} == {(255, 255, 255)}
    assert {at(looks.image, uv) for uv in looks.corner_uv[3:]} == {(0, 0, 0)}


def test_a_damaged_picture_leaves_the_material_s_colour() -> None:
    broken = Material(base_color=(1, 0, 0, 1), base_color_texture=Texture(b"no picture"))
    looks = appearance(build_source_mesh(SQUARE, parts=[MeshPart("a", LEFT, broken)], uv=UV, path="a.glb"))
    assert looks is not None and looks.face_colors is not None
    assert looks.face_colors.tolist() == [[1, 0, 0]]


def test_faces_that_welding_dropped_do_not_shift_the_others() -> None:
    flat = np.array([[0, 1, 1]], np.int32)
    red, blue = Material(base_color=(1, 0, 0, 1)), Material(base_color=(0, 0, 1, 1))
    parts = [MeshPart("a", np.concatenate([flat, LEFT]), red), MeshPart("b", RIGHT, blue)]
    looks = appearance(build_source_mesh(SQUARE, parts=parts))
    assert looks is not None and looks.face_colors is not None
    assert looks.face_colors.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_transparency_is_told_by_face_and_metal_by_most_of_the_surface() -> None:
    mesh = build_source_mesh(SQUARE, np.concatenate([LEFT, RIGHT]))
    glass = Material(base_color=(1, 1, 1, 0.25), alpha_mode="BLEND")
    cut_out = Material(base_color=(1, 1, 1, 0.25), alpha_mode="MASK")
    steel = Material(metallic=1.0, base_color=(1, 1, 1, 0.25))

    def looks(left: Material, right: Material):
        found = appearance(replace(mesh, parts=(MeshPart("a", LEFT, left), MeshPart("b", RIGHT, right))))
        assert found is not None
        return found

    np.testing.assert_allclose(looks(glass, steel).opacity, [0.25, 1.0])
    np.testing.assert_allclose(looks(cut_out, glass).opacity, [0.0, 0.25])
    assert looks(steel, steel).opacity is None and looks(steel, steel).finish == "metal"
    assert looks(Material(roughness=0.1), Material(roughness=0.1)).finish == "glossy"
    assert looks(Material(), Material()).finish == "plain"


@pytest.mark.parametrize(("mode", "expected"), [("OPAQUE", None), ("BLEND", (0.5, 0.125)), ("MASK", (1.0, 0.25))])
def test_the_transparency_of_a_picture_counts_with_its_material(
    mode: str, expected: tuple[float, float] | None
) -> None:
    pixels = np.full((32, 32, 4), 255, np.uint8)
    pixels[:, 16:, 3] = 0  # the right half is not there
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    material = Material(base_color=(1, 1, 1, 0.5), base_color_texture=Texture(file.getvalue()), alpha_mode=mode,  # type: ignore[arg-type]
                        alpha_cutoff=0.4)  # fmt: skip
    # One face lies in the left half, of the other a quarter does.
    vertices = np.array([[0, 0, 0], [0.5, 0, 0], [0.5, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]], float)
    faces = np.arange(6, dtype=np.int32).reshape(2, 3)
    mesh = build_source_mesh(vertices, parts=[MeshPart("a", faces, material)], uv=vertices[:, :2])
    looks = appearance(mesh)
    assert looks is not None and looks.image is not None and looks.image.shape[-1] == 3
    if expected is None:
        assert looks.opacity is None
    else:
        assert looks.opacity is not None and looks.opacity == pytest.approx(expected, abs=0.05)
