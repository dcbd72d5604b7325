"""The camera keeps the creature in the free part of the window; figures are what the state says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2v_studio.document import commands, job_commands
from m2v_studio.document.state import edit_key, view_normalization
from m2v_studio.document.words import counted
from m2v_studio.panels.scans import decimals
from m2v_studio.view import theme
from m2v_studio.view.camera import Camera, Projection, Region, fit_distance, focal_length, grid
from m2v_studio.view.scene import SceneBuilder, content_box, floor_level, motion_box, nice_ceiling

from .shapes import opened_state, sample_set

ANGLES = st.tuples(st.floats(0, 360), st.floats(-20, 89))
WINDOW = (1440.0, 900.0)


@given(ANGLES, st.floats(300, 1100), st.floats(100, 700))
def test_the_content_is_centred_in_the_free_region_and_fits(angles: tuple, x: float, y: float) -> None:
    camera = Camera(*angles)
    low, high = np.array([-0.2, -0.4, -0.5]), np.array([0.3, 0.1, 0.5])
    region = Region(x - 250, y - 180, 500, 360)
    shift = region.center[0] - WINDOW[0] / 2, region.center[1] - WINDOW[1] / 2
    distance = fit_distance(camera, low, high, (region.width, region.height), focal_length(WINDOW[1]), shift)
    projection = Projection.of(camera, (low + high) / 2, distance, region.center, WINDOW)
    middle, depth = projection.project((low + high) / 2)
    np.testing.assert_allclose(middle, region.center, atol=1e-6)
    assert depth == pytest.approx(distance)
    corners = np.array([[a, b, c] for a in (low[0], high[0]) for b in (low[1], high[1]) for c in (low[2], high[2])])
    pixels, depths = projection.project(corners)
    assert (depths > 0).all()
    assert (np.abs(pixels - region.center) <= np.array([region.width, region.height]) / 2).all()


@given(ANGLES, st.floats(-80, 80), st.floats(-80, 80))
def test_a_drag_in_the_camera_plane_follows_the_mouse(angles: tuple, dx: float, dy: float) -> None:
    projection = Projection.of(Camera(*angles), np.zeros(3), 2.5, (700, 400), WINDOW)
    point = np.array([0.1, 0.2, -0.3])
    before, depth = projection.project(point)
    after, depth_after = projection.project(point + projection.in_plane(point, dx, dy))
    np.testing.assert_allclose(after - before, [dx, dy], atol=1e-6)
    assert depth_after == pytest.approx(depth)


def test_the_grid_makes_figures_as_large_as_it_can() -> None:
    assert grid(4, Region(0, 0, 860, 650), 1.6) == (2, 2)
    assert grid(4, Region(0, 0, 860, 220), 1.0) == (4, 1)
    assert grid(1, Region(0, 0, 860, 650), 1.6) == (1, 1)


@given(st.floats(1e-6, 1e3))
def test_legends_end_at_a_round_number_just_above(value: float) -> None:
    top = nice_ceiling(value)
    assert value * 0.999 <= top <= value * 1.6


def test_the_floor_is_under_the_shape_in_every_frame_that_is_shown() -> None:
    state = commands.set_key(commands.add_handle(opened_state(), 3), 0, 16, [0, 1, 0])
    norm = view_normalization(state.document)
    source = state.document.source
    assert norm is not None and source is not None
    rest = float(norm.apply(source.vertices)[:, 1].min())
    assert floor_level(motion_box(state), norm) == pytest.approx(rest)
    samples = sample_set(state, 2)
    track = np.array(samples.samples[1].sequence.vertices)
    track[:, :, 1] += source.vertices[:, 1].min() - track[:, :, 1].min()
    track[9, 5, 1] = source.vertices[:, 1].min() - 0.1 * source.size
    sunk = replace(samples.samples[1], sequence=replace(samples.samples[1].sequence, vertices=track))
    made = replace(samples, samples=(samples.samples[0], sunk))
    state = job_commands.job_finished(job_commands.job_started(state, 1, "normal", 2), 1, made)
    level = floor_level(motion_box(commands.solo(state, 1)), norm)
    assert level == pytest.approx(rest - 0.1, abs=1e-6)
    low, high = content_box(state, motion_box(commands.solo(state, 1)))
    assert norm.apply(low)[1] <= level + 1e-6 and norm.apply(high)[1] >= float(norm.apply([0, 1, 0])[1]) - 1e-6


def test_figures_follow_layout_preview_and_staleness() -> None:
    build = SceneBuilder().figures
    state = opened_state()
    assert [(f.name, f.color) for f in build(state)] == [("source", theme.CLAY)]
    state = commands.set_key(commands.add_handle(state, 3), 0, 16, [0, 1, 0])
    state = job_commands.job_finished(job_commands.job_started(state, 1, "normal", 4), 1, sample_set(state))
    assert [f.name for f in build(state)] == ["result-0"]
    side = commands.set_layout(state, "side")
    assert [f.cell for f in build(side)] == [0, 1, 2, 3]
    over = commands.set_layout(state, "overlay")
    assert [f.opacity < 1 for f in build(over)] == [False, True, True, True]
    heat = build(commands.set_color(side, "disagreement"))
    assert all(f.heat is not None and f.heat.shape == (len(f.positions),) for f in heat)
    stale = commands.set_key(state, 0, 16, [0, 2, 0])
    assert edit_key(stale.document) != edit_key(state.document)
    assert build(stale)[0].color != build(state)[0].color
    shorter = replace(state, view=replace(state.view, time=16.0))
    assert build(shorter)[0].frame == 16


@pytest.mark.parametrize(
    ("count", "noun", "words"), [(1, "mesh", "1 mesh"), (4, "mesh", "4 meshes"), (1200, "scan", "1,200 scans")]
)
def test_numbers_come_with_their_nouns(count: int, noun: str, words: str) -> None:
    assert counted(count, noun) == words


def test_three_coordinates_fit_into_a_line_at_every_size() -> None:
    for size in (1e-3, 0.9668, 36.0, 1800.0, 1e7):
        assert len(decimals(size) % (-0.3 * size)) <= 9
        assert float(decimals(size) % (0.3 * size)) == pytest.approx(0.3 * size, rel=0.05)
