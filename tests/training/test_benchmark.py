"""m2v bench --training: both loops really run and count; bad requests are one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core import cli
from core.training import benchmark
from core.training.objectives import MotionAutoencoderObjective
from tests.training.fixed import FixedClips, tiny


def test_the_report_compares_medians(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"plain": iter([2.0, 4.0, 90.0]), "ours": iter([6.0, 1.0, 8.0])}
    asked = []

    def child(kind: str, *rest: object) -> float:
        asked.append(kind)
        return next(speeds[kind])

    monkeypatch.setattr(benchmark, "_child", child)
    out = tmp_path / "bench.json"
    assert cli.main(["bench", "--training", "--preset", "tiny", "--out", str(out), "--stage", "shape-diffusion"]) == 0
    report = json.loads(out.read_text())
    assert asked == ["plain", "ours"] * 3, "by turns"
    assert report["median"] == {"plain": 4.0, "ours": 6.0} and report["ratio"] == 1.5
    assert "Ours over plain: 1.50" in out.with_suffix(".md").read_text()


def test_a_child_measures_the_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny()
    benchmark.save_first_weights(config, tmp_path)
    benchmark.main(["plain", "tiny", "motion-diffusion", "0.01", str(tmp_path), "training.batch=1"])
    assert json.loads(capsys.readouterr().out)["clips_per_second"] > 0


def test_both_loops_count_the_same_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that gives every step one second, both do a batch a second."""
    monkeypatch.setattr("core.training.loop.CHECK_CLIPS", 2)
    clock = [0.0]

    class Slow(MotionAutoencoderObjective):
        def forward(self, clips, generator):
            clock[0] += 1.0
            return super().forward(clips, generator)

    for module in ("core.training.benchmark", "core.training.loop"):
        monkeypatch.setattr(f"{module}.time.monotonic", lambda: clock[0])
    config, source = tiny(), FixedClips()
    plain = benchmark.time_plain(Slow(config), config, source, 8.0)  # type: ignore[arg-type]
    ours = benchmark.time_ours("motion-autoencoder", Slow(config), config, source, 8.0)  # type: ignore[arg-type]
    assert plain == ours == config.training.batch


def test_plain_training_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = tiny()
    objective = MotionAutoencoderObjective(config)
    before = {name: value.clone() for name, value in objective.trained.state_dict().items()}
    benchmark.time_plain(objective, config, FixedClips(), 0.001)  # type: ignore[arg-type]
    assert any(not torch.equal(before[name], value) for name, value in objective.trained.state_dict().items())


@pytest.mark.parametrize(
    "arguments",
    [["--stage", "nothing"], ["--seconds", "0"], ["--seconds", "nan"], ["--repeats", "0"], ["--preset", "no"]],
)
def test_bad_requests_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert cli.main(["bench", "--training", "--out", str(tmp_path / "b.json"), *arguments]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1 and not list(tmp_path.iterdir())
