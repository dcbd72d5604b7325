"""The real window: export, errors, unsaved work, other meshes, text size and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from core.io.export_formats import FORMATS
from core.io.gltf.scene import GltfScene
from m2v_studio.document import commands
from m2v_studio.driver import Driver
from m2v_studio.view.actions import BY_NAME

from ..studio.shapes import write_ball
from .conftest import WINDOW
from .hands import CTRL, add_and_drag, drawn_at, finish, front_vertex, generate, item_at, rest


def test_the_export_dialog_writes_the_file(driver: Driver, tmp_path: Path) -> None:
    generate(driver)
    app = driver.app
    driver.key(psim.ImGuiKey_E, CTRL)
    assert app.context.export_open
    driver.key(psim.ImGuiKey_Escape)
    assert not app.context.export_open
    driver.key(psim.ImGuiKey_E, CTRL)
    app.export_dialog.place.path = str(tmp_path / "out" / "motion.glb")
    driver.tick(2)
    app.export_dialog._export(app.context)
    driver.until(lambda: not app.studio.tasks.busy)
    assert app.studio.state.notice is None, app.studio.state.notice
    assert (tmp_path / "out" / "motion.glb").stat().st_size > 1000


def test_a_file_that_cannot_be_read_is_a_dialog_that_closes(driver: Driver, tmp_path: Path) -> None:
    studio = driver.app.studio
    (tmp_path / "bad.glb").write_bytes(b"not a mesh")
    studio.open_path(tmp_path / "bad.glb")
    driver.until(lambda: studio.state.notice is not None)
    driver.tick()
    assert studio.state.notice is not None and "bad.glb" in studio.state.notice.message
    before = studio.state.document
    driver.key(psim.ImGuiKey_Delete)
    driver.key(psim.ImGuiKey_Escape)
    assert studio.state.notice is None and studio.state.document is before


def test_a_fault_while_drawing_is_a_dialog_and_the_window_goes_on(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver.app.samples_panel, "draw", lambda app: 1 / 0)
    driver.tick(3)
    monkeypatch.undo()
    driver.tick(3)
    notice = driver.app.studio.state.notice
    assert notice is not None and "ZeroDivisionError" in notice.detail
    driver.key(psim.ImGuiKey_Enter)
    assert driver.app.studio.state.notice is None


def test_unsaved_work_is_asked_about_and_saved(driver: Driver, tmp_path: Path) -> None:
    app, studio = driver.app, driver.app.studio
    add_and_drag(driver)
    finish(driver)
    rest(driver)
    driver.key(psim.ImGuiKey_Q, CTRL)
    assert studio.ask is not None and not app.context.closing
    driver.key(psim.ImGuiKey_Escape)
    assert studio.ask is None and not app.context.closing
    studio.save(tmp_path / "work")
    driver.until(lambda: studio.state.saved is studio.state.document)
    assert (tmp_path / "work.m2v").exists()
    driver.key(psim.ImGuiKey_Q, CTRL)
    assert app.context.closing


def test_opening_another_mesh_replaces_the_first(driver: Driver, tmp_path: Path) -> None:
    studio = driver.app.studio
    driver.click(driver.at_vertex(front_vertex(driver)))
    studio.open_path(write_ball(tmp_path / "other.obj"), guard=False)
    driver.until(
        lambda: studio.state.document.source is not None and studio.state.document.source.name == "other", 30.0
    )
    driver.settle()
    assert studio.state.document.handles == () and not studio.session.past
    assert str(tmp_path / "other.obj") in studio.settings.recent[0]


def test_large_text_gives_way_in_a_small_window(driver: Driver) -> None:
    generate(driver)
    driver.app.context.set_text_scale(2.0)
    driver.tick(3)
    state = driver.app.studio.state
    assert state.notice is None and "140 %" in state.message
    assert psim.GetStyle().FontScaleMain == pytest.approx(660 / 470)
    # The controls at the edges of their panels are drawn in full.
    for label, name in (("Generate 4 motions", "left"), ("Export…", "right"), ("Overlay", "right")):
        (left, top), (right, bottom) = drawn_at(driver, label)
        panel = driver.app._regions(*WINDOW)[name]
        assert panel.x <= left and right <= panel.x + panel.width and right - left > psim.CalcTextSize(label)[0]
        assert panel.y <= top and bottom <= panel.y + panel.height
    driver.app.context.set_text_scale(1.0)
    driver.tick(3)


def test_a_picture_shows_the_creature_in_its_colour(driver: Driver, tmp_path: Path) -> None:
    from PIL import Image

    generate(driver)
    driver.key(psim.ImGuiKey_1)
    driver.app.studio.show(commands.set_time, 8.0)
    driver.settle()
    middle = driver.at_vertex(front_vertex(driver, 8))
    path = driver.screenshot(tmp_path / "window.png", fine=False)
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=int)
    x, y = (round(side) for side in middle)
    patch = pixels[y - 4 : y + 4, x - 4 : x + 4].reshape(-1, 3).mean(0)
    assert patch[1] > patch[0] + 40, "the first result is green"
    panel = pixels[-200:-100, 5:60].reshape(-1, 3)
    assert np.median(panel) > 235, "panels are light"


def test_a_rig_of_all_seeds_is_one_file_with_an_action_each(driver: Driver, tmp_path: Path) -> None:
    generate(driver)
    app = driver.app
    assert not app.context.export_rig
    BY_NAME["export_rig"].run(app.context)
    driver.tick(2)
    assert app.context.export_open and app.context.export_rig
    assert app.export_dialog.place.path.endswith("ball-rig.glb")
    app.export_dialog.place.path = str(tmp_path / "rig.glb")
    app.export_dialog.every = True
    driver.click(item_at(driver, "Button", "Not used##borrowed"))  # they take longest
    app.export_dialog._export(app.context)
    app.export_dialog.every = False
    driver.until(lambda: not app.studio.tasks.busy, 120.0)
    assert app.studio.state.notice is None, app.studio.state.notice
    assert "bones" in app.studio.state.message
    assert len(GltfScene(tmp_path / "rig.glb").clips) == 4


def test_formats_without_bones_write_vertices(driver: Driver) -> None:
    generate(driver)
    app = driver.app
    app.context.open_export(rig=True)
    driver.tick(2)
    app.export_dialog._choose(list(FORMATS).index(".pc2"))
    driver.tick(2)
    assert not app.context.export_rig and app.export_dialog.place.path.endswith("ball-motion.pc2")
    app.export_dialog._choose(0)
    app.context.export_open = False


def test_a_rig_takes_borrowed_motions_as_chosen(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(driver)
    asked: list[tuple[int, str | None]] = []
    app = driver.app
    monkeypatch.setattr(app.studio, "export", lambda out, rows, options, rig=None: asked.append((len(rows), rig)))
    for label in ("To find bones", "As actions", "Not used"):
        BY_NAME["export_rig"].run(app.context)
        driver.tick(2)
        app.export_dialog.place.path = str(tmp_path / "rig.glb")
        driver.click(item_at(driver, "Button", f"{label}##borrowed"))
        driver.click(item_at(driver, "Button", "Export"))
        assert not app.context.export_open
    assert asked == [(1, "bones"), (1, "actions"), (1, "none")]
    app.context.open_export(rig=True)
    driver.tick(2)
    driver.click(item_at(driver, "Button", "Vertices##as"))
    driver.click(item_at(driver, "Button", "Export"))
    assert asked[3] == (1, None)


def test_a_shape_without_results_is_rigged_by_borrowed_motions(driver: Driver, tmp_path: Path) -> None:
    app = driver.app
    assert app.studio.state.results is None and not BY_NAME["export_rig"].why(app.context)
    BY_NAME["export_rig"].run(app.context)
    driver.tick(2)
    driver.click(item_at(driver, "Button", "Not used##borrowed"))  # cannot be chosen, nor can vertices
    driver.click(item_at(driver, "Button", "Vertices##as"))
    assert app.context.export_rig
    app.export_dialog.place.path = str(tmp_path / "rig.glb")
    driver.click(item_at(driver, "Button", "Export"))
    assert not app.context.export_open
    driver.until(lambda: not app.studio.tasks.busy, 120.0)
    assert app.studio.state.notice is None, app.studio.state.notice
    assert "bones" in app.studio.state.message
    names = GltfScene(tmp_path / "rig.glb").clip_names
    assert names and all(", " in name for name in names)  # "Horse, gallop"
