"""A reference video or folder of pictures beside the creature, in step with the timeline, in the real window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from core.io.films import film_writer
from m2v_studio.document import commands
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.reference import Reference
from m2v_studio.driver import Driver

RED, GREEN = (200, 30, 30), (30, 200, 30)


def film(path: Path, fps: float = 24.0) -> Path:
    """Eight red pictures, then eight green ones."""
    with film_writer(path, (64, 48), fps) as add:
        for number in range(16):
            add(np.full((48, 64, 3), RED if number < 8 else GREEN, dtype=np.uint8))
    return path


def share_of(driver: Driver, path: Path, color: tuple[int, int, int]) -> float:
    """Of the view's pixels, how many have about this colour."""
    from PIL import Image

    region = driver.app.region
    with Image.open(driver.screenshot(path, fine=False)) as picture:
        box = [round(side) for side in (region.x, region.y, region.x + region.width, region.y + region.height)]
        pixels = np.asarray(picture.convert("RGB").crop((box[0], box[1], box[2], box[3])), dtype=int)
    return float((np.abs(pixels - color).max(axis=2) < 40).mean())


@pytest.mark.parametrize("kind", ["film.mp4", "pictures"])
def test_pictures_dropped_on_the_window_run_with_the_timeline(driver: Driver, tmp_path: Path, kind: str) -> None:
    studio, path = driver.app.studio, film(tmp_path / kind)
    driver.key(psim.ImGuiKey_Keypad1)
    if path.is_dir():
        driver.app.context.set_reference(path)
    else:
        driver.app._dropped([str(path)])
    driver.until(lambda: driver.app.context.reference.frames is not None)
    studio.do("opacity", commands.set_reference, Reference(path, opacity=1.0))
    assert share_of(driver, tmp_path / "a.png", RED) > 0.15 and share_of(driver, tmp_path / "b.png", GREEN) < 0.01
    studio.show(commands.set_time, 12.0)
    assert share_of(driver, tmp_path / "c.png", GREEN) > 0.15
    studio.do("offset", commands.set_reference, Reference(path, opacity=1.0, offset=-8))
    assert share_of(driver, tmp_path / "d.png", RED) > 0.15
    driver.key(psim.ImGuiKey_Keypad1, psim.ImGuiMod_Ctrl)
    assert share_of(driver, tmp_path / "e.png", RED) < 0.01, "from behind it does not hide the creature"
    save_project(studio.state, tmp_path / "with.m2v")
    assert load_project(tmp_path / "with.m2v")[0].reference == Reference(path, opacity=1.0, offset=-8)
    studio.do("remove", commands.set_reference, None)
    driver.settle()
    assert driver.app.context.reference.frames is None


def test_the_side_plane_is_seen_from_the_right(driver: Driver, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", 12.0)
    driver.app.studio.do("reference", commands.set_reference, Reference(path, "side", 1.0))
    driver.until(lambda: driver.app.context.reference.frames is not None)
    assert len(driver.app.context.reference.frames) >= 30, "read at the rate of the document"  # type: ignore[arg-type]
    driver.key(psim.ImGuiKey_Keypad1)
    aslant = share_of(driver, tmp_path / "a.png", RED)
    driver.key(psim.ImGuiKey_Keypad3)
    assert share_of(driver, tmp_path / "b.png", RED) > 1.5 * aslant


def test_a_reference_that_is_gone_is_named_in_one_sentence(driver: Driver, tmp_path: Path) -> None:
    driver.app.studio.do("reference", commands.set_reference, Reference(tmp_path / "gone.mp4"))
    driver.until(lambda: driver.app.studio.state.notice is not None)
    assert "gone.mp4 is missing" in driver.app.studio.state.notice.message  # type: ignore[union-attr]
    driver.app.studio.do("remove", commands.set_reference, None)
    driver.settle()
