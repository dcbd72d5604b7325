"""Farthest point sampling: prefixes, spread, determinism; nearest neighbours against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from core.geometry.farthest_points import farthest_point_indices, nearest_indices


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 60), st.integers(1, 3))
def test_a_shorter_run_is_the_start_of_a_longer_one(seed: int, size: int, count: int, batch: int) -> None:
    points = torch.randn(batch, size, 3, generator=torch.Generator().manual_seed(seed))
    longest = farthest_point_indices(points, max(count, size))
    assert torch.equal(farthest_point_indices(points, count), longest[:, :count])
    assert sorted(longest[0, :size].tolist()) == list(range(size))


def test_every_choice_is_the_farthest_from_those_before_it() -> None:
    points = torch.randn(2, 80, 3, generator=torch.Generator().manual_seed(1))
    chosen = farthest_point_indices(points, 12)
    for cloud, picks in zip(points.double(), chosen, strict=True):
        start = (cloud - cloud.mean(0)).norm(dim=1)
        assert start[picks[0]] == pytest.approx(float(start.max()), rel=1e-6)
        for step in range(1, 12):
            gap = torch.cdist(cloud, cloud[picks[:step]]).amin(dim=1)
            assert gap[picks[step]] == pytest.approx(float(gap.max()), rel=1e-5)


def test_a_batch_gives_what_its_members_give_alone_and_the_start_is_obeyed() -> None:
    points = torch.rand(3, 50, 3, generator=torch.Generator().manual_seed(2))
    together = farthest_point_indices(points, 10, start=torch.tensor([4, 5, 6]))
    alone = [farthest_point_indices(points[row : row + 1], 10, start=4 + row) for row in range(3)]
    assert torch.equal(together, torch.cat(alone))
    assert together[:, 0].tolist() == [4, 5, 6]


@pytest.mark.parametrize(("shape", "count"), [((1, 0, 3), 1), ((1, 5, 2), 1), ((5, 3), 1), ((1, 5, 3), 0)])
def test_impossible_requests_are_refused(shape: tuple[int, ...], count: int) -> None:
    with pytest.raises(ValueError, match="arthest"):
        farthest_point_indices(torch.zeros(shape), count)


def test_a_start_outside_the_points_is_refused() -> None:
    with pytest.raises(ValueError, match="not one of"):
        farthest_point_indices(torch.zeros(1, 5, 3), 2, start=5)


def test_nearest_points_agree_with_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.geometry.farthest_points._TABLE_ENTRIES", 500)  # several chunks
    rng = np.random.default_rng(3)
    queries, points = rng.random((2, 70, 3)), rng.random((2, 40, 3))
    found = nearest_indices(torch.tensor(queries), torch.tensor(points), 4)
    for row in range(2):
        assert np.array_equal(found[row].numpy(), cKDTree(points[row]).query(queries[row], k=4)[1])
    assert torch.equal(nearest_indices(torch.tensor(queries), torch.tensor(points), 1), found[..., :1])
    with pytest.raises(ValueError, match="nearest"):
        nearest_indices(torch.tensor(queries), torch.tensor(points), 41)
