"""What a mesh looks like in the view: its own colours and images, the map of stretch, and what is remembered."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest
from PIL import Image

from core.sequence import Material, MeshPart, SourceMesh, Texture
from m2v_studio.document import commands
from m2v_studio.document.looks import first_color, own_looks
from m2v_studio.document.settings import load_settings
from m2v_studio.document.state import Document
from m2v_studio.driver import Driver
from m2v_studio.view.strain import Strain, strain_top

from ..studio.shapes import ball
from .hands import generate, radio_at

RED, BLUE = (1.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)


def halves() -> SourceMesh:
    """A ball with a red upper and a blue lower half."""
    mesh = ball()
    upper = mesh.vertices[mesh.faces].mean(axis=1)[:, 1] > mesh.vertices[:, 1].mean()
    faces = np.concatenate([mesh.faces[upper], mesh.faces[~upper]])
    parts = (
        MeshPart("up", mesh.faces[upper], Material(base_color=RED)),
        MeshPart("down", mesh.faces[~upper], Material(base_color=BLUE)),
    )
    return replace(mesh, faces=faces, parts=parts)


def pictured() -> SourceMesh:
    """The same in one material with an image, red above and blue below, and coordinates by height."""
    pixels = np.zeros((64, 8, 3), np.uint8)
    pixels[:32, :, 0], pixels[32:, :, 2] = 255, 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    mesh = ball()
    height = mesh.vertices[mesh.file_to_vertex][:, 1]
    uv = np.stack([np.full_like(height, 0.5), (height - height.min()) / np.ptp(height)], axis=1).astype(np.float32)
    material = Material(base_color=(1, 1, 1, 1), base_color_texture=Texture(file.getvalue()))
    return replace(mesh, uv=uv, parts=(MeshPart("all", mesh.faces, material),))


def seen(driver: Driver, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour of the upper and of the lower half of the figure."""
    with Image.open(driver.screenshot(folder / "view.png", panels=False, fine=False)) as picture:
        pixels = np.asarray(picture.convert("RGB"), float)
    places = driver.app.viewport
    assert places.projection is not None
    at, _ = places.projection.project(places.to_view(places.figures[0], places.figures[0].positions))
    low, high = at.min(axis=0), at.max(axis=0)
    x = round((low[0] + high[0]) / 2)
    rows = [round(low[1] + share * (high[1] - low[1])) for share in (0.25, 0.75)]
    return tuple(pixels[row - 4 : row + 4, x - 4 : x + 4].mean(axis=(0, 1)) for row in rows)  # type: ignore[return-value]


@pytest.mark.parametrize("mesh", [halves, pictured])
def test_materials_and_pictures_show_the_right_way_up(driver: Driver, tmp_path: Path, mesh: object) -> None:
    driver.app.studio.do("open", commands.open_source, mesh())  # type: ignore[operator]
    driver.settle()
    above, below = seen(driver, tmp_path)
    assert above[0] > above[2] + 60 and below[2] > below[0] + 60
    generate(driver)
    driver.app.studio.show(commands.set_color, "own")
    driver.tick(2)
    above, below = seen(driver, tmp_path)
    assert above[0] > above[2] + 60 and below[2] > below[0] + 60
    driver.app.studio.show(commands.set_color, "none")
    driver.tick(2)
    above, below = seen(driver, tmp_path)
    assert np.abs(above - below).max() < 60


def test_stretch_is_seen_where_the_surface_is_pulled(driver: Driver) -> None:
    generate(driver)
    driver.app.studio.show(commands.set_color, "stretch")
    driver.app.studio.show(commands.set_time, float(driver.app.studio.state.document.frames - 1))
    driver.tick(2)
    figure = driver.app.viewport.figures[0]
    assert figure.heat is not None and figure.heat_max >= figure.heat.max() * 0.5 > 0


def test_strain_is_the_change_of_the_edges_around_a_vertex() -> None:
    rest = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], float)
    strain = Strain(rest, np.array([[0, 1, 2]], np.int32))
    moved = rest.copy()
    moved[1, 0] = 1.5
    diagonal = abs(np.hypot(1.5, 1.0) / np.sqrt(2) - 1)
    assert strain.at(moved) == pytest.approx([0.25, (0.5 + diagonal) / 2, diagonal / 2, 0.0], abs=1e-6)
    assert strain_top([strain], [np.stack([rest, moved])]) == pytest.approx((0.5 + diagonal) / 2, rel=0.02)


def test_show_remembers_what_was_chosen(driver: Driver) -> None:
    generate(driver)
    driver.click(radio_at(driver, "stretch"))
    assert driver.app.studio.state.view.color == "stretch"
    assert load_settings().color == "stretch"
    assert first_color(Document(source=ball()), "stretch") == "stretch"


def test_a_mesh_of_many_colours_is_shown_in_them_and_a_plain_one_in_seed_colours() -> None:
    assert first_color(Document(source=halves()), "") == "own"
    assert first_color(Document(source=ball()), "") == "none" and own_looks(ball()) is None
    assert first_color(Document(source=ball()), "own") == "none"
    assert first_color(Document(), "own") == "none"


def test_a_glass_half_lets_the_background_through_and_metal_shines(driver: Driver, tmp_path: Path) -> None:
    plain = halves()
    opaque = _looked_at(driver, plain, tmp_path)
    glass = Material(base_color=(1.0, 0.0, 0.0, 0.2), alpha_mode="BLEND")
    seen_through = _looked_at(driver, _with_material(plain, glass), tmp_path)
    assert driver.app.viewport.transparent
    background = np.array([230, 233, 237])
    apart = [np.abs(upper - background).mean() for upper, _ in (opaque, seen_through)]
    assert apart[1] < 0.7 * apart[0], "the upper half is nearly the background"
    assert np.abs(opaque[1] - seen_through[1]).max() < 25, "the lower half is as it was"
    steel = Material(base_color=(0.6, 0.6, 0.6, 1.0), metallic=1.0)
    metal = replace(plain, parts=tuple(replace(part, material=steel) for part in plain.parts))
    _looked_at(driver, metal, tmp_path)
    shown = driver.app.viewport._shown["source"].mesh
    assert shown.get_material() == "candy" and not driver.app.viewport.transparent
    _looked_at(driver, plain, tmp_path)
    assert driver.app.viewport._shown["source"].mesh.get_material() == "clay"


def _with_material(mesh: SourceMesh, material: Material) -> SourceMesh:
    """The upper half of another material."""
    return replace(mesh, parts=(replace(mesh.parts[0], material=material), *mesh.parts[1:]))


def _looked_at(driver: Driver, mesh: SourceMesh, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    driver.app.studio.do("open", commands.open_source, mesh)
    driver.settle()
    return seen(driver, folder)


def test_a_motions_name_is_whole_in_a_narrow_panel(driver: Driver) -> None:
    generate(driver)
    size = driver.app._window()
    seen: list[str] = []
    original = psim.TextColored
    driver.resize((720, 900))
    psim.TextColored = lambda color, text: (seen.append(text), original(color, text))[1]  # type: ignore[assignment]
    try:
        driver.tick(1, 0.0)
    finally:
        psim.TextColored = original  # type: ignore[assignment]
        driver.resize(size)
    assert "from the handles" in " ".join(seen)
