"""An animated file in the real window: what its animations are to be is asked once, and again from the menu."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from core.bank.user_bank import user_shapes
from core.io.gltf.clip_reader import read_clip
from m2v_studio.document import commands
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.reference import ReferenceMotion
from m2v_studio.document.state import why_not_play
from m2v_studio.driver import Driver
from m2v_studio.view import theme
from m2v_studio.view.actions import BY_NAME
from tests.glb_writer import arm

from .hands import CTRL, button_at, finish

PATIENCE = 300.0


@pytest.fixture
def moving(driver: Driver, tmp_path: Path) -> Path:
    """An animated file with two clips, dropped on the window; the question stands."""
    path = arm(2, duration=1.0).save(tmp_path / "arm.glb")
    studio = driver.app.studio
    driver.app._dropped([str(path)])
    driver.until(lambda: studio.offered is not None, PATIENCE)
    driver.settle()
    assert driver.app.context.is_modal and studio.state.document.source.clips == ("bend0", "bend1")  # type: ignore[union-attr]
    return path


def choose(driver: Driver, row: int, button: str) -> None:
    driver.app.clips_dialog._row = row  # what the list of the dialog does
    driver.tick(2)
    driver.click(button_at(driver, button))
    assert driver.app.studio.offered is None


def test_an_animation_becomes_keys(driver: Driver, moving: Path) -> None:
    studio = driver.app.studio
    choose(driver, 1, "As keys")
    driver.until(lambda: bool(studio.state.document.handles), PATIENCE)
    document, motion = studio.state.document, read_clip(moving, "bend1")
    assert (document.frames, document.fps) == (25, 24.0) and document.source is not None
    np.testing.assert_array_equal(document.source.vertices, motion.vertices[0])
    for handle in document.handles:
        for frame, place in handle.keys.items():
            np.testing.assert_allclose(place, motion.vertices[frame, handle.vertex], atol=1e-6)
    finish(driver)
    assert studio.state.results is not None and studio.state.notice is None, "a draft that follows them"
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document.handles == ()
    assert driver.app.context.studio.state.document.source.clips == ("bend0", "bend1")  # type: ignore[union-attr]


def test_an_animation_runs_behind_the_creature(driver: Driver, moving: Path, tmp_path: Path) -> None:
    studio, context = driver.app.studio, driver.app.context
    choose(driver, 0, "As a reference")
    driver.until(lambda: context.reference_motion.frames is not None, PATIENCE)
    assert studio.state.document.frames == 25 and "bend0 runs behind" in studio.state.message
    assert why_not_play(studio.state) == "", "it can be watched before anything is generated"
    driver.key(psim.ImGuiKey_Keypad1)

    def seen(name: str) -> float:
        """The share of the view that has the ghost's colour."""
        from PIL import Image

        from m2v_studio.view.ghost import COLOR, PALE

        wanted = np.array(theme.mix(COLOR, theme.BACKGROUND, PALE)) * 255
        with Image.open(driver.screenshot(tmp_path / name, fine=False)) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=float)
        return float((np.abs(pixels - wanted).max(axis=2) < 14).mean())

    studio.show(commands.set_time, 0.0)
    rest = seen("rest.png")
    studio.show(commands.set_time, 12.0)
    bent = seen("bent.png")
    assert bent > rest + 0.003, "bent by a right angle, it looks out beside the mesh at rest"
    later = ReferenceMotion(moving.absolute(), "bend0", 12)
    studio.do("offset", commands.set_reference_motion, later)
    studio.show(commands.set_time, 0.0)
    assert seen("later.png") == pytest.approx(bent, abs=0.002)
    save_project(studio.state, tmp_path / "with.m2v")
    document, _ = load_project(tmp_path / "with.m2v")
    assert document.reference_motion == later and document.source.clips == ("bend0", "bend1")  # type: ignore[union-attr]
    studio.do("remove", commands.set_reference_motion, None)
    driver.settle()
    assert seen("none.png") < 0.001


def test_animations_join_the_bank(driver: Driver, moving: Path) -> None:
    choose(driver, 0, "Add to my motions")
    shelf = driver.app.context.motions
    assert driver.app.context.motions_open
    driver.until(lambda: not shelf.adding, 300.0)  # a process of its own loads the model
    assert [shape.name for shape in user_shapes()] == ["arm"]


def test_only_the_mesh_is_kept_and_the_menu_asks_again(driver: Driver, moving: Path) -> None:
    studio = driver.app.studio
    driver.key(psim.ImGuiKey_Escape)
    assert studio.offered is None and studio.state.document.handles == ()
    BY_NAME["clips"].run(driver.app.context)
    driver.tick(3)
    driver.click(button_at(driver, "Only the mesh"))
    assert studio.offered is None


def test_a_file_that_has_gone_meanwhile_is_one_sentence(driver: Driver, moving: Path) -> None:
    studio = driver.app.studio
    moving.unlink()
    choose(driver, 0, "As keys")
    driver.until(lambda: studio.state.notice is not None, PATIENCE)
    assert studio.state.notice is not None and "arm.glb" in studio.state.notice.message
    assert studio.state.notice.detail == ""


def test_a_mesh_that_does_not_move_asks_nothing(driver: Driver) -> None:
    assert driver.app.studio.offered is None
    assert "holds no animation" in BY_NAME["clips"].why(driver.app.context)
