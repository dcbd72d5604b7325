"""The ablations with the `tiny` preset: rows, budgets, resuming and the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.checkpoint import STAGES, load_checkpoint, save_checkpoint
from core.config import load_config
from core.errors import DataError, M2VError
from core.evaluation.evaluation_clips import procedural_clips
from core.evaluation.handles import HandleTask
from core.experiments.ablation_rows import HANDLES_ONLY, ROWS, TRAINED
from core.experiments.ablation_training import OnStep, train_in_a_process
from core.experiments.ablations import AblationSettings, choose_rows, evaluate_ablations
from core.experiments.training_benchmark import save_first_weights
from core.models.diffusion_models import build_motion_autoencoder, build_motion_diffusion, build_shape_autoencoder
from core.training import loop
from core.training.stages import build_objective, train
from tests.report_tables import ReportTables
from tests.training.fixed import FixedClips

SETTINGS = AblationSettings(
    train_clips=8, seeds=2, samples=2, tasks=(HandleTask(3, "full"), HandleTask(2, "last")), frames=5, vertices=150
)
COARSE = ("diffusion.warm_start_nodes=24",)
CLIPS = procedural_clips(1, kinds=("laptop",))


class Trainer:
    """Trains in this process, on the same few clips; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int, tuple[str, ...]]] = []
        self.source = FixedClips()

    def __call__(
        self, config: str, overrides: Sequence[str], stage: str, folder: Path, steps: int, seed: int, on_step: OnStep
    ) -> None:
        self.asked.append((stage, steps, seed, tuple(overrides)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "CHECK_CLIPS", 2)
            patch.setattr(loop, "flops_per_clip", lambda *_: 1.0)  # counting takes longer than these two steps
            train([stage], load_config(config, overrides), folder, steps=steps, seed=seed, source=self.source)
        on_step(steps)


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights of the stages that an animation needs."""
    folder, config = tmp_path_factory.mktemp("landed"), load_config("tiny")
    save_first_weights(config, folder)
    diffusion = build_motion_diffusion(config)
    save_checkpoint(folder / f"{STAGES[3]}.safetensors", STAGES[3], config, diffusion.state_dict(), {})
    return folder


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer()


@pytest.fixture(scope="module")
def report_file(landed: Path, trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ablations") / "report.json"
    rows = ("no_diffusion", "fresh_motion", "frames_2", "steps_4", "rigs_only")
    raw = out.with_name("raw.json")
    evaluate_ablations("tiny", str(landed), CLIPS, out, SETTINGS, rows, COARSE, train_stage=trainer, raw=raw)
    return out


def runs_of(report_file: Path) -> dict[str, list[dict[str, Any]]]:
    return json.loads(report_file.with_name("raw.json").read_text())["runs"]


def test_every_row_is_a_valid_change_of_the_shipped_preset() -> None:
    for row in TRAINED:
        changes = [change for change in row.changes if row.name != "rigs_only"]
        config = load_config("small", [*HANDLES_ONLY, *changes])
        further = ("no_warm_start", "channels_16", "no_explicit_displacement")  # controls that are rows themselves
        assert ROWS[row.control].control == row.control or row.control in further
        stages = {STAGES[0]: config.shape, STAGES[1]: config.motion}
        for stage, section in stages.items():
            landed = getattr(load_config("small"), "shape" if stage == STAGES[0] else "motion")
            assert stage in row.stages or section == landed, f"{row.name} changes {stage} and does not train it"
        for build in (build_shape_autoencoder, build_motion_autoencoder, build_motion_diffusion):
            build(config)


def test_controls_are_chosen_with_their_rows() -> None:
    assert [row.name for row in choose_rows(["absolute_flow"])] == ["fresh_motion", "channels_16", "absolute_flow"]
    assert len(choose_rows([])) == len(ROWS)
    with pytest.raises(M2VError, match="no_difusion"):
        choose_rows(["no_difusion"])


def test_every_stage_of_every_row_sees_the_same_clips(report_file: Path, trainer: Trainer) -> None:
    report = json.loads(report_file.read_text())
    assert {steps for _, steps, _, _ in trainer.asked} == {2}
    for row in report["rows"]:
        if row["stages"] and not row.get("not_run"):
            runs = runs_of(report_file)[row["name"]]
            assert [run["seed"] for run in runs] == [0, 1]
            assert {stage["clips"] for run in runs for stage in run["training"].values()} == {8}
            assert [*runs[0]["training"]] == row["stages"]
    # frames_2 is what `tiny` is anyway: it was not trained beside the preset.
    assert len(trainer.asked) == 2 * (1 + 1 + 2)
    assert not list(report_file.with_suffix(".runs").glob("*"))


def test_the_table_has_means_and_spreads_over_seeds(report_file: Path) -> None:
    report = json.loads(report_file.read_text())
    whole = report["summary"]["preset"]["groups"]["all"]["full_3"]["draft"]["error"]
    errors = [run["clips"][CLIPS[0].key]["full_3"]["draft"]["error"] for run in runs_of(report_file)["preset"]]
    assert whole["mean"] == pytest.approx(sum(errors) / 2, rel=1e-5)
    assert whole["std"] == pytest.approx(abs(errors[0] - errors[1]) / 2**0.5, rel=1e-5)
    assert report["summary"]["frames_2"]["over_control"]["draft"] == {"mean": 1.0, "std": 0.0}
    assert "single" not in report["summary"]["no_diffusion"]["groups"]["all"]["full_3"]
    text = report_file.with_suffix(".md").read_text()
    assert "`diffusion.posterior_mean_fraction=1.0`" in text and "budget is small" in text and " 8 clips " in text
    assert "Trained on rigs only: not run, training has one source of clips only" in text
    assert "Handle guidance through the decoder while sampling: not in the table" in text
    tables, four = ReportTables(text), report["summary"]["steps_4"]
    sampled = four["groups"]["all"]["full_3"]["single"]["error"]["mean"]
    assert tables.value("4 steps", "sample full_3") == pytest.approx(1000 * sampled, abs=0.05)
    assert tables.value("4 steps", "seconds") == pytest.approx(four["seconds"]["mean"], abs=0.005)


def test_a_second_run_trains_nothing_and_another_budget_does(
    report_file: Path, landed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("trained again")

    before = json.loads(report_file.read_text())
    rows = ("no_diffusion", "steps_4")
    again = evaluate_ablations("tiny", str(landed), CLIPS, report_file, SETTINGS, rows, COARSE, train_stage=never)
    errors = [report["summary"]["no_diffusion"]["groups"]["all"]["full_3"]["draft"]["error"]["mean"]
              for report in (again, before)]  # fmt: skip
    assert errors[0] == pytest.approx(errors[1], rel=1e-5)
    more = AblationSettings(12, 1, 2, SETTINGS.tasks, 5, 150)
    with pytest.raises(AssertionError, match="trained again"):
        evaluate_ablations("tiny", str(landed), CLIPS, report_file, more, ("no_diffusion",), COARSE, train_stage=never)


def test_an_interrupted_row_goes_on_where_it_stopped(
    landed: Path, trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report.json"
    one_seed = AblationSettings(8, 1, 2, SETTINGS.tasks, 5, 150)

    def stop(done: int, total: int, what: str) -> None:
        if "motion-diffusion 2/2" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_ablations("tiny", str(landed), CLIPS, out, one_seed, ("fresh_motion",), COARSE, "cpu", stop, trainer)
    (folder,) = out.with_suffix(".runs").iterdir()
    assert load_checkpoint(folder / f"{STAGES[3]}.safetensors", STAGES[3]).record["step"] == 2
    monkeypatch.setattr("core.training.stages.train_stage", _counting(trained := []))
    evaluate_ablations("tiny", str(landed), CLIPS, out, one_seed, ("fresh_motion",), COARSE, train_stage=trainer)
    assert trained == [(STAGES[1], 0), (STAGES[3], 0)]


def _counting(found: list[tuple[str, int]]) -> Callable[..., dict[str, Any]]:
    """Training that notes the stages and the steps beyond the two of the budget."""

    def counted(stage: str, *arguments: Any, **named: Any) -> dict[str, Any]:
        record = loop.train_stage(stage, *arguments, **named)
        found.append((stage, record["step"] - 2))
        return record

    return counted


def test_training_is_the_command_that_people_use(landed: Path, tmp_path: Path) -> None:
    """Once for real: a process, its log, its checkpoint; and what it says when it cannot."""
    overrides = (*HANDLES_ONLY, "training.batch=2")
    train_in_a_process("tiny", overrides, STAGES[1], tmp_path, 2, 3, lambda step: None)
    record = load_checkpoint(tmp_path / f"{STAGES[1]}.safetensors", STAGES[1]).record
    assert record["step"] == 2 and record["checks"]
    objective = build_objective(STAGES[1], load_config("tiny", overrides), tmp_path)
    assert objective.trained.learned
    with pytest.raises(DataError, match="shape-autoencoder"):
        train_in_a_process("tiny", overrides, STAGES[3], tmp_path, 1, 0, lambda step: None)


def test_bad_requests_are_one_sentence(tmp_path: Path, landed: Path) -> None:
    with pytest.raises(M2VError, match="one seed"):
        evaluate_ablations("tiny", str(landed), CLIPS, tmp_path / "x.json", AblationSettings(seeds=0))
