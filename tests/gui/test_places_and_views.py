"""Numbers, snapping and fixed views, in the real window by real input."""

from __future__ import annotations

import math

import numpy as np
import polyscope.imgui as psim
import pytest

from m2v_studio.document import commands, selection, snapping
from m2v_studio.driver import Driver
from m2v_studio.view.camera import Camera

from .hands import CTRL, add_and_drag, field_at, finish, front_vertex, middle, rest
from .test_losses import type_into

KEYPAD = {n: getattr(psim, f"ImGuiKey_Keypad{n}") for n in range(8)}


def extent(driver: Driver) -> np.ndarray:
    """Width and height of the mesh at rest on the screen, in pixels."""
    viewport, source = driver.app.viewport, driver.app.studio.state.document.source
    assert viewport.projection is not None and viewport.norm is not None and source is not None
    pixels, _ = viewport.projection.project(viewport.norm.apply(source.vertices))
    return np.asarray(np.ptp(pixels, axis=0))


def test_a_place_is_typed_and_counts_on_enter(driver: Driver) -> None:
    studio = driver.app.studio
    driver.click(driver.at_vertex(front_vertex(driver)))
    studio.show(commands.set_time, 9.0)
    driver.settle()
    source = studio.state.document.source
    assert source is not None
    before = source.vertices[front_vertex(driver)]
    type_into(driver, "##Y", "0.75")
    assert not studio.state.document.handles[0].keys, "not before Enter"
    driver.key(psim.ImGuiKey_Enter)
    driver.tick(2)
    np.testing.assert_allclose(studio.state.document.handles[0].keys[9], [before[0], 0.75, before[2]], atol=1e-5)
    state = finish(driver)
    assert state.results is not None and studio.session.past[-1].label == "place handle"
    driver.key(psim.ImGuiKey_Z, CTRL)
    assert not studio.state.document.handles[0].keys


def test_a_place_is_scrubbed_as_one_step(driver: Driver) -> None:
    studio = driver.app.studio
    add_and_drag(driver)
    finish(driver)
    studio.show(commands.set_time, 16.0)
    rest(driver)
    before, steps = studio.state.document.handles[0].keys[16], len(studio.session.past)
    at = middle(field_at(driver, "##X"))
    driver.drag(at, (at[0] + 60, at[1]))
    after = studio.state.document.handles[0].keys[16]
    assert after[0] > before[0] + 0.05 and np.abs(after[1:] - before[1:]).max() < 1e-6
    assert len(studio.session.past) == steps + 1


@pytest.mark.parametrize("snap", snapping.SNAPS[1:])
def test_a_drag_snaps(driver: Driver, snap: str) -> None:
    studio = driver.app.studio
    studio.show(commands.with_view, snap=snap)
    try:
        add_and_drag(driver, (0.0, 60.0) if snap == "vertex" else (33.0, -41.0))
    finally:
        studio.show(commands.with_view, snap="none")
    source, handle = studio.state.document.source, studio.state.document.handles[0]
    assert source is not None
    place = handle.keys[16]
    shape = source.vertices.astype(np.float64)
    off = {
        "ground": abs(place[1] - shape[:, 1].min()),
        "grid": np.abs(place / snapping.grid_step(source) - np.round(place / snapping.grid_step(source))).max(),
        "symmetry": min(abs(place[0]), abs(place[2])),
        "vertex": np.linalg.norm(shape - place, axis=1).min(),
    }[snap]
    assert off < 2e-2 if snap == "vertex" else off < 1e-5, (snap, off)


def test_handles_are_put_on_the_ground_from_the_menu(driver: Driver) -> None:
    studio = driver.app.studio
    studio.do("add", commands.add_handle, front_vertex(driver))
    source = studio.state.document.source
    assert source is not None
    shape = source.vertices
    with pytest.raises(Exception, match="rest pose"):
        snapping.put_on(studio.state, (0,), "ground", shape)
    studio.show(commands.set_time, 5.0)
    put = snapping.put_on(studio.state, (0,), "ground", shape)
    assert abs(put.document.handles[0].keys[5][1] - shape[:, 1].min()) < 1e-6
    np.testing.assert_allclose(put.document.handles[0].keys[5][[0, 2]], shape[front_vertex(driver)][[0, 2]], atol=1e-6)


def test_the_numpad_looks_from_the_sides(driver: Driver) -> None:
    viewport = driver.app.viewport
    for key, modifiers, back in (
        (1, (), (0, 0, 1)),
        (1, (CTRL,), (0, 0, -1)),
        (3, (), (1, 0, 0)),
        (3, (CTRL,), (-1, 0, 0)),
        (7, (), (0, 1, 0)),
    ):
        driver.key(KEYPAD[key], *modifiers)
        np.testing.assert_allclose(viewport.camera.axes()[2], back, atol=1e-6)
    driver.key(KEYPAD[0])
    assert (viewport.camera.yaw, viewport.camera.pitch) == (Camera.yaw, Camera.pitch)


def test_the_front_is_where_the_face_is_and_right_is_the_creatures_own(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, viewport = driver.app.studio, driver.app.viewport
    monkeypatch.setattr(driver.animator, "heading", math.radians(82.0))  # type: ignore[attr-defined]
    studio._prepare_drags(studio.state.document.source)
    driver.until(lambda: studio.heading is not None)
    for key, modifiers, back in ((1, (), (1, 0, 0)), (1, (CTRL,), (-1, 0, 0)), (3, (), (0, 0, 1)), (7, (), (0, 1, 0))):
        driver.key(KEYPAD[key], *modifiers)
        np.testing.assert_allclose(viewport.camera.axes()[2], back, atol=1e-6)
    studio._prepare_drags(None)
    driver.key(KEYPAD[1])
    np.testing.assert_allclose(viewport.camera.axes()[2], (0, 0, 1), atol=1e-6)


def test_without_perspective_far_is_as_large_as_near_and_a_click_still_finds_its_vertex(driver: Driver) -> None:
    viewport, studio = driver.app.viewport, driver.app.studio
    driver.key(KEYPAD[3])
    driver.key(KEYPAD[5])
    driver.settle()
    assert viewport.camera.flat and viewport.projection is not None
    near, depth = viewport.projection.project(np.array([[0.2, 0.2, 0.0], [-0.4, 0.2, 0.0]]))
    assert depth[0] != depth[1]
    np.testing.assert_allclose(near[0], near[1], atol=1e-6)
    vertex = front_vertex(driver, 3)
    driver.click(driver.at_vertex(vertex))
    assert [handle.vertex for handle in studio.state.document.handles] == [vertex]
    start = driver.at_knob(0)
    driver.drag(start, (start[0] + 50, start[1] - 40))
    place = viewport.to_view(viewport.figures[0], studio.state.document.handles[0].keys[16])
    at, _ = viewport.projection.project(place)
    np.testing.assert_allclose(at, (start[0] + 50, start[1] - 40), atol=1.5)
    driver.key(KEYPAD[5])
    assert not viewport.camera.flat


def test_the_chosen_handles_fill_the_view_and_f_shows_all_again(driver: Driver) -> None:
    studio = driver.app.studio
    for rank in (0, 5):
        studio.do("add", commands.add_handle, front_vertex(driver, rank))
    studio.show(selection.choose_handles, (0, 1))
    driver.settle()
    before = extent(driver)
    driver.key(psim.ImGuiKey_F, psim.ImGuiMod_Shift)
    driver.settle()
    after = extent(driver)
    assert after.max() > 1.5 * before.max()
    knob = driver.at_knob(0)
    assert driver.app.region.contains(knob)
    driver.key(psim.ImGuiKey_F)
    driver.settle()
    np.testing.assert_allclose(extent(driver), before, rtol=1e-3)
