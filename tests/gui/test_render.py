"""File > Render, by mouse and keys: the film is what is seen, its progress shows, and it can be stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polyscope.imgui as psim
from PIL import Image

from m2v_studio.document import commands
from m2v_studio.driver import Driver

from .hands import CTRL, button_at, generate


def ask(driver: Driver, out: Path) -> None:
    """Open the dialog and choose a small picture."""
    driver.key(psim.ImGuiKey_R, CTRL)
    driver.tick(4)
    assert driver.app.context.render_open
    dialog = driver.app.render_dialog
    dialog.place.path, dialog.size, dialog.kind = str(out), (160, 96), 2


def test_a_film_is_made_while_the_window_goes_on(driver: Driver, tmp_path: Path) -> None:
    driver.app.studio.do("length", commands.set_frames, 5)
    generate(driver)
    ask(driver, tmp_path / "film")
    driver.click(button_at(driver, "Seed colours"))
    driver.click(button_at(driver, "All 4, side by side"))
    driver.app.render_dialog.transparent = True
    driver.click(button_at(driver, "Render"))
    context = driver.app.context
    assert not context.render_open
    driver.until(lambda: context.films.done > 0 or driver.app.studio.state.notice is not None)
    notice = driver.app.studio.state.notice
    assert notice is None, notice.message if notice else ""
    assert button_at(driver, "Cancel")
    driver.until(lambda: not context.films.running)
    assert "Rendered film" in driver.app.studio.state.message
    files = sorted((tmp_path / "film").iterdir())
    assert len(files) == driver.app.studio.state.document.frames
    with Image.open(files[-1]) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (96, 160, 4)
    solid = pixels[..., 3] == 255
    quarters = [pixels[rows, columns, :3][solid[rows, columns]].mean(axis=0)
                for rows in (slice(0, 48), slice(48, 96)) for columns in (slice(0, 80), slice(80, 160))]  # fmt: skip
    assert min(np.abs(a - b).max() for i, a in enumerate(quarters) for b in quarters[:i]) > 20


def test_a_film_is_stopped_and_leaves_nothing(driver: Driver, tmp_path: Path) -> None:
    generate(driver)
    ask(driver, tmp_path / "film.mp4")
    driver.app.render_dialog.repeat, driver.app.render_dialog.kind = 50, 0
    driver.click(button_at(driver, "Render"))
    films = driver.app.context.films
    driver.until(lambda: films.done > 0 or driver.app.studio.state.notice is not None)
    notice = driver.app.studio.state.notice
    assert notice is None, notice.message if notice else ""
    driver.click(button_at(driver, "Cancel"))
    assert not films.running
    films.close()
    assert [path.name for path in tmp_path.iterdir() if path.name != "config"] == []
    driver.app.render_dialog.repeat = 1


def test_an_impossible_name_is_said_in_a_dialog(driver: Driver, tmp_path: Path) -> None:
    generate(driver)
    ask(driver, tmp_path / "film.avi")
    driver.click(button_at(driver, "Render"))
    driver.until(lambda: driver.app.studio.state.notice is not None)
    notice = driver.app.studio.state.notice
    assert notice is not None and ".mp4 or .gif" in notice.message
    assert driver.app.context.top_dialog == "error"
