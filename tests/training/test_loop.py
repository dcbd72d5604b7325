"""The training loop: schedule, exact resume, interruption, logs and images."""

from __future__ import annotations

import json
import signal
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.checkpoint import STAGES, load_checkpoint
from core.config import ConfigError, load_config
from core.data.clips import ClipSource
from core.training.contact_sheets import ContactSheets, draw_points, write_png
from core.training.interrupts import interrupts_wait
from core.training.loop import Budget, Report, learning_rate
from core.training.objectives import Objective
from core.training.stages import train
from tests.test_atomic import dead_mark
from tests.training.fixed import tiny


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.training.loop.CHECK_CLIPS", 4)
    monkeypatch.setattr("core.training.loop.LOG_EVERY", 1)
    monkeypatch.setattr("core.training.loop.flops_per_clip", lambda *_: 1e6)  # costs a step


def stop_at(step: int):
    def on_step(report: Report) -> None:
        if report.step == step:
            raise KeyboardInterrupt

    return on_step


def losses(folder: Path, stage: str) -> list[tuple[int, float, float]]:
    lines = [json.loads(line) for line in (folder / f"{stage}.log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["rate"]) for line in lines if "loss" in line]


def weights(folder: Path, stage: str) -> dict[str, torch.Tensor]:
    return load_file(folder / f"{stage}.state.safetensors")


def assert_same_run(first: Path, second: Path, stage: str, tolerance: float = 0.0) -> None:
    left, right = losses(first, stage), losses(second, stage)
    assert [step for step, _, _ in left] == [step for step, _, _ in right]
    assert np.allclose([line[1:] for line in left], [line[1:] for line in right], rtol=0, atol=tolerance)
    ours, theirs = weights(first, stage), weights(second, stage)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name], rtol=0, atol=tolerance), name


@pytest.mark.parametrize("stage", ["shape-autoencoder", "motion-autoencoder"])
def test_a_run_stopped_and_resumed_is_the_same_run(tmp_path: Path, stage: str) -> None:
    """Also for networks that sample their own noise, and with gradients accumulated over two batches."""
    config = tiny(training={"batch": 2, "accumulate": 2})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train([stage], config, whole, steps=9)
    for stop in (4, 7):
        with pytest.raises(KeyboardInterrupt):
            train([stage], config, broken, steps=9, on_step=stop_at(stop))
    train([stage], config, broken, steps=9)
    assert_same_run(whole, broken, stage)


def test_diffusion_stages_resume_too(tmp_path: Path) -> None:
    config = tiny(training={"batch": 2})
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(STAGES, config, whole, steps=4)
    train(STAGES[:2], config, broken, steps=4)
    for stage in STAGES[2:]:
        with pytest.raises(KeyboardInterrupt):
            train([stage], config, broken, steps=4, on_step=stop_at(2))
    train(STAGES, config, broken, steps=4)
    for stage in STAGES:
        assert_same_run(whole, broken, stage)


def test_other_seeds_are_other_runs(tmp_path: Path) -> None:
    for seed in (0, 1):
        train([STAGES[1]], tiny(), tmp_path / str(seed), steps=2, seed=seed)
    assert losses(tmp_path / "0", STAGES[1]) != losses(tmp_path / "1", STAGES[1])


def test_a_finished_stage_is_left_alone(tmp_path: Path) -> None:
    train([STAGES[1]], tiny(), tmp_path, steps=3)
    before = (tmp_path / f"{STAGES[1]}.safetensors").read_bytes()
    (record,) = train([STAGES[1]], tiny(), tmp_path, steps=3)
    assert record["step"] == 3
    assert (tmp_path / f"{STAGES[1]}.safetensors").read_bytes() == before


def test_more_steps_go_on_from_where_it_was(tmp_path: Path) -> None:
    train([STAGES[1]], tiny(), tmp_path, steps=3)
    (record,) = train([STAGES[1]], tiny(), tmp_path, steps=5)
    assert record["step"] == 5 and record["clips"] == 20
    assert [step for step, _, _ in losses(tmp_path, STAGES[1])] == [1, 2, 3, 4, 5]


def test_a_killed_run_leaves_weights_that_load(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train([STAGES[1]], tiny(), tmp_path, steps=50, on_step=stop_at(3))
    checkpoint = load_checkpoint(tmp_path / f"{STAGES[1]}.safetensors", STAGES[1])
    assert checkpoint.record["step"] == 3 and checkpoint.config == tiny()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_log_lines_after_the_last_saved_state_are_dropped(tmp_path: Path) -> None:
    """A run killed outright has logged steps that are not in its state; they are made again, not twice."""
    train([STAGES[1]], tiny(), tmp_path / "whole", steps=4)
    with pytest.raises(KeyboardInterrupt):
        train([STAGES[1]], tiny(), tmp_path / "killed", steps=4, on_step=stop_at(2))
    log = tmp_path / "killed" / f"{STAGES[1]}.log.jsonl"
    log.write_text(log.read_text() + '{"step": 3, "loss": 9.0, "rate": 1.0}\n{"step": 4, "lo')
    train([STAGES[1]], tiny(), tmp_path / "killed", steps=4)
    assert_same_run(tmp_path / "whole", tmp_path / "killed", STAGES[1])


def test_ctrl_c_waits_for_the_end_of_a_step() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts_wait():
        signal.raise_signal(signal.SIGINT)
        done.append("the rest of the step")
    assert done == ["the rest of the step"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_budget_counts_steps_of_all_runs_and_minutes_of_this_one() -> None:
    assert Budget(steps=10).fraction(5, 1e9) == 0.5
    assert Budget(minutes=2).fraction(10**9, 60) == 0.5
    assert Budget(steps=10, minutes=2).fraction(5, 90) == 0.75
    assert Budget(steps=10).fraction(10, 0) == 1.0


@pytest.mark.parametrize("wrong", [{}, {"steps": 0}, {"steps": -3}, {"minutes": 0.0}, {"minutes": float("nan")}])
def test_an_impossible_budget_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Budget(**wrong)


def test_learning_rate_warms_up_stays_and_cools_down() -> None:
    config = load_config("small")
    peak, warm = config.training.learning_rate, config.training.warmup_steps
    rising = [learning_rate(config, step, 0.0) for step in range(warm)]
    assert rising == sorted(rising) and rising[0] == pytest.approx(peak / warm) and rising[-1] == peak
    assert {learning_rate(config, 10**6, fraction) for fraction in (0.0, 0.3, 0.66)} == {peak}
    falling = [learning_rate(config, 10**6, fraction) for fraction in (2 / 3, 0.75, 0.9, 1.0, 1.5)]
    assert falling == sorted(falling, reverse=True) and falling[-1] == pytest.approx(0.1 * peak)


def test_stages_share_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets = {}

    def note(stage: str, objective: object, source: object, config: object, budget: Budget, *rest: object) -> dict:
        budgets[stage] = budget
        return {}

    monkeypatch.setattr("core.training.stages.train_stage", note)
    monkeypatch.setattr("core.training.stages.build_objective", lambda *_: None)
    config = tiny(training={"shares": (0.2, 0.2, 0.0, 0.4)})
    train(STAGES, config, tmp_path, minutes=8)
    assert list(budgets) == ["shape-autoencoder", "motion-autoencoder", "motion-diffusion"]
    assert [budget.minutes for budget in budgets.values()] == pytest.approx([2, 2, 4])
    train(STAGES[3:], config, tmp_path, minutes=8)
    assert budgets["motion-diffusion"].minutes == 8


def test_checks_see_the_averaged_weights_and_training_goes_on_with_its_own(tmp_path: Path) -> None:
    seen = {}

    def on_check(stage: str, step: int, objective: Objective, source: ClipSource) -> None:
        seen[step] = {name: tensor.clone() for name, tensor in objective.trained.state_dict().items()}
        assert not objective.trained.training

    train([STAGES[1]], tiny(), tmp_path, steps=3, on_check=on_check, minutes_between_checks=0.0)
    state = weights(tmp_path, STAGES[1])
    assert sorted(seen) == [1, 2, 3]
    assert all(torch.equal(tensor, state[f"average.{name}"]) for name, tensor in seen[3].items())
    assert any(not torch.equal(tensor, state[f"model.{name}"]) for name, tensor in seen[3].items())


@pytest.mark.parametrize("file", ["save_checkpoint", "save_state"])
def test_a_run_killed_between_its_files_ends_with_its_last_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """Nothing of the last save may be missing once it was called again, nor be left over."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    expected = train([STAGES[1]], tiny(), whole, steps=2)
    with monkeypatch.context() as patch:
        patch.setattr(f"core.training.loop.{file}", killed)
        with pytest.raises(KeyboardInterrupt):
            train([STAGES[1]], tiny(), broken, steps=2)
    left = broken / f".{STAGES[1]}.state.safetensors.{dead_mark()}x.tmp"
    left.write_bytes(b"half")
    for _ in range(2):  # a run that is complete leaves everything as it is
        record = train([STAGES[1]], tiny(), broken, steps=2)
        assert [check["step"] for check in record[0]["checks"]] == [2]
    ours, theirs = (load_checkpoint(folder / f"{STAGES[1]}.safetensors") for folder in (whole, broken))
    assert theirs.record["checks"] and expected[0]["step"] == theirs.record["step"] == 2
    assert all(torch.equal(tensor, theirs.tensors[name]) for name, tensor in ours.tensors.items())
    assert {path.name for path in broken.iterdir()} == {path.name for path in whole.iterdir()}


def read_png(path: Path) -> np.ndarray:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    return rows[:, 1:].reshape(height, width, 3)


def test_a_png_holds_the_picture(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    assert np.array_equal(read_png(tmp_path / "a.png"), image)


def test_points_are_drawn_where_they_are() -> None:
    draw = lambda point: draw_points(np.array([point]), (0, 0, 0), np.zeros((0, 3)), np.zeros(3), 2.0)  # noqa: E731
    rows, columns = np.nonzero((draw([0.0, 0.5, 0.0]) < 200).all(-1))
    middle = len(draw([0.0, 0.0, 0.0])) / 2
    assert rows.mean() < 0.6 * middle and abs(columns.mean() - middle) < 2, "up is up"
    assert draw([9.0, 9.0, 9.0]).min() > 200 and draw([np.nan, 0.0, 0.0]).shape[2] == 3


def test_sample_pictures_of_the_motion_stages(tmp_path: Path) -> None:
    train(STAGES, tiny(), tmp_path, steps=1, on_check=ContactSheets(tmp_path))
    names = sorted(path.name for path in tmp_path.glob("*.png"))
    assert names == ["motion-autoencoder-0000001.png", "motion-diffusion-0000001.png"]
    for name in names:
        picture = read_png(tmp_path / name)
        assert (picture < 200).any(axis=-1).mean() > 0.005, "there is something to see"
