"""A drag shows a posed mesh before the button is let go: by real input events, compared pixel by pixel."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import polyscope.imgui as psim
import pytest

from m2v_studio.document import commands
from m2v_studio.document.state import shown_pose
from m2v_studio.driver import Driver

from .hands import CTRL, finish, front_vertex, rest


@pytest.fixture
def prepared(driver: Driver) -> Driver:
    """The ball with what its drags are solved with."""
    studio = driver.app.studio
    studio._prepare_drags(studio.state.document.source)
    driver.until(lambda: studio.posing.system is not None)
    return driver


def pixels(driver: Driver, path: Path) -> np.ndarray:
    from PIL import Image

    region = driver.app.region
    with Image.open(driver.screenshot(path, fine=False)) as picture:
        box = [round(side) for side in (region.x, region.y, region.x + region.width, region.y + region.height)]
        return np.asarray(picture.convert("RGB").crop((box[0], box[1], box[2], box[3])), dtype=int)


def test_the_mesh_follows_the_hand_before_the_button_is_let_go(prepared: Driver, tmp_path: Path) -> None:
    driver, studio = prepared, prepared.app.studio
    go = threading.Event()
    driver.animator.gate = lambda: go.wait(20)  # type: ignore[attr-defined]
    vertex = front_vertex(driver)
    driver.click(driver.at_vertex(vertex))
    before = pixels(driver, tmp_path / "before.png")
    start = driver.at_knob(0)
    driver.drag(start, (start[0] + 60, start[1] - 80), release=False)
    pose = shown_pose(studio.state)
    assert pose is not None and psim.IsMouseDown(0)
    held = pixels(driver, tmp_path / "held.png")
    changed = np.abs(held - before).max(axis=2) > 24
    assert changed.sum() > 1500, "the mesh itself has moved, not only a knob on it"
    np.testing.assert_allclose(pose.track[0, vertex], studio.state.document.handles[0].keys[16], atol=1e-4)
    far = np.linalg.norm(pose.track[0] - studio.state.document.source.vertices, axis=1)  # type: ignore[union-attr]
    assert (far > 0.05).sum() > 20, "its surroundings come along"
    driver.release()
    assert shown_pose(studio.state) is not None, "it stays until the draft is there"
    go.set()
    finish(driver)
    rest(driver)
    assert shown_pose(studio.state) is None


def test_while_the_button_is_down_motions_are_drafted_and_the_mesh_stays_in_the_hand(prepared: Driver) -> None:
    driver, studio = prepared, prepared.app.studio
    driver.click(driver.at_vertex(front_vertex(driver)))
    start = driver.at_knob(0)
    driver.drag(start, (start[0] + 40, start[1] - 60), release=False)
    driver.until(lambda: studio.state.results is not None)
    assert shown_pose(studio.state) is not None and not studio.state.view.playing
    driver.move((start[0] + 60, start[1] - 70))
    assert studio.state.job is not None, "the next one is asked for"
    driver.release()
    finish(driver)
    calls = driver.animator.calls  # type: ignore[attr-defined]
    assert len(calls) >= 2 and {call.quality for call in calls} == {"draft"}
    key = studio.state.document.handles[0].keys[16]
    reached = studio.state.results.samples.samples[0].sequence.vertices[16]  # type: ignore[union-attr]
    assert np.abs(reached[studio.state.document.handles[0].vertex] - key).max() < 1e-3


def test_a_pinned_handle_stays_and_undo_takes_the_pose_away(prepared: Driver) -> None:
    driver, studio = prepared, prepared.app.studio
    source = studio.state.document.source
    assert source is not None
    low = int(source.vertices[:, 1].argmin())
    studio.do("pin", commands.add_handle, low, True)
    vertex = front_vertex(driver)
    driver.click(driver.at_vertex(vertex))
    start = driver.at_knob(1)
    driver.drag(start, (start[0] + 60, start[1] - 80), release=False)
    pose = shown_pose(studio.state)
    assert pose is not None
    np.testing.assert_allclose(pose.track[0, low], source.vertices[low], atol=1e-4)
    driver.release()
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert shown_pose(studio.state) is None


def test_a_drag_goes_on_from_the_motion_that_is_there(prepared: Driver) -> None:
    driver, studio = prepared, prepared.app.studio
    driver.click(driver.at_vertex(front_vertex(driver)))
    start = driver.at_knob(0)
    driver.drag(start, (start[0] + 50, start[1] - 60))
    finish(driver)
    rest(driver)
    studio.show(commands.set_time, 8.0)
    driver.settle()
    there = studio.state.results.samples.samples[0].sequence.vertices[8]  # type: ignore[union-attr]
    knob = driver.at_knob(0)
    driver.drag(knob, (knob[0] + 5, knob[1]), release=False)
    pose = shown_pose(studio.state)
    assert pose is not None and pose.frame == 8
    assert np.abs(pose.track[0] - there).mean() < 0.05
    driver.release()
