"""m2v bench --training: both loops really run and count; bad requests are one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.cli import command_line
from core.experiments import training_benchmark
from core.training.objectives import MotionAutoencoderObjective
from tests.training.fixed import FixedClips, tiny


def test_the_report_compares_medians_with_the_faster_plain_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speeds = {
        ("plain", 2): iter([2.0, 4.0, 90.0]),
        ("plain", 1): iter([3.0, 3.0, 3.0]),
        ("ours", 1): iter([6.0, 1.0, 8.0]),
    }
    asked = []

    def child(loop: training_benchmark.Loop, *rest: object) -> training_benchmark.Timing:
        asked.append((loop.kind, loop.processes, loop.threads))
        return training_benchmark.Timing(next(speeds[loop.kind, loop.threads]), 0.25)

    monkeypatch.setattr(training_benchmark, "_child", child)
    monkeypatch.setattr(training_benchmark, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("os.getloadavg", lambda: (3.0, 3.0, 3.0), raising=False)
    out = tmp_path / "bench.json"
    assert (
        command_line.main(["bench", "--training", "--preset", "tiny", "--out", str(out), "--stage", "shape-diffusion"])
        == 0
    )
    report = json.loads(out.read_text())
    assert asked == [("plain", 1, 2), ("plain", 1, 1), ("ours", 2, 1)] * 3, "by turns"
    assert (report["plain"], report["ours"], report["ratio"]) == (4.0, 6.0, 1.5)
    page = out.with_suffix(".md").read_text()
    assert "faster plain loop: 1.50" in page and "The machine was busy" in page


def test_a_child_measures_the_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny()
    training_benchmark.save_first_weights(config, tmp_path)
    training_benchmark.main(["plain", "tiny", "motion-diffusion", "0.01", str(tmp_path), "training.batch=1"])
    timing = json.loads(capsys.readouterr().out)
    assert timing["clips_per_second"] > 0 and timing["cpu_seconds_per_clip"] > 0


def test_both_loops_count_the_same_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that gives every step one second, both do a batch a second."""
    monkeypatch.setattr("core.training.loop.CHECK_CLIPS", 2)
    clock = [0.0]

    class Slow(MotionAutoencoderObjective):
        def forward(self, clips, generator):
            clock[0] += 1.0
            return super().forward(clips, generator)

    for module in ("core.experiments.training_benchmark", "core.training.loop"):
        monkeypatch.setattr(f"{module}.time.monotonic", lambda: clock[0])
    config, source = tiny(), FixedClips()
    plain = training_benchmark.time_plain(Slow(config), config, source, 8.0)  # type: ignore[arg-type]
    ours = training_benchmark.time_ours("motion-autoencoder", Slow(config), config, source, 8.0)  # type: ignore[arg-type]
    assert ours is not None
    assert plain.clips_per_second == ours.clips_per_second == config.training.batch


def test_plain_training_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = tiny()
    objective = MotionAutoencoderObjective(config)
    before = {name: value.clone() for name, value in objective.trained.state_dict().items()}
    training_benchmark.time_plain(objective, config, FixedClips(), 0.001)  # type: ignore[arg-type]
    assert any(not torch.equal(before[name], value) for name, value in objective.trained.state_dict().items())


@pytest.mark.parametrize(
    "arguments",
    [["--stage", "nothing"], ["--seconds", "0"], ["--seconds", "nan"], ["--repeats", "0"], ["--preset", "no"]],
)
def test_bad_requests_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert command_line.main(["bench", "--training", "--out", str(tmp_path / "b.json"), *arguments]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1 and not list(tmp_path.iterdir())
