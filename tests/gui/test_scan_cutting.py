"""The shape cut out of what else was scanned, by the box in the view and by masks, in the real window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from m2v_studio.document import scan_commands
from m2v_studio.document.project import load_project, save_project
from m2v_studio.driver import Driver

from ..io.scans.scan_writer import write_depth_maps
from .hands import CTRL, button_at

PATIENCE = 60.0


def counts(driver: Driver) -> list[int]:
    scans = driver.app.studio.state.document.scans
    assert scans is not None
    return [int(count) for count in scans.point_counts()]


def opened(driver: Driver, path: Path) -> None:
    studio = driver.app.studio
    driver.app._dropped([str(path)])
    driver.until(lambda: studio.state.document.scans is not None or studio.state.notice is not None, PATIENCE)
    assert studio.state.notice is None
    driver.settle()


def test_what_lies_outside_the_box_is_left_out_and_comes_back(driver: Driver, tmp_path: Path) -> None:
    studio, generator = driver.app.studio, np.random.default_rng(0)
    folder = tmp_path / "table"
    folder.mkdir()
    for frame in range(3):
        shape = generator.normal(size=(300, 3))
        shape = shape / np.linalg.norm(shape, axis=1, keepdims=True) * 0.5
        other = np.array([2.5, 0.0, 0.0]) + 0.3 * generator.normal(size=(200, 3)).clip(-1, 1)
        np.savetxt(folder / f"frame{frame}.xyz", np.concatenate([shape, other]), fmt="%.4f")
    opened(driver, folder)
    before = counts(driver)
    studio.do("box", scan_commands.set_alignment, np.zeros(3), 1.2)
    place = studio.state.document.alignment
    driver.click(button_at(driver, "Cut by the box"))
    driver.until(lambda: counts(driver) != before, PATIENCE)
    assert all(290 <= count <= 300 for count in counts(driver)) and min(before) > 450
    assert studio.state.document.alignment is not None and place is not None
    assert studio.state.document.alignment.scale == pytest.approx(place.scale)
    save_project(studio.state, tmp_path / "cut.m2v")
    again = load_project(tmp_path / "cut.m2v")[0].scans
    assert again is not None and again.point_counts().tolist() == counts(driver)
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert counts(driver) == before


def test_masks_cut_depth_maps(driver: Driver, tmp_path: Path) -> None:
    from PIL import Image

    depth = np.full((2, 48, 64), 1.5)
    depth[:, :, 32:] = 1.7
    intrinsics = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])
    opened(driver, write_depth_maps(depth, intrinsics, tmp_path / "depth"))
    before = counts(driver)
    masks = tmp_path / "masks"
    masks.mkdir()
    for frame in range(2):
        mask = np.zeros((48, 64), dtype=np.uint8)
        mask[:, :32] = 255
        Image.fromarray(mask).save(masks / f"{frame}.png")
    driver.app.context.cut_by_masks(masks)  # what the dialog of the button gives
    driver.until(lambda: counts(driver) != before or driver.app.studio.state.notice is not None, PATIENCE)
    assert driver.app.studio.state.notice is None
    assert 0.3 * before[0] < counts(driver)[0] < 0.7 * before[0]
    driver.settle()
    driver.click(button_at(driver, "Whole scans again"))
    driver.until(lambda: counts(driver) == before, PATIENCE)
