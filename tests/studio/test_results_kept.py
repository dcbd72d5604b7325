"""Stars, names and keys made of results, on the pure document and through a project file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from core.geometry import key_fitting
from core.pipelines.request import SamplingOptions
from core.sequence import MeshSequence
from m2v_studio.document import commands, job_commands, result_commands
from m2v_studio.document.key_fitting import result_as_keys
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.result_commands import mark_of, result_label
from m2v_studio.document.state import State, edit_key, tracks
from m2v_studio.work.exporting import write_results

from .fake_animator import FakeAnimator
from .shapes import ball


def keyed() -> State:
    state = commands.add_handle(commands.open_source(State(), ball()), 3)
    assert state.document.source is not None
    return commands.set_key(state, 0, 16, state.document.source.vertices[3] + np.array([0.1, 0.3, 0.0]))


def generated(state: State, seeds: int = 3, quality: str = "normal", first: int = 0) -> State:
    assert state.document.source is not None
    options = SamplingOptions(seeds=seeds, seed=first, quality=quality)  # type: ignore[arg-type]
    made = FakeAnimator().animate(state.document.source, tracks(state.document), options)
    state = job_commands.job_started(state, 7, options.quality, seeds)
    return job_commands.job_finished(state, 7, made)


def labels(state: State) -> list[str]:
    assert state.results is not None
    return [result_label(state.results, row) for row in range(len(state.results.samples.samples))]


def test_what_has_a_star_outlives_the_next_generation_and_is_dimmed_as_older() -> None:
    state = result_commands.name_result(generated(keyed()), 1, "  proud   walk ")
    assert labels(state) == ["seed 0", "proud walk", "seed 2"] and mark_of(state.results, 1).star
    kept = state.results.samples.samples[1]  # type: ignore[union-attr]
    state = commands.set_key(state, 0, 8, [0.0, 1.2, 0.0])
    state = generated(state, seeds=1, quality="draft")
    assert labels(state) == ["seed 0", "proud walk"]
    assert state.results is not None and state.results.samples.samples[1] is kept
    assert mark_of(state.results, 1).older and not mark_of(state.results, 0).older and state.view.solo == 0


def test_the_same_seed_of_the_same_edit_is_not_kept_twice() -> None:
    state = result_commands.toggle_star(generated(keyed()), 2)
    state = generated(state, seeds=4)
    assert labels(state) == ["seed 0", "seed 1", "seed 2", "seed 3"]
    assert [mark_of(state.results, row).star for row in range(4)] == [False, False, True, False]


def test_the_others_are_deleted_and_brought_back() -> None:
    state = result_commands.toggle_star(commands.solo(generated(keyed(), seeds=4), 3), 1)
    assert result_commands.others_of(state) == (0, 2, 3)
    fewer = result_commands.delete_results(state, result_commands.others_of(state))
    assert labels(fewer) == ["seed 1"] and fewer.view.solo == 0 and mark_of(fewer.results, 0).star
    again = result_commands.bring_back(fewer)
    assert again.results is state.results and again.removed is None
    unstarred = result_commands.toggle_star(state, 1)
    assert result_commands.others_of(unstarred) == (0, 1, 2), "without a star, what is shown stays"
    assert result_commands.delete_results(state, range(4)).results is None


def test_stars_names_and_kept_results_go_through_the_project_file(tmp_path: Path) -> None:
    state = result_commands.name_result(generated(keyed()), 1, "proud walk")
    state = generated(commands.set_frames(state, 25), seeds=2)
    save_project(state, tmp_path / "kept.m2v")
    document, results = load_project(tmp_path / "kept.m2v")
    assert results is not None and results.marks == state.results.marks  # type: ignore[union-attr]
    assert [len(s.sequence.vertices) for s in results.samples.samples] == [25, 25, 17]
    assert results.samples.samples[2].sequence.handles is None and results.key == edit_key(document)


def test_keys_made_of_a_result_follow_it_and_are_few() -> None:
    state = generated(keyed())
    assert state.results is not None and state.document.source is not None
    track = state.results.samples.samples[0].sequence.vertices
    made = result_as_keys(state, 0)
    document = made.document
    assert len(document.handles) >= key_fitting.HANDLES and document.handles[0].vertex == 3
    targets, given = tracks(document).constraints(document.source.vertices)  # type: ignore[union-attr]
    used = [handle for handle in document.handles if handle.pinned or handle.keys]
    for row, handle in enumerate(used):
        assert len(handle.keys) <= key_fitting.MAX_KEYS and given[row].all()
        off = np.linalg.norm(targets[row] - track[:, handle.vertex], axis=1).max() / document.source.size  # type: ignore[union-attr]
        assert off <= (key_fitting.STILL if handle.pinned else key_fitting.TOLERANCE) + 1e-6
    assert sum(len(handle.keys) for handle in used) < 0.5 * 16 * len(used), "sparse"


def test_a_path_of_straight_pieces_is_fitted_by_its_corners() -> None:
    path = np.zeros((17, 3))
    path[:, 0] = np.interp(np.arange(17), [0, 5, 12, 16], [0.0, 1.0, -1.0, 0.5])
    assert key_fitting.fitted_frames(path, 1e-9) == [5, 12, 16]
    noise = np.random.default_rng(0).normal(size=(60, 3))
    assert len(key_fitting.fitted_frames(noise, 0.0)) == key_fitting.MAX_KEYS


def test_a_result_of_another_mesh_or_length_is_handled() -> None:
    state = generated(keyed())
    assert state.results is not None
    sample = state.results.samples.samples[0]
    short = MeshSequence(sample.sequence.vertices[:9], sample.sequence.faces, fps=12.0)
    samples = replace(state.results.samples, samples=(replace(sample, sequence=short),))
    made = result_as_keys(replace(state, results=replace(state.results, samples=samples)), 0)
    assert made.document.frames == 9 and made.document.fps == 12.0


def test_a_kept_result_and_a_new_one_of_the_same_seed_are_exported_to_two_files(tmp_path: Path) -> None:
    state = result_commands.toggle_star(generated(keyed(), seeds=2), 1)
    state = generated(commands.set_key(state, 0, 8, [0.0, 1.2, 0.0]), seeds=2)
    assert state.results is not None and [s.seed for s in state.results.samples.samples] == [0, 1, 1]
    written = write_results(state.results.samples.samples, tmp_path / "walk.npz", state.document, None).paths
    assert [path.name for path in written] == ["walk-seed0.npz", "walk-seed1.npz", "walk-seed1-2.npz"]
    assert all(path.exists() for path in written)
