"""The handle-editing protocol from end to end with a tiny model of random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.cli.evaluate_command import main
from core.errors import DataError, M2VError
from core.evaluation import handles as protocol
from core.evaluation.baselines import classical_motions, linear_in_betweens, linear_targets
from core.evaluation.evaluation_clips import load, procedural_clips
from core.evaluation.handles import HandleSettings, HandleTask, evaluate_handles, handle_vertices, task_tracks
from core.evaluation.models import animator_for, describe
from core.experiments.handle_pictures import COLUMNS, HANDLE, TILE, best_and_worst, write_pictures
from core.experiments.protocols import run_protocol
from core.pipelines.animate import Animator
from tests.report_tables import ReportTables

KINDS = ("laptop", "stapler")
SETTINGS = HandleSettings(tasks=(HandleTask(3, "full"), HandleTask(2, "last")), seeds=2, frames=5, vertices=150)


@pytest.fixture(scope="module")
def animator() -> Animator:
    return animator_for("tiny", "cpu", untrained=True)


@pytest.fixture(scope="module")
def report_file(animator: Animator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("handles") / "report.json"
    about, raw = describe(animator, "tiny", True), out.with_name("raw.json")
    evaluate_handles(animator, procedural_clips(2, kinds=KINDS), out, SETTINGS, about, raw=raw)
    return out


def with_rows(report_file: Path) -> dict[str, Any]:
    return json.loads(report_file.read_text()) | json.loads(report_file.with_name("raw.json").read_text())


def test_rows_are_written_only_where_they_are_asked_for(report_file: Path) -> None:
    assert "clips" not in json.loads(report_file.read_text())
    assert len(with_rows(report_file)["clips"]) == len(KINDS)


def test_rows_hold_every_clip_task_and_method(report_file: Path) -> None:
    report = with_rows(report_file)
    assert [clip["category"] for clip in report["clips"]] == list(KINDS)
    for clip in report["clips"]:
        assert clip["motion"] > 0.01
        for task, methods in clip["tasks"].items():
            assert {"no_motion", "biharmonic", "arap", "draft", "single", "mean_of_seeds", "best_of_seeds"} <= set(
                methods
            )
            assert ("arap_poses" in methods) == (task == "last_2")
            assert methods["no_motion"]["error"] == pytest.approx(clip["motion"])
            assert methods["best_of_seeds"]["error"] == pytest.approx(min(methods["seeds"]["errors"]), abs=1e-5)
            assert methods["single"]["error"] == pytest.approx(np.mean(methods["seeds"]["errors"]), abs=1e-5)
            assert methods["mean_of_seeds"]["error"] <= methods["single"]["error"] + 1e-9
            assert methods["seeds"]["handle_error_after_solve"] < 1e-5
            assert methods["seeds"]["mean_pairwise_distance"] > 0
            for name in ("arap", "draft", "single", "best_of_seeds"):
                assert -1 <= methods[name]["crossings_gained"] <= 1
            assert methods["no_motion"]["crossings_gained"] == 0


def test_summary_is_the_ratio_of_means(report_file: Path) -> None:
    report = with_rows(report_file)
    figures = report["summary"]["procedural/unseen_identity"]["full_3"]
    errors = {
        m: np.array([c["tasks"]["full_3"][m]["error"] for c in report["clips"]])
        for m in ("arap", "biharmonic", "draft")
    }
    better = min(errors["arap"].mean(), errors["biharmonic"].mean())
    assert figures["errors"]["draft"]["over_better_baseline"] == pytest.approx(
        errors["draft"].mean() / better, rel=1e-5
    )
    per_clip = np.minimum(errors["arap"], errors["biharmonic"]).mean()
    assert figures["errors"]["draft"]["over_better_baseline_of_each_clip"] == pytest.approx(
        errors["draft"].mean() / per_clip, rel=1e-5
    )
    assert figures["by_category"]["laptop"]["clips"] == 1


def test_the_page_has_the_figures_of_every_task_and_category(report_file: Path) -> None:
    text = report_file.with_suffix(".md").read_text()
    assert "ratios of means" in text and "untrained" in text
    tables, (group,) = ReportTables(text), json.loads(report_file.read_text())["summary"].values()
    for task, title in (("full_3", "3 full tracks"), ("last_2", "2 handles in the last frame only")):
        errors = group[task]["errors"]
        assert tables.value(title, "ARAP") == pytest.approx(1000 * errors["arap"]["mean"], abs=0.05)
        assert tables.value(title, "draft") == pytest.approx(1000 * errors["draft"]["mean"], abs=0.05)
    laptop = group["full_3"]["by_category"]["laptop"]["over_better_baseline"]
    assert tables.value("laptop (1)", "3 full tracks") == pytest.approx(laptop, abs=0.005)


def test_pictures_show_the_best_and_the_worst(animator: Animator, report_file: Path, tmp_path: Path) -> None:
    report, names = with_rows(report_file), procedural_clips(2, kinds=KINDS)
    best, worst = best_and_worst(report)
    assert {best[0].clip, worst[0].clip} == {name.key for name in names} and best[0].ratio < worst[0].ratio
    page = write_pictures(animator, report, names, tmp_path / "pictures", SETTINGS)
    text = page.read_text()
    for name in ("best-01.png", "worst-01.png"):
        assert f"({name})" in text
        picture = np.asarray(Image.open(page.parent / name).convert("RGB")).astype(int)
        assert picture.shape == (3 * TILE, COLUMNS * TILE, 3)
        # Every tile shows a body on paper, and some show handles.
        tiles = picture.reshape(3, TILE, COLUMNS, TILE, 3).swapaxes(1, 2).reshape(3 * COLUMNS, -1, 3)
        assert (tiles.std(axis=1).max(axis=-1) > 5).all()
        assert (np.abs(picture - np.array(HANDLE)).max(axis=-1) < 30).any()


def test_second_run_uses_the_kept_figures(
    report_file: Path, animator: Animator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = report_file.read_text()

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(protocol, "baseline_figures", never)
    monkeypatch.setattr(protocol, "our_figures", never)
    about = describe(animator, "tiny", True)
    evaluate_handles(animator, procedural_clips(2, kinds=KINDS), report_file, SETTINGS, about)
    assert report_file.read_text() == before
    with pytest.raises(AssertionError, match="computed again"):  # other weights: ours are computed afresh
        evaluate_handles(animator, procedural_clips(1, kinds=KINDS), report_file, SETTINGS, {"weights": "other"})


def test_an_interrupted_run_goes_on(animator: Animator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, names = tmp_path / "report.json", procedural_clips(1, kinds=KINDS)

    def stop(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_handles(animator, names, out, SETTINGS, {}, stop)
    assert not out.exists()
    computed = []
    original = protocol.our_figures
    monkeypatch.setattr(protocol, "our_figures", lambda *a: computed.append(a[2].name) or original(*a))
    evaluate_handles(animator, names, out, SETTINGS, {})
    assert computed == ["last_2"]


def test_handles_are_spread_deterministic_and_exact() -> None:
    clip = load(procedural_clips(1, kinds=KINDS)[0], 5, 150)
    assert clip is not None
    rest = clip.vertices[0]
    chosen = handle_vertices(rest, 6)
    assert len(set(chosen.tolist())) == 6
    assert (handle_vertices(rest, 3) == chosen[:3]).all()
    targets, keyframe_mask = task_tracks(clip, HandleTask(3, "last")).constraints(rest)
    assert keyframe_mask.tolist() == [[True, False, False, False, True]] * 3
    assert np.allclose(targets[:, 4], clip.vertices[4, chosen[:3]])
    assert HandleTask(1, "keyframes").keyed(17) == [5, 11, 16]


def test_baselines_meet_the_handles_and_follow_a_translation() -> None:
    clip = load(procedural_clips(1, kinds=KINDS)[0], 5, 150)
    assert clip is not None
    rest = clip.vertices[0]
    handles = handle_vertices(rest, 3)
    shift = np.arange(5)[:, None] * np.array([0.1, 0.0, -0.05])
    targets = rest[handles][:, None] + shift
    keyframe_mask = np.zeros((3, 5), bool)
    keyframe_mask[:, [0, 4]] = True
    motions = classical_motions(rest, clip.faces, handles, targets, keyframe_mask)
    for name in ("biharmonic", "arap", "arap_poses"):
        assert np.allclose(motions[name], rest + shift[:, None], atol=1e-5), name
    assert (motions["no_motion"] == rest).all()
    assert "arap_poses" not in classical_motions(rest, clip.faces, handles, targets, np.ones((3, 5), bool))


def test_in_betweens_are_linear_and_stay_after_the_last_key() -> None:
    poses = np.array([0.0, 4.0, 1.0])[:, None, None] * np.ones((3, 2, 3))
    moved = linear_in_betweens(poses, np.array([0, 2, 5]), 7)
    assert moved[:, 0, 0].tolist() == [0, 2, 4, 3, 2, 1, 1]
    keyframe_mask = np.array([[True, False, True, False]])
    targets = np.array([[[0.0, 0, 0], [9, 9, 9], [2, 0, 4], [9, 9, 9]]])
    assert linear_targets(targets, keyframe_mask)[0].tolist() == [[0, 0, 0], [1, 0, 2], [2, 0, 4], [2, 0, 4]]


def test_clip_lists_are_prefixes_and_follow_the_training_mix() -> None:
    names = procedural_clips(40)
    assert procedural_clips(10) == names[:10]
    kinds = [name.category for name in names]
    assert len(set(kinds)) == 13
    assert kinds.count("quadruped") in (10, 11)
    with pytest.raises(DataError, match="choose from"):
        procedural_clips(1, kinds=("unicorn",))


def test_bad_requests_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(M2VError, match="choose one of"):
        run_protocol("nonsense", tmp_path / "x.json")
    with pytest.raises(M2VError, match=r"\.json"):
        run_protocol("handles", tmp_path / "x.txt")


def test_command_writes_both_reports_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "autoencoders.json"
    asked = ["autoencoders", "--out", str(out), "--preset", "tiny", "--untrained", "--clips", "1", "--vertices", "100"]
    assert main(asked) == 0
    assert out.is_file() and out.with_suffix(".md").is_file()
    assert str(out) in capsys.readouterr().out
    assert main(["handles", "--out", str(out), "--untrained", "--rigs", str(tmp_path / "nowhere")]) == 2
    assert "not a folder" in capsys.readouterr().err
