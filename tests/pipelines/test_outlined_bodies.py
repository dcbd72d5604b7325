"""Bodies for images: the one with this outline is found, bent to it, and follows it."""

from __future__ import annotations

import numpy as np

from core.geometry.binding import mesh_components
from core.geometry.image_camera import camera_axes
from core.pipelines.body_search import BodyPoses, PlacedBody
from core.pipelines.outline_fit import bend_to_outline, follow_outlines
from core.pipelines.outline_search import ImageOutline, drawn_by_camera, find_outlined
from core.pipelines.outlined_bodies import outlined_shapes, outlines_of

from ..geometry.bodies import capsule
from .test_scan_bodies import bent, poses, turn  # noqa: F401  a fixture

FACES = capsule()[1]
CELLS = 96


def outlined(vertices: np.ndarray) -> ImageOutline:
    mask = drawn_by_camera(vertices, FACES, CELLS).face >= 0
    return ImageOutline(mask, np.where(mask, 0.5, 0.0))


def images(tracks: np.ndarray) -> np.ndarray:
    grey = np.stack([255 * outlined(vertices).mask for vertices in tracks]).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def shown(vertices: np.ndarray, faces: np.ndarray = FACES) -> np.ndarray:
    return drawn_by_camera(vertices, faces, CELLS).face >= 0


def test_the_body_with_this_outline_comes_first(poses: BodyPoses) -> None:  # noqa: F811
    seen = outlined(bent(1.0) @ turn(0.9).T)
    first, *_ = find_outlined(poses, seen, 4)
    assert first.name == "sausage"
    assert overlap(shown(first.vertices, first.faces), seen.mask) > 0.8
    assert first.misfit == min(body.misfit for body in find_outlined(poses, seen, 4))


def test_no_body_without_an_outline(poses: BodyPoses) -> None:  # noqa: F811
    nothing = np.zeros((1, CELLS, CELLS, 3), dtype=np.uint8)
    assert outlined_shapes(poses, outlines_of(nothing), 1, 32) == []


def test_a_body_is_bent_to_the_outline_in_the_picture_only() -> None:
    seen = outlined(bent(0.8))
    start = bent(0.3)
    (found,) = bend_to_outline([PlacedBody("sausage", start, FACES, 0.0)], seen)
    assert overlap(shown(found.vertices), seen.mask) > max(0.85, overlap(shown(start), seen.mask) + 0.05)
    deep = (found.vertices - start) @ camera_axes()[2]
    across = (found.vertices - start) @ camera_axes()[:2].T
    assert np.abs(deep).mean() < np.linalg.norm(across, axis=1).mean()


def test_what_is_found_follows_the_outlines() -> None:
    tracks = np.stack([bent(0.8) + np.array([0.02, 0.01, 0.0]) * frame for frame in range(5)])
    outlines = [outlined(vertices) for vertices in tracks]
    (found,) = bend_to_outline([PlacedBody("sausage", bent(0.8), FACES, 0.0)], outlines[0])
    moved = follow_outlines(found, outlines)
    assert overlap(shown(moved[-1]), outlines[-1].mask) > 0.85
    blind = follow_outlines(found, [outlines[0], ImageOutline(np.zeros_like(outlines[0].mask), outlines[0].grey)])
    assert np.array_equal(blind[0], blind[1])


def test_shapes_for_pictures_are_whole_and_tracked(poses: BodyPoses) -> None:  # noqa: F811
    tracks = np.stack([(bent(1.0 - 0.05 * frame)) @ turn(0.9).T for frame in range(3)])
    found = outlined_shapes(poses, outlines_of(images(tracks)), 2, 32)
    assert len(found) == 2
    for shape in found:
        assert len(np.unique(mesh_components(shape.faces, len(shape.vertices)))) == 1
        assert shape.tracks.shape == (3, 512, 3)
    assert overlap(shown(found[0].vertices, found[0].faces), outlined(tracks[0]).mask) > 0.75
