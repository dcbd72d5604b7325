"""Distances of near points are exact on every device."""

from __future__ import annotations

import pytest
import torch

from core.precision import by_differences, distances


@pytest.mark.parametrize("apart", [distances, by_differences])
def test_near_points_keep_their_distance(apart) -> None:  # type: ignore[no-untyped-def]
    """The matrix product, which torch takes for more than 25 points, is off by more than these lengths."""
    generator = torch.Generator().manual_seed(5)
    places = 2.0 + torch.randn(2, 100, 3, generator=generator)
    moved = places + 1e-4 * torch.nn.functional.normalize(torch.randn(2, 100, 3, generator=generator), dim=-1)
    true = (places.double()[:, :, None] - moved.double()[:, None]).norm(dim=-1)
    found = apart(places, moved)
    assert found.shape == (2, 100, 100)
    torch.testing.assert_close(found.double(), true, rtol=2e-6, atol=1e-9)
    assert (torch.cdist(places, moved) - true).diagonal(dim1=1, dim2=2).abs().max() > 1e-4
    assert not apart(places, places).diagonal(dim1=1, dim2=2).any()


def test_points_on_one_another_have_a_gradient() -> None:
    for apart in distances, by_differences:
        place = torch.zeros(1, 3, requires_grad=True)
        apart(place, torch.zeros(1, 3)).sum().backward()
        assert place.grad is not None and torch.equal(place.grad, torch.zeros(1, 3))
