"""The geometric warm start: interpolation, uncertainty, smooth noise."""

from __future__ import annotations

import pytest
import torch

from core import precision
from core.models.warm_start import HandleCondition, WarmStart, fill_tracks, smooth_noise, temporal_root, warm_start


def surface(count: int = 96) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(1, count, 3, generator=generator)
    return 0.5 * points / points.norm(dim=-1, keepdim=True)


def condition(
    nodes: torch.Tensor, index: list[int], displacement: torch.Tensor, keyframe_mask: torch.Tensor
) -> HandleCondition:
    return HandleCondition(
        nodes[:, index],
        displacement * keyframe_mask[..., None],
        keyframe_mask,
        torch.ones(1, len(index), dtype=torch.bool),
    )


def test_handles_are_met_and_certain() -> None:
    nodes = surface()
    displacement = 0.1 * torch.randn(1, 8, 5, 3, generator=torch.Generator().manual_seed(0))
    handles = condition(nodes, [0, 1, 2, 3, 4], displacement, torch.ones(1, 8, 5, dtype=torch.bool))
    result = warm_start(nodes, 32, handles)
    assert torch.allclose(result.mean[:, :, :5], displacement, atol=2e-3)
    assert result.scale[:, 4:, :5].max() < 0.3 * result.scale[:, 4:, 5:].mean()


def test_a_common_translation_moves_everything() -> None:
    nodes = surface()
    displacement = torch.tensor([0.1, 0.0, 0.2]).expand(1, 8, 3, 3)
    handles = condition(nodes, [0, 1, 2], displacement, torch.ones(1, 8, 3, dtype=torch.bool))
    mean = warm_start(nodes, 32, handles).mean
    assert torch.allclose(mean, displacement[:, :, :1].expand_as(mean), atol=0.05)


def test_without_handles_nothing_moves_and_uncertainty_grows() -> None:
    nodes = surface()
    empty = HandleCondition(
        torch.zeros(1, 4, 3),
        torch.zeros(1, 8, 4, 3),
        torch.zeros(1, 8, 4, dtype=torch.bool),
        torch.zeros(1, 4, dtype=torch.bool),
    )
    result = warm_start(nodes, 32, empty)
    assert torch.equal(result.mean, torch.zeros_like(result.mean))
    assert (result.scale[:, 1:] >= result.scale[:, :-1]).all()


def test_padding_changes_nothing() -> None:
    nodes = surface()
    displacement, keyframe_mask = 0.1 * torch.randn(1, 8, 3, 3), torch.ones(1, 8, 3, dtype=torch.bool)
    plain = condition(nodes, [0, 1, 2], displacement, keyframe_mask)
    padded = HandleCondition(
        torch.cat([plain.positions, torch.full((1, 2, 3), 7.0)], 1),
        torch.cat([plain.displacements, torch.zeros(1, 8, 2, 3)], 2),
        torch.cat([keyframe_mask, torch.zeros(1, 8, 2, dtype=torch.bool)], 2),
        torch.tensor([[True, True, True, False, False]]),
    )
    first, second = warm_start(nodes, 32, plain), warm_start(nodes, 32, padded)
    assert torch.allclose(first.mean, second.mean, atol=1e-5)
    assert torch.allclose(first.scale, second.scale, atol=1e-5)


def test_tracks_are_linear_between_keys_and_hold_after_the_last() -> None:
    keyframe_mask = torch.zeros(1, 8, 1, dtype=torch.bool)
    keyframe_mask[0, 3] = True  # frame 4 of the sequence
    displacement = torch.zeros(1, 8, 1, 3)
    displacement[0, 3, 0, 0] = 1.0
    handles = HandleCondition(torch.zeros(1, 1, 3), displacement, keyframe_mask, torch.ones(1, 1, dtype=torch.bool))
    tracks = fill_tracks(handles)
    assert torch.allclose(tracks.displacements[0, :, 0, 0], torch.tensor([0.25, 0.5, 0.75, 1, 1, 1, 1, 1]))
    assert tracks.before[0, :, 0].tolist() == [1, 2, 3, 0, 1, 2, 3, 4]
    assert tracks.after[0, :, 0].tolist() == [3, 2, 1, 0, 8, 8, 8, 8]


def test_smooth_noise_has_unit_variance_and_neighbouring_frames_agree() -> None:
    nodes = surface()
    handles = condition(nodes, [0], torch.zeros(1, 16, 1, 3), torch.zeros(1, 16, 1, dtype=torch.bool))
    noise_cholesky = warm_start(nodes, 32, handles).noise_cholesky.expand(400, -1, -1)
    noise = smooth_noise(torch.randn(400, 16, 32, 3), noise_cholesky, temporal_root(16))
    assert abs(float(noise.var()) - 1) < 0.1
    assert float((noise[:, 1:] * noise[:, :-1]).mean()) > 0.8


def test_a_device_without_double_precision_leaves_the_warm_start_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = surface()
    handles = condition(nodes, [0, 5], torch.full((1, 8, 2, 3), 0.1), torch.ones(1, 8, 2, dtype=torch.bool))
    expected = warm_start(nodes, 32, handles)
    monkeypatch.setattr(precision, "lacks_float64", lambda device: True)
    found = warm_start(nodes, 32, handles)
    assert isinstance(found, WarmStart)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other)
