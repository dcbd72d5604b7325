"""Measures the hardware utilisation of training by counting the floating-point operations of a few steps.

Matrix products, convolutions and attention are counted, forward and backward, also those of frozen encoders and the
warm start. Drawing clips, pointwise operations and solvers are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from core.data.clips import ClipSource
from core.training.objectives import Objective

COUNTED_STEPS = 4
# Dense bfloat16 FLOP/s of the data sheets, by part of the device's name.
BF16_PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def _attention(query: Sequence[int], key: Sequence[int], *_rest: Any, **_options: Any) -> int:
    """Two products [B, H, N, C] x [B, H, L, C]."""
    batch, heads, count, channels = query
    return 4 * batch * heads * count * key[2] * channels


def _attention_backward(_gradient: Sequence[int], query: Sequence[int], key: Sequence[int], *_r: Any, **_o: Any) -> int:
    """Five products: the scores again, and the gradients of them, queries, keys and values."""
    return 5 * _attention(query, key) // 2


# PyTorch's counter knows only the fused attention of GPUs.
_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def flops_per_clip(objective: Objective, source: ClipSource, batch: int, seed: int, autocast: bool) -> float:
    """Operations per clip, mean over a few extra training steps, since tasks differ; their gradients are discarded.

    The loop is not affected, since every step seeds its own generators, nor are gradient hooks of distributed runs.
    """
    parameters = [parameter for parameter in objective.trained.parameters() if parameter.requires_grad]
    device = parameters[0].device
    generator = torch.Generator(device=device).manual_seed(seed)
    precision = torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast)
    total = 0.0
    for _ in range(COUNTED_STEPS):
        clips = objective.draw(source, batch, generator, "train")
        with FlopCounterMode(display=False, depth=0, custom_mapping=_CPU_ATTENTION) as counter, precision:
            loss, _ = objective(objective.example(clips, generator), generator)
            torch.autograd.grad(loss, parameters, allow_unused=True)
        total += float(counter.get_total_flops())
    return total / COUNTED_STEPS / batch


def peak_flops(device: torch.device, bf16: bool) -> float | None:
    """The device's peak FLOP/s in the precision used, if known."""
    if device.type != "cuda" or not bf16:
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in BF16_PEAKS.items() if part in name), None)


def usage(flops: float, clips_per_second: float, devices: int, peak: float | None) -> dict[str, float]:
    """Figures for the log: GFLOP/s of all devices together, and the share of their peak if that is known."""
    rate = flops * clips_per_second
    figures = {"gflops_per_second": round(rate / 1e9, 2)}
    if peak is not None:
        figures["utilisation"] = round(rate / (devices * peak), 5)
    return figures
