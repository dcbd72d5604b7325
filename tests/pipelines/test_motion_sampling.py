"""Samples around their mean: jitter goes, what makes them differ stays."""

from __future__ import annotations

import torch

from core.pipelines.motion_sampling import calmed


def test_what_changes_slowly_stays_and_jitter_goes() -> None:
    time = torch.arange(1.0, 17.0)
    slow = torch.stack([torch.zeros(16), time / 16, torch.sin(time / 5)])[:, :, None, None].expand(-1, -1, 4, 3)
    assert (calmed(slow) - slow).abs().max() < 0.02
    assert torch.allclose(calmed(slow)[:2], slow[:2], atol=1e-6), "a steady motion stays as it is, to its ends"
    level = torch.ones(1, 16, 4, 3)
    assert torch.equal(calmed(level, resting=False), level)
    shaking = torch.tensor([1.0, -1.0]).repeat(8)[None, :, None, None].expand(2, -1, 4, 3)
    assert calmed(shaking)[:, 2:-2].abs().max() < 1e-6


def test_seeds_and_anchors_do_not_mix() -> None:
    deviations = torch.randn(3, 9, 5, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(calmed(deviations)[1:2, :, 2:3], calmed(deviations[1:2, :, 2:3]))
    single = deviations[:, :1]
    assert torch.allclose(calmed(single), single), "a single moving frame has no neighbours"
    assert torch.allclose(calmed(single, resting=False), single)
