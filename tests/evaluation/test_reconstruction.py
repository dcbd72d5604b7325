"""The scan protocols from end to end with a model that knows the answer, and the report they write."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from core.errors import M2VError, MeshError
from core.evaluation import reconstruction as protocol
from core.evaluation.evaluation_clips import EvaluationClip, load, procedural_clips
from core.evaluation.reconstruction import (
    Models,
    ReconstructionSettings,
    evaluate_reconstruction,
    scan_fingerprint,
)
from core.evaluation.scan_tasks import observe
from core.experiments.protocols import ProtocolOptions, run_protocol
from core.observation_kinds import SCAN_PROTOCOLS, ScanTask
from core.pipelines.request import (
    Reconstruction,
    ReconstructionOptions,
    ReconstructionSet,
)
from core.sequence import MeshSequence, ScanSequence
from tests.report_tables import ReportTables

FRAMES = 4
TASK = ScanTask("few_points", "A few tracked points", "tracked", 60, 0.001, FRAMES)
CLIPS = procedural_clips(1, kinds=("laptop",)) + procedural_clips(1, "unseen_motion", kinds=("stapler",))


class Oracle:
    """Answers with the true motion, each seed's lower half off by `error` times its number; counts its calls."""

    def __init__(self, clips: list[EvaluationClip], error: float = 0.01) -> None:
        self.clips = {clip.name.key: clip for clip in clips}
        self.error = error
        self.calls: list[ReconstructionOptions] = []
        self.seen: list[ScanSequence] = []

    def reconstruct(self, scans: ScanSequence, options: ReconstructionOptions) -> ReconstructionSet:
        self.calls.append(options)
        self.seen.append(scans)
        clip = min(self.clips.values(), key=lambda c: np.abs(c.vertices[0].max(0) - scans.points[0].max(0)).sum())
        lower = clip.vertices[0, :, 1] < 0
        samples = []
        for seed in range(options.sampling.seeds):
            size = self.error * seed + (0.05 if options.sampling.quality == "draft" else 0.0)
            vertices = clip.vertices + np.where(lower, size, 0.0)[None, :, None] * np.array([1.0, 0.0, 0.0])
            sequence = MeshSequence(vertices.astype(np.float32), clip.faces)
            blank = np.zeros(vertices.shape[:2], np.float32)
            samples.append(Reconstruction(seed, sequence, np.zeros(len(vertices), np.float32), blank, blank))
        assert options.normalization is not None
        return ReconstructionSet(tuple(samples), options.normalization, 0.0, "oracle", "cpu")


def settings(*tasks: ScanTask, seeds: int = 2) -> ReconstructionSettings:
    return ReconstructionSettings(tasks, seeds, spread_seeds=3, vertices=150, samples=2000)


@pytest.fixture(scope="module")
def clips() -> list[EvaluationClip]:
    found = [load(name, FRAMES, 150) for name in CLIPS]
    assert all(clip is not None for clip in found)
    return [clip for clip in found if clip is not None]


def as_still(scans: ScanSequence, _: object = None) -> MeshSequence:
    """The scan's bounding box, standing still."""
    mesh = trimesh.creation.box(bounds=np.stack([scans.points[0].min(0), scans.points[0].max(0)]))
    return MeshSequence(np.repeat(mesh.vertices[None], scans.frames, 0), mesh.faces)


@pytest.fixture
def no_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classical baseline is fast, and bad."""
    monkeypatch.setattr(protocol, "reconstruct_classically", as_still)


@pytest.mark.usefixtures("no_baseline")
def test_every_method_is_scored_on_the_same_input(clips: list[EvaluationClip], tmp_path: Path) -> None:
    oracle, out, raw = Oracle(clips), tmp_path / "report.json", tmp_path / "raw.json"
    report = evaluate_reconstruction("sparse-points", Models(oracle), CLIPS, out, settings(TASK), raw=raw)
    assert json.loads(raw.read_text()) == {"clips": report["clips"]}
    stored = json.loads(out.read_text())
    assert "clips" not in stored and stored["summary"].keys() == report["summary"].keys()
    assert len({scan_fingerprint(scans) for scans in oracle.seen}) == len(CLIPS)
    for options in oracle.calls:
        assert options.normalization is not None and options.normalization.scale == 1.0
        assert not options.normalization.center.any()
    for clip in report["clips"]:
        methods = clip["tasks"]["few_points"]
        assert set(methods) == {"ours", "without_diffusion", "poisson_arap"}
        ours = methods["ours"]
        assert len(ours["seeds"]) == 2 and len(methods["without_diffusion"]["seeds"]) == 1
        assert ours["seeds"][0]["iou"] == 1.0 and ours["seeds"][1]["iou"] < 1.0
        assert ours["cd"] == pytest.approx(np.mean([seed["cd"] for seed in ours["seeds"]]))
        assert methods["without_diffusion"]["corr"] > ours["corr"]
        assert ours["jitter_over_truth"] == pytest.approx(1.0, rel=1e-3)
        assert clip["cd_floor"] > 0 and clip["motion"] > 0.01
    group = report["summary"]["procedural/unseen_identity"]["few_points"]
    assert group["ours_leads"] == {"iou": True, "cd": True, "corr": True}
    own = report["clips"][0]["tasks"]["few_points"]["ours"]["seeds"]
    assert group["methods"]["ours"]["iou"]["std"] == pytest.approx(np.std([seed["iou"] for seed in own]))


@pytest.mark.usefixtures("no_baseline")
def test_the_table_has_the_papers_scores_and_both_splits(clips: list[EvaluationClip], tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    report = evaluate_reconstruction("sparse-points", Models(Oracle(clips)), CLIPS, out, settings(TASK))
    tables = ReportTables(out.with_suffix(".md").read_text())
    for split, title in (("unseen_motion", "unseen motion"), ("unseen_identity", "unseen individual")):
        group = report["summary"][f"procedural/{split}"]["few_points"]
        for method, row in (("ours", "ours"), ("without_diffusion", "ours w/o diffusion (one call)")):
            scores, name = group["methods"][method], f"Procedural, {title}, {row}"
            assert tables.value(name, "IoU") == pytest.approx(scores["iou"]["mean"], abs=5e-4)
            assert tables.value(name, "CD") == pytest.approx(scores["cd"]["mean"], abs=5e-5)
            assert tables.value(name, "Corr x10") == pytest.approx(10 * scores["corr"]["mean"], abs=5e-4)
        assert tables.value(f"{title}, sampling floor", "CD") == pytest.approx(group["cd_floor"], abs=5e-5)
    goal = "Procedural, unseen individual: IoU"
    ours = report["summary"]["procedural/unseen_identity"]["few_points"]["methods"]["ours"]["iou"]["mean"]
    assert tables.value(goal, "Measured") == pytest.approx(ours, abs=1e-4)
    assert (tables.cell(goal, "Aim"), tables.cell(goal, "Reached")) == (">= 0.75", "yes")


@pytest.mark.usefixtures("no_baseline")
def test_an_interrupted_run_goes_on(clips: list[EvaluationClip], tmp_path: Path) -> None:
    out, oracle = tmp_path / "report.json", Oracle(clips)
    steps = []

    def stop(done: int, total: int, what: str) -> None:
        steps.append((done, total))
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_reconstruction("sparse-points", Models(oracle), CLIPS, out, settings(TASK), stop)
    assert steps == [(1, 8), (2, 8), (3, 8), (5, 8)] and not out.exists()
    first = len(oracle.calls)
    evaluate_reconstruction("sparse-points", Models(oracle), CLIPS, out, settings(TASK))
    assert {options.sampling.quality for options in oracle.calls[first:]} == {"draft"}
    last = len(oracle.calls)
    evaluate_reconstruction("sparse-points", Models(oracle), CLIPS, out, settings(TASK))
    assert len(oracle.calls) == last
    evaluate_reconstruction("sparse-points", Models(oracle, {"weights": "other"}), CLIPS, out, settings(TASK))
    assert len(oracle.calls) > last


def test_a_clip_without_a_surface_is_counted_and_in_no_mean(
    clips: list[EvaluationClip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_second_only(scans: ScanSequence, _: object = None) -> MeshSequence:
        if scan_fingerprint(scans) == scan_fingerprint(observe(TASK, clips[0])):
            raise MeshError("The occupancy is outside everywhere.")
        return as_still(scans)

    monkeypatch.setattr(protocol, "reconstruct_classically", on_second_only)
    names = [CLIPS[0], dataclasses.replace(CLIPS[1], split="unseen_identity")]
    out = tmp_path / "report.json"
    report = evaluate_reconstruction("sparse-points", Models(Oracle(clips)), names, out, settings(TASK))
    group = report["summary"]["procedural/unseen_identity"]["few_points"]
    assert group["clips"] == 1 and group["failures"] == {"ours": 0, "without_diffusion": 0, "poisson_arap": 1}
    second = report["clips"][1]["tasks"]["few_points"]["ours"]["cd"]
    assert group["methods"]["ours"]["cd"]["mean"] == pytest.approx(second)
    assert "found no surface in 1 clips" in out.with_suffix(".md").read_text()


@pytest.mark.usefixtures("no_baseline")
def test_half_bodies_are_compared_seed_with_seed(clips: list[EvaluationClip], tmp_path: Path) -> None:
    task = ScanTask("half", "Half", "tracked", 60, 0.001, FRAMES, half=True)
    oracle, out = Oracle(clips), tmp_path / "report.json"
    report = evaluate_reconstruction("half-body", Models(oracle), CLIPS[:1], out, settings(task))
    spread = report["clips"][0]["tasks"]["half"]["ours"]["spread"]
    assert spread["seeds"] == 3 and max(options.sampling.seeds for options in oracle.calls) == 3
    assert spread["unseen"] > 0
    assert "spread" not in report["clips"][0]["tasks"]["half"]["without_diffusion"]
    ratio = ReportTables(out.with_suffix(".md").read_text()).value("on the unseen half", "Measured")
    assert ratio == pytest.approx(spread["unseen"] / spread["seen"], rel=1e-3)


@pytest.mark.usefixtures("no_baseline")
def test_partial_scans_are_also_left_to_each_half_of_the_method(
    clips: list[EvaluationClip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The networks without the bank of bodies, and its best body without networks."""
    task = ScanTask("half", "Half", "tracked", 60, 0.001, FRAMES, half=True)
    oracle, bank = Oracle(clips), SimpleNamespace()
    oracle.bodies = bank
    had: list[object] = []
    answer = oracle.reconstruct
    monkeypatch.setattr(oracle, "reconstruct", lambda *given: had.append(oracle.bodies) or answer(*given))
    monkeypatch.setattr(protocol, "reconstruct_by_body", lambda poses, scans, how: as_still(scans))
    out = tmp_path / "report.json"
    report = evaluate_reconstruction("half-body", Models(oracle), CLIPS[:1], out, settings(task))
    methods = report["clips"][0]["tasks"]["half"]
    assert set(methods) == {"ours", "without_bodies", "body_alone", "poisson_arap"}
    assert had == [bank, None] and oracle.bodies is bank
    assert methods["body_alone"]["iou"] < methods["ours"]["iou"]
    shown = ReportTables(out.with_suffix(".md").read_text()).value("best body alone", "IoU")
    assert shown == pytest.approx(methods["body_alone"]["iou"], abs=5e-4)


@pytest.mark.usefixtures("no_baseline")
def test_long_sequences_report_drift_and_seams(tmp_path: Path) -> None:
    name = CLIPS[0]
    clip = load(name, 20, 150)
    assert clip is not None
    task = ScanTask("long", "Long", "tracked", 40, 0.0, 20)
    out = tmp_path / "report.json"
    report = evaluate_reconstruction("long-sequence", Models(Oracle([clip])), [name], out, settings(task, seeds=1))
    figures = report["clips"][0]["tasks"]["long"]["ours"]
    assert figures["drift"] == pytest.approx(1.0, abs=0.2)
    assert figures["seam_jump"] == pytest.approx(report["clips"][0]["seam_jump"], rel=1e-3)
    tables = ReportTables(out.with_suffix(".md").read_text())
    measured = tables.value("CD of the last 17 frames over the first 17", "Measured")
    assert measured == pytest.approx(figures["drift"], rel=1e-3)


def test_an_observation_is_the_same_in_every_run(clips: list[EvaluationClip]) -> None:
    first, second = observe(TASK, clips[0]), observe(TASK, clips[0])
    assert scan_fingerprint(first) == scan_fingerprint(second) != scan_fingerprint(observe(TASK, clips[1]))
    assert first.tracked and first.frames == FRAMES and all(len(points) == 60 for points in first.points)


def test_every_scan_protocol_has_tasks_of_their_own_names() -> None:
    names = [task.name for protocol in SCAN_PROTOCOLS.values() for task in protocol.tasks]
    assert len(set(names)) == len(names)


def test_bad_requests_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(M2VError, match="untrained"):
        run_protocol("sparse-points", tmp_path / "x.json", ProtocolOptions(untrained=True))
    with pytest.raises(M2VError, match="0 seeds"):
        run_protocol("sparse-points", tmp_path / "x.json", ProtocolOptions(seeds=0))
