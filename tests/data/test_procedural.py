"""The procedural source: reproducible, correct in frame 0, and in motion like a living or articulated thing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.data.creatures import rig_surface
from core.data.creatures.motion import two_bone
from core.data.creatures.seeds import uniforms
from core.data.procedural import HELD_OUT, KINDS, ProceduralSource
from core.errors import DataError

RIGID = ("laptop", "door", "stapler", "eyeglasses", "washing_machine", "refrigerator", "oven")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def displacement(points: torch.Tensor) -> torch.Tensor:
    """Mean distance [B] of a clip's points from where they are in frame 0."""
    return (points - points[:, :1]).norm(dim=-1).mean((1, 2))


@pytest.fixture(scope="module")
def clips() -> dict[str, object]:
    """40 clips of every kind, 520 in all."""
    return {kind: ProceduralSource(kinds=[kind]).sample(40, 17, 192, generator(7), "train", 128) for kind in KINDS}


def test_the_same_generator_state_gives_the_same_clips() -> None:
    first = ProceduralSource().sample(6, 9, 64, generator(3), occupancy_queries=64)
    again = ProceduralSource().sample(6, 9, 64, generator(3), occupancy_queries=64)
    other = ProceduralSource().sample(6, 9, 64, generator(4))
    for name in ("points", "normals", "fps", "category", "occupancy_points", "occupancy"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert not torch.equal(first.points, other.points)


def test_a_seed_gives_the_same_creature_whatever_the_batch() -> None:
    source = ProceduralSource()
    identity, motion = torch.arange(12), torch.arange(100, 112)
    together = source._pose(identity, motion, 17)
    alone = source._pose(identity[5:6], motion[5:6], 17)
    assert together.category[5] == alone.category[0]
    assert torch.allclose(together.table[:, 5], alone.table[:, 0], atol=1e-5)
    assert torch.allclose(together.rotation[5], alone.rotation[0], atol=1e-5)


def test_an_identity_keeps_its_proportions_in_another_motion() -> None:
    posed = ProceduralSource()._pose(torch.tensor([8, 8]), torch.tensor([1, 2]), 17)
    assert torch.equal(posed.rig.half[0], posed.rig.half[1])
    assert not torch.allclose(posed.rotation[0], posed.rotation[1])


def test_seeds_of_the_splits_never_meet() -> None:
    source = ProceduralSource()
    seeds = {
        split: source.draw_seeds(500, generator(1), split) for split in ("train", "unseen_motion", "unseen_identity")
    }
    held = {split: tuple(bool((s >= HELD_OUT).all()) for s in pair) for split, pair in seeds.items()}
    assert held == {"train": (False, False), "unseen_motion": (False, True), "unseen_identity": (True, True)}
    assert all(int(pair[k].max()) < HELD_OUT for pair, k in ((seeds["train"], 0), (seeds["train"], 1)))
    assert int(seeds["unseen_motion"][0].max()) < HELD_OUT


def test_uniforms_are_uniform_and_independent_between_columns() -> None:
    table = uniforms(torch.arange(4000), 5, 8)
    assert torch.allclose(table.mean(0), torch.full((8,), 0.5), atol=0.03)
    correlation = torch.corrcoef(table.T) - torch.eye(8)
    assert correlation.abs().max() < 0.06


def test_clips_are_finite_normalised_and_have_unit_normals(clips) -> None:
    for kind, batch in clips.items():
        assert batch.points.shape == (40, 17, 192, 3) and batch.points.dtype == torch.float32
        assert torch.isfinite(batch.points).all() and torch.isfinite(batch.normals).all(), kind
        assert torch.allclose(batch.normals.norm(dim=-1), torch.ones(40, 192), atol=1e-4), kind
        rest = batch.points[:, 0]
        side = (rest.amax(1) - rest.amin(1)).amax(-1)
        # So few points miss the tips of thin parts, which the box knows.
        assert (side < 1.0001).all() and (side > 0.7).all() and side.mean() > 0.9, kind
        assert (batch.category == list(KINDS).index(kind)).all()


def test_points_moved_inwards_are_inside_and_outwards_outside() -> None:
    source = ProceduralSource()
    identity, motion = torch.arange(60), torch.arange(60)
    posed = source._pose(identity, motion, 1)
    found = rig_surface.sample_surface(posed.rig, posed.table, 200, torch.rand(9, 60, 1024, generator=generator()))
    table, smooth = posed.table[:, :, None], posed.rig.smooth[:, None, None]
    for offset, sign in ((-0.003, -1.0), (0.003, 1.0)):
        moved = (found.points + offset * found.normals).movedim(-1, 0)
        right = (rig_surface.union_distance(moved, table, smooth) * sign > 0).float().mean()
        assert right > 0.99, (offset, right)
    exact = rig_surface.union_distance(found.points.movedim(-1, 0), table, smooth).abs()
    assert exact.median() < 1e-4 and (exact < 2e-3).float().mean() > 0.98


def test_occupancy_queries_are_half_uniform_and_half_near_the_surface(clips) -> None:
    for kind, batch in clips.items():
        assert batch.occupancy_points.shape == (40, 128, 3)
        assert set(batch.occupancy.unique().tolist()) == {0.0, 1.0}
        assert batch.occupancy_points[:, :64].abs().max() <= 0.55
        distance = torch.cdist(batch.occupancy_points[:, 64:], batch.points[:, 0]).amin(-1)
        assert distance.mean() < 0.06, kind
        near = batch.occupancy[:, 64:].mean()
        assert 0.1 < near < 0.6, (kind, near)


def test_motion_is_neither_missing_nor_wild(clips) -> None:
    every = {kind: displacement(batch.points) for kind, batch in clips.items()}
    for kind, moved in every.items():
        assert 0.03 < moved.mean() < 0.2, (kind, moved.mean())
        assert moved.max() < 0.6, kind
    living = torch.cat([every[kind] for kind in KINDS if kind not in RIGID])
    assert 0.06 < living.mean() < 0.15


def test_motion_is_smooth_in_time(clips) -> None:
    for kind, batch in clips.items():
        velocity = batch.points[:, 1:] - batch.points[:, :-1]
        bend = (velocity[:, 1:] - velocity[:, :-1]).norm(dim=-1).mean()
        assert bend < 0.75 * velocity.norm(dim=-1).mean(), kind


@pytest.mark.parametrize("kind", RIGID)
def test_rigid_parts_keep_their_distances(kind: str) -> None:
    source = ProceduralSource(kinds=[kind])
    posed = source._pose(torch.arange(4), torch.arange(4), 9)
    found = rig_surface.sample_surface(posed.rig, posed.table, 150, torch.rand(9, 4, 1024, generator=generator()))
    assert torch.allclose(found.weights.amax(-1), torch.ones(4, 150))
    same = (found.weights @ found.weights.transpose(1, 2)) > 0.99
    transforms = (found.weights @ posed.skinning().flatten(2)).unflatten(-1, (9, 3, 4))
    moved = (transforms[..., :3] @ found.points[:, :, None, :, None])[..., 0] + transforms[..., 3]
    moved = moved.transpose(1, 2)
    spread = (torch.cdist(moved, moved) - torch.cdist(moved[:, :1], moved[:, :1])).abs()
    assert spread.masked_fill(~same[:, None], 0).max() < 2e-3
    assert (moved - moved[:, :1]).norm(dim=-1).max() > 0.01


def test_weights_stay_within_a_part_and_its_neighbours() -> None:
    posed = ProceduralSource(kinds=["quadruped", "spider", "biped"])._pose(torch.arange(20), torch.arange(20), 1)
    found = rig_surface.sample_surface(posed.rig, posed.table, 300, torch.rand(9, 20, 1024, generator=generator()))
    assert torch.allclose(found.weights.sum(-1), torch.ones(20, 300), atol=1e-5)
    strongest = found.weights.argmax(-1)
    allowed = rig_surface.adjacency(posed.rig).gather(1, strongest[..., None].expand(-1, -1, found.weights.shape[-1]))
    assert (found.weights[~allowed] < 0.5).all()
    reach = allowed.float() @ rig_surface.adjacency(posed.rig).float() > 0
    assert (found.weights[~reach] == 0).all()


def test_area_is_sampled_evenly_over_a_box() -> None:
    source = ProceduralSource(kinds=["laptop"])
    clips = source.sample(8, 1, 1500, generator(1))
    up = (clips.normals[..., 1] > 0.9).float().mean(1)
    down = (clips.normals[..., 1] < -0.9).float().mean(1)
    # Base top and bottom have the same area; the screen hides next to none of either.
    assert (up - down).abs().mean() < 0.12


@pytest.mark.parametrize("kind", KINDS)
def test_meshes_are_closed_normalised_and_moved_by_the_same_motion(kind: str) -> None:
    import trimesh

    source = ProceduralSource()
    sequence = source.mesh_sequence(5, 6, frames=9, resolution=56, kind=kind)
    mesh = trimesh.Trimesh(sequence.vertices[0], sequence.faces, process=False)
    assert mesh.is_watertight and mesh.volume > 0 and sequence.name == kind
    size = sequence.vertices[0].max(0) - sequence.vertices[0].min(0)
    assert np.isclose(size.max(), 1.0, atol=1e-5)
    assert np.allclose((sequence.vertices[0].max(0) + sequence.vertices[0].min(0)) / 2, 0, atol=1e-5)
    clips = source.clips(torch.tensor([5]), torch.tensor([6]), 9, 200, generator(), kind=kind)
    apart = torch.cdist(clips.points[0], torch.from_numpy(sequence.vertices.copy())).amin(-1)
    assert apart.mean() < 0.015 and apart[8].mean() < 0.02, apart.mean(1)


def test_two_bone_legs_reach_their_target() -> None:
    forward, down = torch.tensor([[0.1, -0.2, 0.3]]), torch.tensor([[0.5, 0.6, 0.4]])
    upper, lower = torch.tensor([[0.4]]), torch.tensor([[0.35]])
    for bend in (1.0, -1.0):
        first, second = two_bone(forward, down, upper, lower, bend)
        assert torch.allclose(-upper * first.sin() - lower * second.sin(), forward, atol=1e-5)
        assert torch.allclose(upper * first.cos() + lower * second.cos(), down, atol=1e-5)
        knee = -upper * first.sin()
        assert ((knee - forward * upper / (upper + lower)) * bend > 0).all()


def test_bad_requests_say_what_to_do() -> None:
    with pytest.raises(DataError, match="dragon"):
        ProceduralSource(kinds=["dragon"])
    with pytest.raises(DataError, match="unseen_motion"):
        ProceduralSource().sample(1, 2, 8, generator(), split="test")
    with pytest.raises(DataError, match="out of range"):
        ProceduralSource().sample(0, 2, 8, generator())


def test_one_frame_and_long_clips_are_possible() -> None:
    source = ProceduralSource()
    assert source.sample(2, 1, 16, generator()).points.shape == (2, 1, 16, 3)
    assert torch.isfinite(source.sample(2, 64, 16, generator()).points).all()
