"""Onion skins: which frames they show, that they lie behind the figure where it would be seen, and their menu."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from m2v_studio.document import commands
from m2v_studio.document.settings import load_settings
from m2v_studio.driver import Driver
from m2v_studio.view import theme
from m2v_studio.view.camera import Camera, Projection
from m2v_studio.view.onion import EARLIER, LATER, Skin, Skins, away, skins_of, tint

from .hands import generate


def view(driver: Driver, folder: Path) -> np.ndarray:
    region = driver.app.region
    with Image.open(driver.screenshot(folder / "view.png", panels=False, fine=False)) as picture:
        pixels = np.asarray(picture.convert("RGB"), float)
    left, top = round(region.x), round(region.y)
    return pixels[top : top + round(region.height), left : left + round(region.width)]


def test_they_are_the_frames_before_and_after_inside_the_motion() -> None:
    skins = Skins(True, before=2, after=2, spacing=3)
    assert [(skin.frame, skin.color) for skin in skins_of(skins, 4, 17)] == [(1, EARLIER), (7, LATER), (10, LATER)]
    assert skins_of(Skins(False), 8, 17) == ()
    near, far = (tint(Skin(0, rank, LATER), skins) for rank in (1, 2))
    assert np.ptp(near) > np.ptp(far)


@pytest.mark.parametrize("flat", [False, True])
def test_what_is_moved_away_is_seen_where_it_was_but_farther(flat: bool) -> None:
    projection = Projection.of(Camera(flat=flat), (0.1, 0.2, 0.0), 3.0, (400.0, 300.0), (1000.0, 700.0))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
    matrix = away(projection, flat, 0.2)
    moved = points @ matrix[:3, :3].T + matrix[:3, 3]
    before, after = projection.project(points), projection.project(moved)
    assert after[0] == pytest.approx(before[0], abs=1e-6)
    assert (after[1] - before[1] > 0.1).all()


def test_they_are_seen_around_the_figure_and_never_over_it(driver: Driver, tmp_path: Path) -> None:
    generate(driver)
    studio = driver.app.studio
    studio.show(commands.select_handle, None)
    studio.show(commands.set_time, 8.0)
    driver.tick(2)
    without = view(driver, tmp_path)
    studio.change_settings(onion=True, onion_spacing=4)
    driver.tick(2)
    shown = view(driver, tmp_path)
    changed = np.abs(shown - without).max(axis=2) > 12
    figure = np.ptp(without, axis=2) > 60  # the seed's green; everything else is grey
    assert changed.sum() > 200
    assert (changed & figure).sum() < 0.15 * changed.sum()  # where edges are smoothed
    assert load_settings().onion_spacing == 4
    studio.show(commands.set_layout, "side")
    driver.tick(2)
    assert driver.app.viewport._onion._visible == 0
    studio.change_settings(onion=False)
    studio.show(commands.set_layout, "one")
    driver.tick(2)
    assert np.abs(view(driver, tmp_path) - without).max() < 12


def test_a_theme_recolours_them(driver: Driver) -> None:
    skins = Skins(True)
    light = tint(Skin(0, 1, LATER), skins)
    theme.use("dark")
    try:
        assert tint(Skin(0, 1, LATER), skins) != light
    finally:
        theme.use("light")
