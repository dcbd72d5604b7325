"""Scans in the document: opening, alignment with undo, generation in the worker, projects, and distances from truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import DataError
from core.pipelines.request import Progress, ReconstructionSet, SamplingOptions
from core.sequence import MeshSequence, Normalization, ScanSequence
from m2v_studio.document import commands, job_commands, scan_commands
from m2v_studio.document.history import Session
from m2v_studio.document.scan_document import OpenedScans, box_corners, checked_alignment, scan_bounds, upright
from m2v_studio.document.scan_truth import point_triangle_distance, truth_errors
from m2v_studio.document.state import (
    State,
    edit_key,
    is_box_shown,
    is_stale,
    is_unsaved,
    is_worth_keeping,
    next_step,
    reconstruction,
    view_normalization,
    why_not_generate,
    why_not_play,
)
from m2v_studio.panels.bars import progress_words
from m2v_studio.panels.samples import figures_of, why_not_color
from m2v_studio.view.scan_scene import clouds, scan_box, scan_image
from m2v_studio.view.scene import SceneBuilder, heat_track, unseen_track
from m2v_studio.work.messages import Failed, Finished, Progressed
from m2v_studio.work.worker import GenerationWorker

from .fake_animator import FakeAnimator, make_fake
from .shapes import ball, opened_state, scanned_state, scans
from .test_worker import gather, has


def completed_state(seeds: int = 3, **wanted: object) -> State:
    """Scans with finished meshes."""
    state = commands.set_seeds(scanned_state(**wanted), seeds)
    assert state.document.scans is not None
    made = FakeAnimator(steps=1).reconstruct(state.document.scans.sequence, reconstruction(state.document))
    return job_commands.job_finished(job_commands.job_started(state, 1, "normal", seeds), 1, made)


def test_the_status_line_names_the_step_of_a_reconstruction_and_counts_those_of_a_motion() -> None:
    for state, words in (
        (scanned_state(), "finding the surface, step 9 of 42"),
        (opened_state(), "step 9 of 42"),
    ):
        running = job_commands.job_started(state, 1, "normal", 2)
        assert progress_words(running) == "starting"
        running = job_commands.job_progressed(running, 1, Progress(9, 42, "Finding the surface"))
        assert progress_words(running) == words
        assert progress_words(replace(running, engine="loading")) == "waiting for the model"


# ---- the document -----------------------------------------------------------------------------------------


def test_opening_scans_replaces_a_mesh_and_the_other_way_round() -> None:
    state = commands.set_seeds(commands.open_source(State(), ball()), 7)
    state = scan_commands.open_scans(state, scans(frames=6))
    assert state.document.source is None and state.document.scans is not None
    assert (state.document.frames, state.document.fps, state.document.seeds) == (6, 12.0, 7)
    assert is_box_shown(state) and is_unsaved(state) and not is_worth_keeping(state)
    assert not why_not_generate(state) and not why_not_play(state)
    state = commands.open_source(state, ball())
    assert state.document.scans is None and state.document.alignment is None
    assert (state.document.frames, state.document.fps) == (17, 24.0)


def test_there_is_one_next_step_from_scans_to_export() -> None:
    state = replace(scanned_state(), engine="ready")
    assert next_step(state) == "generate"
    state = job_commands.job_started(commands.set_quality(state, "draft"), 1, "draft", 4)
    assert next_step(state) == "wait"
    state = commands.with_view(completed_state(), playing=False)
    assert next_step(state) == "play"
    assert next_step(commands.toggle_play(state)) == "export"
    moved = scan_commands.set_alignment(state, scale=50.0)
    assert next_step(moved) == "generate"


def test_scans_play_before_there_are_meshes() -> None:
    state = commands.toggle_play(scanned_state())
    assert state.view.playing and not state.view.played
    assert commands.advance(state, 1 / 12).view.time == pytest.approx(1.0)
    still = commands.toggle_play(scanned_state(frames=1))
    assert not still.view.playing


def test_handles_and_lengths_are_for_meshes_only() -> None:
    state = scanned_state()
    assert commands.add_handle(state, 3) is state
    assert commands.set_frames(state, 40) is state


EDITS = st.one_of(
    st.tuples(st.just("scale"), st.floats(-1e6, 1e6)),
    st.tuples(st.just("center"), st.lists(st.floats(-1e7, 1e7), min_size=3, max_size=3)),
    st.tuples(st.just("up_axis"), st.sampled_from("xyz")),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(EDITS, max_size=8))
def test_every_alignment_is_undone_exactly_and_stays_usable(edits: list[tuple]) -> None:
    session = Session(scanned_state())
    seen = [session.state.document]
    for name, value in edits:
        session.do("align", scan_commands.set_alignment, **{name: value})
        if session.state.document is not seen[-1]:
            seen.append(session.state.document)
        place = session.state.document.alignment
        assert place is not None and place.scale > 0 and np.isfinite(place.center).all()
        reconstruction(session.state.document).validate()
    for document in reversed(seen[:-1]):
        session.undo()
        assert session.state.document is document
    assert not session.past


def test_an_alignment_that_is_no_number_is_one_sentence() -> None:
    for bad in ({"scale": float("nan")}, {"center": [0.0, np.inf, 0.0]}, {"center": [1.0]}, {"up_axis": "w"}):
        with pytest.raises(DataError):
            scan_commands.set_alignment(scanned_state(), **bad)  # type: ignore[arg-type]


def test_the_guess_comes_back_and_an_edit_makes_results_stale_until_it_is_undone() -> None:
    session = Session(completed_state())
    session.do("move", scan_commands.set_alignment, center=[1.0, 2.0, 3.0], up_axis="z")
    assert is_stale(session.state) and is_worth_keeping(session.state)
    session.do("guess", scan_commands.reset_alignment)
    assert not is_stale(session.state)
    session.undo()
    assert is_stale(session.state)
    session.undo()
    assert not is_stale(session.state)


@pytest.mark.parametrize("edit", ["set_resolution", "set_one_shape"])
def test_settings_of_the_surface_ask_for_other_results(edit: str) -> None:
    state = scanned_state()
    value = {"set_resolution": 64, "set_one_shape": True}[edit]
    changed = getattr(scan_commands, edit)(state, value)
    assert edit_key(changed.document) != edit_key(state.document)
    assert getattr(scan_commands, edit)(changed, value) is changed
    assert getattr(reconstruction(changed.document), edit.removeprefix("set_")) == value


def test_another_body_is_asked_for_without_those_that_were_there() -> None:
    state = scan_commands.ask_for_another_body(completed_state(), "Horse")
    assert is_stale(state)
    state = scan_commands.ask_for_another_body(state, "Cow")
    assert reconstruction(state.document).sampling.without == ("Horse", "Cow")
    assert reconstruction(scan_commands.ask_for_another_body(state, "").document).sampling.without == ()


# ---- what is shown ----------------------------------------------------------------------------------------


def test_results_are_shown_on_faces_of_their_own_with_the_points_beside_each() -> None:
    state = completed_state()
    builder = SceneBuilder()
    side = commands.set_layout(state, "side")
    figures = builder.figures(side)
    assert len({len(figure.positions) for figure in figures}) == 3
    for figure in figures:
        assert figure.faces.max() == len(figure.positions) - 1
    shown = clouds(side, figures)
    assert [cloud.figure for cloud in shown] == [figure.name for figure in figures]
    assert len(clouds(state, builder.figures(state))) == 1
    assert clouds(commands.with_view(state, points=False), ()) == ()


def test_a_preview_lies_on_the_faces_it_came_with() -> None:
    state = job_commands.job_started(scanned_state(), 1, "normal", 2)
    assert SceneBuilder().figures(state) == ()
    shape = ball()
    track = np.repeat(shape.vertices[None], 6, axis=0)
    state = job_commands.job_progressed(state, 1, Progress(1, 4, "Denoising", track, shape.faces))
    (figure,) = SceneBuilder().figures(state)
    assert figure.faces is shape.faces and figure.label.endswith("being generated")
    state = job_commands.job_progressed(state, 1, Progress(2, 4, "Denoising"))
    assert SceneBuilder().figures(state)[0].faces is shape.faces


def test_heat_maps_come_from_the_result_that_is_shown() -> None:
    state = completed_state(truth=True)
    results = state.results
    assert results is not None and isinstance(results.samples, ReconstructionSet)
    for row, sample in enumerate(results.samples.samples):
        np.testing.assert_array_equal(heat_track(results, "to_scan", row), sample.scan_distance)
        np.testing.assert_array_equal(heat_track(results, "disagreement", row), sample.disagreement)
        assert heat_track(results, "truth_error", row) is None
    errors = tuple(np.full(s.scan_distance.shape, 0.25, np.float32) for s in results.samples.samples)
    state = scan_commands.set_truth_error(state, results, errors)
    assert not is_stale(state)
    state = commands.set_color(commands.set_time(state, 2.0), "truth_error")
    builder = SceneBuilder()
    assert builder.figures(state)[0].heat is not None
    assert builder.heat_max(state) == pytest.approx(0.3)
    assert scan_commands.set_truth_error(state, results, errors) is state, "other results have come since"


def test_what_no_scan_came_near_in_any_frame_is_tinted() -> None:
    state = completed_state()
    assert state.view.color == "unseen", "a body completed it"
    assert state.results is not None and isinstance(state.results.samples, ReconstructionSet)
    distance = state.results.samples.samples[0].scan_distance
    heat = heat_track(state.results, "unseen", 0)
    assert heat is not None and heat.shape == distance.shape
    np.testing.assert_array_equal(heat[2], distance.min(axis=0))
    assert SceneBuilder().heat_max(state) > 0
    np.testing.assert_array_equal(unseen_track(np.full((2, 3), np.nan, np.float32)), np.zeros((2, 3)))


def test_every_frame_shows_as_many_points_and_flying_ones_do_not_shrink_the_shape() -> None:
    state = scanned_state()
    counts = {len(clouds(commands.set_time(state, float(t)), ())[0].points) for t in range(6)}
    assert len(counts) == 1
    opened = scans()
    far = np.concatenate([opened.sequence.points[0], [[1e6, 0.0, 0.0]]]).astype(np.float32)
    opened = replace(opened, sequence=replace(opened.sequence, points=(far, *opened.sequence.points[1:])))
    bounds = scan_bounds(opened.sequence)
    assert bounds is not None and bounds[1][0] < 100.0
    low, high = scan_box(scan_commands.open_scans(State(), opened), with_box=False)
    assert (high - low).max() < 100.0


def pictures(frames: int = 4) -> OpenedScans:
    """Scans of pictures alone, each of its own grey."""
    empty = tuple(np.zeros((0, 3), np.float32) for _ in range(frames))
    shades = np.arange(frames, dtype=np.uint8)[:, None, None, None] * 51
    images = np.broadcast_to(shades, (frames, 300, 200, 3))
    sequence = ScanSequence(empty, modality="images", dense=images, name="photos")
    return OpenedScans(sequence, Normalization(np.zeros(3), 1.0))


def test_pictures_are_shown_in_the_place_of_points() -> None:
    state = commands.set_time(scan_commands.open_scans(State(), pictures()), 3.0)
    shown = scan_image(state, ())
    assert shown is not None and max(shown.shape[:2]) <= 128 and shown.min() == shown.max() == pytest.approx(0.6)
    assert clouds(state, ()) == () and not why_not_generate(state)
    assert scan_image(commands.with_view(state, points=False), ()) is None
    low, high = scan_box(state, with_box=False)
    np.testing.assert_allclose(high - low, 1.0)
    with_results = replace(state, results=completed_state().results)
    assert "no points" in why_not_color(with_results, "to_scan")


def test_the_view_stays_while_the_box_moves_and_turns_with_the_up_axis() -> None:
    state = scanned_state()
    before = view_normalization(state.document)
    moved = scan_commands.set_alignment(state, center=[5.0, 0.0, 0.0], scale=20.0)
    after = view_normalization(moved.document)
    assert before is not None and after is not None and moved.document.alignment is not None
    np.testing.assert_array_equal(before.apply([1.0, 2.0, 3.0]), after.apply([1.0, 2.0, 3.0]))
    corners = after.apply(box_corners(moved.document.alignment))
    np.testing.assert_allclose(corners.max(0) - corners.min(0), 20.0 / 36.0)
    turned = view_normalization(scan_commands.set_alignment(state, up_axis="z").document)
    assert turned is not None
    assert turned.apply([0.0, 0.0, 9.0])[1] == pytest.approx(0.25)


def test_the_table_tells_fit_and_difference() -> None:
    results = completed_state().results
    assert results is not None
    sample = results.samples.samples[0]
    fit, differs = figures_of(sample, True)
    assert fit == f"{100 * float(sample.fit.mean()):.2f} %" and differs.endswith("%")
    blind = replace(sample, fit=np.full(6, np.nan, np.float32))
    assert figures_of(blind, False) == ("-", "-")


# ---- the worker -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolate", [False, True])
def test_meshes_come_from_the_same_worker_as_motions(isolate: bool) -> None:
    worker = GenerationWorker(make_fake, isolate=isolate)
    document = scanned_state().document
    assert document.scans is not None
    request = worker.submit_scans(document.scans.sequence, reconstruction(document))
    events = gather(worker, has(Finished))
    last = events[-1]
    assert isinstance(last, Finished) and last.request == request
    assert isinstance(last.samples, ReconstructionSet) and len(last.samples.samples) == 4
    previews = [e.progress for e in events if isinstance(e, Progressed) and e.progress.preview is not None]
    assert previews and previews[-1].preview_faces is not None
    worker.close()


def test_scans_the_pipeline_refuses_are_one_sentence_and_a_mesh_follows() -> None:
    worker = GenerationWorker(make_fake, isolate=False)
    document = scanned_state().document
    assert document.scans is not None
    empty = replace(document.scans.sequence, points=(np.zeros((0, 3), np.float32),) * 3)
    worker.submit_scans(empty, reconstruction(document))
    failed = next(e for e in gather(worker, has(Failed)) if isinstance(e, Failed))
    assert "no points" in failed.message and not failed.detail
    mesh = ball()
    from core.sequence import Handle, HandleTracks

    worker.submit(mesh, HandleTracks((Handle(3, {16: mesh.vertices[3] + 0.5}),)), SamplingOptions(seeds=1))
    gather(worker, has(Finished))
    worker.close()


def test_the_true_error_is_the_distance_from_the_surface() -> None:
    state = completed_state(seeds=2, truth=True)
    results, opened = state.results, state.document.scans
    assert results is not None and opened is not None and opened.truth is not None
    assert isinstance(results.samples, ReconstructionSet)
    same = replace(results.samples.samples[0], sequence=opened.truth)
    lifted = np.array(opened.truth.vertices)
    top = int(lifted[0, :, 1].argmax())
    lifted[:, top, 1] += 3.6
    raised = replace(same, sequence=MeshSequence(lifted, opened.truth.faces))
    exact, off = truth_errors(replace(results.samples, samples=(same, raised)), opened.truth)
    assert exact.shape == opened.truth.vertices.shape[:2] and exact.max() < 1e-5
    np.testing.assert_allclose(off[:, top], 0.1, atol=1e-3)


def test_point_triangle_distance_inside_on_edges_and_at_corners() -> None:
    triangle = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    points = np.array([[0.2, 0.2, 0.5], [0.5, -2.0, 0.0], [3.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.1, 0.1, 0.0]])
    found = point_triangle_distance(points, np.repeat(triangle[None], len(points), 0))
    np.testing.assert_allclose(found, [0.5, 2.0, 2.0, np.sqrt(0.5), 0.0], atol=1e-12)
    flat = np.repeat(np.array([[[0.0, 0, 0], [1, 0, 0], [0.5, 0, 0]]]), 1, 0)
    np.testing.assert_allclose(point_triangle_distance(np.array([[0.5, 1.0, 0.0]]), flat), [1.0])


def test_meshes_are_exported_upright() -> None:
    state = completed_state(seeds=1, up_axis="z")
    place, results = state.document.alignment, state.results
    assert place is not None and results is not None
    sequence = results.samples.samples[0].sequence
    turned = upright(sequence, place)
    np.testing.assert_allclose(turned.vertices[..., 1], sequence.vertices[..., 2], rtol=1e-6)
    assert upright(sequence, checked_alignment(place, place.center, place.scale, "y")) is sequence
