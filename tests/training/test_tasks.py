"""Handle tasks: what is asked of the model is what the clip really does."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Config, TaskConfig
from core.data.clips import ClipBatch
from core.models.warm_start import HandleCondition
from core.observation_kinds import ClipView, tracked_motion
from core.training.sources import mirrored
from core.training.tasks import handles_from_tracks, pick_handles, random_handles

MIXED = TaskConfig(full_tracks=1, keyframes=1, last_frame=1, mixed=1, nothing=1, most_handles=6, fewest_handles=1)


def clip_points(batch: int = 6, frames: int = 9, points: int = 40, seed: int = 0) -> torch.Tensor:
    """Tracks [B, T + 1, N, 3]; the batch's first point of each clip never moves."""
    generator = torch.Generator().manual_seed(seed)
    rest = torch.rand(batch, 1, points, 3, generator=generator) - 0.5
    motion = 0.1 * torch.randn(batch, frames, points, 3, generator=generator)
    return torch.cat([rest, rest + motion], dim=1)


def draw(config: TaskConfig, seed: int, points: torch.Tensor | None = None) -> HandleCondition:
    points = clip_points() if points is None else points
    return random_handles(points, config, torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), most=st.integers(1, 8), fewest=st.integers(1, 8), frames=st.integers(1, 12))
def test_random_handles_are_distinct_points_at_their_true_places(
    seed: int, most: int, fewest: int, frames: int
) -> None:
    config = dataclasses.replace(MIXED, most_handles=max(most, fewest), fewest_handles=min(most, fewest))
    points = clip_points(frames=frames)
    handles = draw(config, seed, points)
    batch, count = handles.present.shape
    assert count == config.most_handles and handles.keyframe_mask.shape == (batch, frames, count)
    for clip in range(batch):
        # Handles are tracked points, no two the same.
        rows = (handles.positions[clip][:, None] == points[clip, 0][None]).all(-1).float().argmax(dim=1)
        assert len(set(rows.tolist())) == count
        assert torch.equal(handles.positions[clip], points[clip, 0, rows])
        true = points[clip, 1:, rows] - points[clip, :1, rows]
        given_here = handles.keyframe_mask[clip]
        assert torch.equal(handles.displacements[clip][given_here], true[given_here])
        assert (handles.displacements[clip][~given_here] == 0).all(), "what is not given is not told"
        # Padding comes last and is given nowhere; a present handle says something; counts are in range.
        present = handles.present[clip]
        assert torch.equal(present, present.sort(descending=True).values)
        assert not given_here[:, ~present].any()
        assert given_here[:, present].any(dim=0).all()
        asked = int(present.sum())
        assert asked == 0 or config.fewest_handles <= asked <= config.most_handles


@pytest.mark.parametrize("task", ["full_tracks", "keyframes", "last_frame", "mixed", "nothing"])
def test_each_task_gives_the_frames_it_is_named_for(task: str) -> None:
    none = dict.fromkeys(("full_tracks", "keyframes", "last_frame", "mixed", "nothing"), 0.0)
    config = dataclasses.replace(MIXED, **(none | {task: 1.0}), fewest_handles=3)
    handles = draw(config, 5, clip_points(batch=32))
    present = handles.present[:, None].expand_as(handles.keyframe_mask)
    per_handle = handles.keyframe_mask.sum(dim=1)[handles.present]
    if task == "nothing":
        assert not handles.present.any()
        return
    assert handles.present.any(dim=1).all()
    if task == "full_tracks":
        assert torch.equal(handles.keyframe_mask, present)
    if task == "last_frame":
        assert torch.equal(handles.keyframe_mask[:, -1], handles.present) and not handles.keyframe_mask[:, :-1].any()
    if task == "keyframes":  # the same two or three frames for all handles of a clip
        assert set(per_handle.tolist()) == {2, 3}
        first = handles.keyframe_mask[:, :, :1].expand_as(handles.keyframe_mask)
        assert torch.equal(handles.keyframe_mask, first & present)
    if task == "mixed":  # some handles are known throughout (a pinned one among them), others at a few frames only
        assert per_handle.min() >= 1 and per_handle.max() == 9 and len(set(per_handle.tolist())) > 3


def test_a_pinned_point_is_a_handle_that_is_given_and_does_not_move() -> None:
    points = clip_points(batch=1)
    points[:, 1:, 4] = points[:, :1, 4]
    index, known = torch.tensor([[4, 7]]), torch.ones(1, 9, 2, dtype=torch.bool)
    handles = handles_from_tracks(points, index, known, torch.ones(1, 2, dtype=torch.bool))
    assert (handles.displacements[:, :, 0] == 0).all() and handles.keyframe_mask[:, :, 0].all()
    assert (handles.displacements[:, :, 1] != 0).any()


def test_the_same_generator_gives_the_same_task() -> None:
    first, again, other = draw(MIXED, 1), draw(MIXED, 1), draw(MIXED, 2)
    assert first.variance is None, "a person's handles are exact"
    assert all(torch.equal(a, b) for a, b in zip(first[:4], again[:4], strict=True))
    assert not torch.equal(first.keyframe_mask, other.keyframe_mask)


def test_spread_handles_are_farther_apart_than_random_ones() -> None:
    rest = torch.rand(8, 200, 3, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)

    def nearest(spread: bool) -> float:
        index = pick_handles(rest, 6, torch.full((8,), spread), generator)
        chosen = torch.gather(rest, 1, index[..., None].expand(-1, -1, 3))
        distance = torch.cdist(chosen, chosen) + 10 * torch.eye(6)
        return float(distance.amin(dim=(1, 2)).mean())

    assert nearest(True) > 1.5 * nearest(False)


def test_half_of_the_tracked_clips_are_known_above_a_plane_only() -> None:
    points = clip_points(batch=64)
    anchors = torch.arange(40).expand(64, -1)
    normals = torch.zeros_like(points[:, 0])
    view = ClipView(points, normals, points[:, 0], anchors)
    handles, _ = tracked_motion(view, Config(), torch.Generator().manual_seed(0))
    known = handles.present.sum(dim=1)
    cut = known < 40
    assert 20 <= int(cut.sum()) <= 44
    assert bool(((known[cut] >= 40 * 0.35) & (known[cut] <= 40 * 0.7)).all())
    assert torch.equal(handles.keyframe_mask, handles.present[:, None].expand_as(handles.keyframe_mask))
    height = points[:, 0, :, 1]
    middle = [float(height[cut][side[cut]].mean()) for side in (handles.present, ~handles.present)]
    assert middle[0] > middle[1] + 0.2, "most planes are nearly level, and what lies above is seen"


def batch_of_clips() -> ClipBatch:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(3, 4, 10, 3, generator=generator)
    normals = torch.nn.functional.normalize(torch.randn(3, 10, 3, generator=generator), dim=-1)
    occupancy_points = torch.randn(3, 8, 3, generator=generator)
    return ClipBatch(
        points, normals, torch.ones(3), torch.zeros(3, dtype=torch.int64), occupancy_points, torch.ones(3, 8)
    )


def test_mirrored_reflects_the_chosen_clips_only_and_twice_is_nothing() -> None:
    clips = batch_of_clips()
    which = torch.tensor([True, False, True])
    once = mirrored(clips, which)
    for name in ("points", "normals", "occupancy_points"):
        before, after = getattr(clips, name), getattr(once, name)
        assert torch.equal(after[1], before[1])
        assert torch.equal(after[0, ..., 0], -before[0, ..., 0])
        assert torch.equal(after[..., 1:], before[..., 1:])
        assert torch.equal(getattr(mirrored(once, which), name), before)
    assert torch.equal(once.occupancy, clips.occupancy)
    # Distances between points, and between points and queries, are those of the same shape.
    assert torch.allclose(torch.cdist(once.points, once.points), torch.cdist(clips.points, clips.points), atol=1e-6)


def test_clips_without_queries_can_be_mirrored() -> None:
    clips = dataclasses.replace(batch_of_clips(), occupancy_points=None, occupancy=None)
    assert mirrored(clips, torch.ones(3, dtype=torch.bool)).occupancy_points is None
