"""Counted operations: what a step does, whatever the batch, on the CPU's fused attention too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from core.checkpoint import STAGES
from core.models.diffusion_models import build_motion_autoencoder
from core.training.objectives import MotionAutoencoderObjective
from core.training.stages import train
from core.training.throughput import _CPU_ATTENTION, flops_per_clip, peak_flops, usage
from tests.training.fixed import FixedClips, tiny


def test_fused_attention_is_counted_forward_and_backward() -> None:
    queries, keys, values = (torch.randn(2, 3, n, 8, requires_grad=True) for n in (5, 7, 7))
    product = 2 * 2 * 3 * 5 * 7 * 8  # one of [5, 8] x [8, 7] for each of two sequences and three heads
    with FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter:
        attended = F.scaled_dot_product_attention(queries, keys, values)
        assert counter.get_total_flops() == 2 * product
        attended.sum().backward()
    assert counter.get_total_flops() == (2 + 5) * product


def test_operations_per_clip_are_those_of_the_network_and_leave_no_gradient() -> None:
    objective = MotionAutoencoderObjective(tiny())
    few, many = (flops_per_clip(objective, FixedClips(), batch, 0, False) for batch in (2, 4))
    assert few == pytest.approx(many, rel=1e-6)
    weights = sum(layer.weight.numel() for layer in build_motion_autoencoder(tiny()).trunk.modules()
                  if isinstance(layer, torch.nn.Linear))  # fmt: skip
    tokens = tiny().motion.latents * (tiny().training.frames - 1)
    assert 6 * weights * tokens < few < 60 * weights * tokens, "two for each multiplication, forward and twice back"
    assert all(parameter.grad is None for parameter in objective.trained.parameters())


def test_the_log_says_how_much_was_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.training.loop.CHECK_CLIPS", 2)
    monkeypatch.setattr("core.training.loop.LOG_EVERY", 2)
    train([STAGES[1]], tiny(), tmp_path, steps=5, source=FixedClips())
    lines = [json.loads(line) for line in (tmp_path / f"{STAGES[1]}.log.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "loss" in line]
    assert [line["step"] for line in lines] == [2, 4]
    expected = flops_per_clip(MotionAutoencoderObjective(tiny()), FixedClips(), 4, 0, False)
    for line in lines:
        computed = expected * line["clips_per_second"] / 1e9
        assert line["gflops_per_second"] == pytest.approx(computed, rel=0.05, abs=0.006)  # of two decimals
        assert "utilisation" not in line


def test_the_share_of_the_peak_is_said_where_the_peak_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usage(2e9, 10.0, 2, 1e12) == {"gflops_per_second": 20.0, "utilisation": 0.01}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    cuda, cpu = torch.device("cuda", 0), torch.device("cpu")
    assert peak_flops(cuda, bf16=True) == 989e12
    assert peak_flops(cuda, bf16=False) is None and peak_flops(cpu, bf16=True) is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Some card")
    assert peak_flops(cuda, bf16=True) is None
