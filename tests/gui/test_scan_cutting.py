"""The shape cut out of what else was scanned, by the box in the view and by masks, in the real window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from m2v_studio.document import scan_commands
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.scan_document import cut_box
from m2v_studio.driver import Driver
from m2v_studio.view.scan_gizmo import FIRST_SIDE, box_in_view

from ..io.scans.scan_writer import write_depth_maps
from .hands import CTRL, button_at, field_at

PATIENCE = 300.0


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


def test_the_box_has_three_sides_by_its_knobs_and_in_numbers(driver: Driver, tmp_path: Path) -> None:
    studio, generator = driver.app.studio, np.random.default_rng(0)
    folder = tmp_path / "wall"
    folder.mkdir()
    points = generator.uniform(-1, 1, size=(600, 3)) * [0.5, 0.5, 0.1]
    wall = generator.uniform(-1, 1, size=(600, 3)) * [0.5, 0.5, 0.02] - [0, 0, 0.3]
    for frame in range(2):
        np.savetxt(folder / f"frame{frame}.xyz", np.concatenate([points, wall]), fmt="%.4f")
    opened(driver, folder)
    studio.do("box", scan_commands.set_alignment, np.zeros(3), 1.1)
    driver.key(psim.ImGuiKey_W)
    driver.settle()
    box, projection = box_in_view(driver.app.context), driver.app.viewport.projection  # type: ignore[arg-type]
    assert box is not None and projection is not None
    behind = FIRST_SIDE + 4  # the side of the smallest Z
    place, middle = (projection.project(at)[0] for at in (box.knobs()[behind], box.center))
    share = 0.35 / 0.55  # of the way to the middle, so that it is at z = -0.2
    driver.drag(tuple(place), tuple(place + share * (middle - place)))
    document = studio.state.document
    assert document.alignment is not None and document.alignment.scale == pytest.approx(1.1)
    low, high = cut_box(document.alignment, document.box_shares, document.scans.sequence)[2::3]  # type: ignore[union-attr]
    assert low == pytest.approx(-0.2, abs=0.03) and high == pytest.approx(0.55, abs=1e-6), "the other side stays"
    assert document.box_shares[:2] == (1.0, 1.0)
    driver.click(button_at(driver, "Cut by the box"))
    driver.until(lambda: counts(driver) == [600, 600], PATIENCE)
    save_project(studio.state, tmp_path / "sides.m2v")
    again = load_project(tmp_path / "sides.m2v")[0]
    assert again.box_shares == pytest.approx(studio.state.document.box_shares)
    left, right = field_at(driver, "##Sides", "DragFloat3")
    third = (right[0] - left[0]) / 3
    driver.move((left[0] + 0.5 * third, (left[1] + right[1]) / 2))
    driver.hold(CTRL, True)
    driver.press()
    driver.release()
    driver.hold(CTRL, False)
    driver.key(psim.ImGuiKey_A, CTRL)
    driver.type("2.2")
    driver.key(psim.ImGuiKey_Enter)
    document = studio.state.document
    assert document.alignment is not None and document.alignment.scale == pytest.approx(2.2)
    assert document.box_shares[:2] == pytest.approx((1.0, 0.5)), "the longest side is the scale"


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
