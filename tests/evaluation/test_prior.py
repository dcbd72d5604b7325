"""The measures of a prior: right for what is known, and never flattered by a statue."""

import numpy as np
import pytest

from core.evaluation.evaluation_clips import ClipName, EvaluationClip
from core.evaluation.fair_bank import without_own_pack
from core.evaluation.prior import (
    TASKS,
    _groups,
    _some_of_each_rig,
    energy_distance,
    mean_skate,
    mean_strain,
    measure,
    prior_markdown,
)
from tests.bank.creatures import swinging_rod
from tests.report_tables import ReportTables


@pytest.fixture
def clip() -> EvaluationClip:
    shape = swinging_rod()
    vertices = shape.posed(shape.clips[0]).astype(float)
    faces = np.array([[i, i + 1, i + 21] for i in range(20)], np.int32)
    return EvaluationClip(ClipName("rod/swing", "rigs", "walk", "objects", "/rigs/rod.glb"), vertices, faces, 24.0)


def test_the_truth_itself_is_perfect(clip):
    found = measure(np.repeat(clip.vertices[None], 3, 0), clip)
    assert (
        found["size"] == pytest.approx(1) and found["best"] == pytest.approx(0) and found["apart"] == pytest.approx(0)
    )
    assert found["strain"] == pytest.approx(found["true_strain"])


def test_a_statue_has_size_zero_and_error_one(clip):
    found = measure(np.repeat(clip.vertices[None, :1], len(clip.vertices), 1), clip)
    assert found["size"] == 0 and found["best"] == pytest.approx(1)


def test_energy_distance_sees_both_place_and_spread():
    random = np.random.default_rng(0)
    one, other = random.normal(size=(200, 5)), random.normal(size=(200, 5))
    assert energy_distance(one, other) < 0.02
    assert energy_distance(one, other + 3.0) > 0.3
    assert energy_distance(np.zeros((200, 5)), other) > 0.1


def test_full_tracks_are_asked_of_some_clips_of_each_rig():
    names = [ClipName(f"{rig}/{n}", "rigs", "walk", "objects", f"/{rig}.glb") for rig in "ab" for n in range(6)]
    assert _some_of_each_rig(names, None) == {name.key for name in names}
    assert _some_of_each_rig(names, 2) == {"a/1", "a/4", "b/1", "b/4"}


def test_energy_is_judged_where_there_are_clips_enough(clip, tmp_path, monkeypatch):
    """One clip of a rig cannot show how motions spread: rigs with many decide, and the floor says what is left."""
    from core.evaluation import prior

    def measured(_animator, name, _task, _seeds):
        true = np.random.default_rng(int(name.key.rsplit("/", 1)[1])).normal(size=(1, 5))
        figures = measure(clip.vertices[None], clip)
        samples = true if name.path == "/many.glb" else true + 100
        return {"borrowing and denoiser": {"figures": figures, "samples": samples.tolist(), "truth": true.tolist()}}

    monkeypatch.setattr(prior, "_clip_rows", measured)
    names = [ClipName(f"many/{n}", "rigs", "walk", "objects", "/many.glb") for n in range(8)]
    names.append(ClipName("one/99", "rigs", "walk", "objects", "/one.glb"))
    animator = type("Judged", (), {"library": object()})()
    report = prior.evaluate_prior(animator, names, tmp_path / "prior.json", 1, TASKS[:1])
    (row,) = report["summary"]
    assert row["identities"] == 1 and row["energy"] == pytest.approx(0)
    assert row["floor"] == pytest.approx(1 / 8) and row["clips"] == 9


def test_strain_and_skate_of_simple_motions(clip):
    still = np.repeat(clip.vertices[:1], 5, 0)
    assert mean_strain(still, clip.faces) == 0 and mean_skate(still) == 0
    grown = still * np.array([1, 1.1, 1.2, 1.3, 1.4])[:, None, None]
    assert mean_strain(grown, clip.faces) == pytest.approx(0.25)
    slid = still + np.arange(5)[:, None, None] * np.array([0.01, 0, 0])
    assert mean_skate(slid) == pytest.approx(0.01)


def test_the_one_handle_is_the_vertex_that_moves_farthest(clip):
    vertices, keyframe_mask = TASKS[0].keys(clip)
    moved = np.linalg.norm(clip.vertices - clip.vertices[:1], axis=-1)
    frame = int(np.flatnonzero(keyframe_mask[0])[-1])
    assert moved[frame, vertices[0]] == moved.max() and keyframe_mask.sum() == 2


def test_a_clip_is_judged_without_its_own_pack(clip):
    from core.bank.library import MotionLibrary

    class Judged:
        library = MotionLibrary([swinging_rod("rod"), swinging_rod("calm")])

    judged, whole = Judged(), Judged.library
    with without_own_pack(judged, clip.name):
        assert judged.library.shapes == ()
    assert judged.library is whole


def test_the_report_reads_as_a_table(clip):
    figures = {"clip": "rod", "behaviour": "walk", "category": "objects", "task": "one handle"}
    figures |= {"row": "borrowing and denoiser", **measure(clip.vertices[None], clip)}
    summary = {"task": "one handle", "row": "borrowing and denoiser", "clips": 1, "energy": 0.01, "floor": 0.0}
    summary |= {name: figures[name] for name in ("size", "best", "apart", "strain", "skate", "mean")}
    text = prior_markdown({"summary": [summary], "groups": _groups([figures])})
    tables = ReportTables(text)
    for name in ("size", "best", "strain", "energy"):
        assert tables.value("borrowing and denoiser", name) == pytest.approx(summary[name], abs=5e-4)
    assert tables.value("walk", "size") == pytest.approx(figures["size"], abs=5e-4)


def test_an_interrupted_run_goes_on_where_it_stopped(clip, tmp_path, monkeypatch):
    """Clips that were measured are not measured again, unless the weights are others."""
    from core.evaluation import prior

    asked: list[str] = []

    def measured(_animator, name, task, _seeds):
        asked.append(name.key)
        if name.key == "rod/breaks" and len(asked) < 3:
            raise KeyboardInterrupt
        samples = np.repeat(clip.vertices[None], 2, 0) * 1.01
        vectors = prior._displacements(samples)
        truth = prior._displacements(clip.vertices[None])
        found = {"figures": measure(samples, clip), "samples": vectors.tolist(), "truth": truth.tolist()}
        return {"borrowing and denoiser": found}

    monkeypatch.setattr(prior, "_clip_rows", measured)
    names = [ClipName(f"rod/{end}", "rigs", "walk", "objects", f"/rigs/{end}.glb") for end in ("first", "breaks")]
    animator = type("Judged", (), {"library": object()})()
    out = tmp_path / "prior.json"
    run = lambda weights: prior.evaluate_prior(animator, names, out, 2, TASKS[:1], {"weights": weights})  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run("a")
    report = run("a")
    assert asked == ["rod/first", "rod/breaks", "rod/breaks"]
    assert len(report["clips"]) == 2 and report["summary"][0]["clips"] == 2
    run("b")
    assert len(asked) == 5
