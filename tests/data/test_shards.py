"""The shard file and the source that draws clips from it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import DataConfig
from core.data.clips import SPLITS, ClipSource
from core.data.prepare import PrepareOptions, prepare
from core.data.rig_bank import RigSource
from core.data.rig_prepare import prepare_rigs
from core.data.shard_format import open_shard, pack_normals, pack_tracks, unpack_normals, unpack_tracks
from core.data.shards import FIRST_CATEGORY, ShardSource
from core.errors import DataError
from core.geometry.occupancy import is_inside
from core.training.sources import MixedSource
from tests.data import layouts
from tests.data.layouts import Moving
from tests.glb_writer import arm

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "rigs"
NAMES = {"train": ["bear_run", "elk_run"], "unseen_motion": ["elk_walk"], "unseen_identity": ["owl_run"]}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ellipsoids that grow by 8% of their height a frame, from 6 to 9 frames, Y up."""
    root = tmp_path_factory.mktemp("set")
    for number, name in enumerate(name for names in NAMES.values() for name in names):
        layouts.write_anime(root, name, Moving(6 + number, rings=14, sectors=20, seed=number), "humanoids")
    (root / "splits.json").write_text(json.dumps(NAMES))
    out = tmp_path_factory.mktemp("out")
    options = PrepareOptions(points=512, references=3, up_axis="y", splits=str(root / "splits.json"), clips_per_shard=3)
    assert prepare("anime", root, out, options).skipped == ()
    return out


@pytest.fixture(scope="module")
def source(folder: Path) -> ShardSource:
    return ShardSource(folder, verify=True)


# ---------------------------------------------------------------------- the file


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), travel=st.floats(0, 1000), size=st.floats(0.01, 10))
def test_positions_keep_their_precision_however_far_a_clip_travels(seed: int, travel: float, size: float) -> None:
    points = np.random.default_rng(seed).random((5, 40, 3)) * size + np.arange(5)[:, None, None] * travel
    back = unpack_tracks(*pack_tracks(points))
    side = np.ptp(points, axis=1).max()
    single = np.spacing(np.float32(np.abs(points).max()))  # what float32 itself loses far from the origin
    assert np.abs(back - points).max() <= side / 131070 * 1.01 + 2 * single


def test_normals_are_within_a_degree() -> None:
    normals = np.random.default_rng(0).normal(size=(200_000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    back = unpack_normals(pack_normals(normals))
    assert np.allclose(np.linalg.norm(back, axis=1), 1, atol=1e-5)
    degrees = np.degrees(np.arccos(np.clip((back * normals).sum(1), -1, 1)))
    assert degrees.max() < 0.97 and degrees.mean() < 0.37
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    assert np.allclose(unpack_normals(pack_normals(axes)), axes, atol=0.01)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.one_of(st.just(1.0), st.floats(0, 1)), place=st.floats(0, 1), value=st.integers(0, 255))
def test_any_damage_is_one_sentence(folder: Path, tmp_path: Path, cut: float, place: float, value: int) -> None:
    data = bytearray((folder / "shard-00000.safetensors").read_bytes())
    whole = bytes(data)
    data = data[: int(cut * len(data))]
    if data:
        data[min(int(place * len(data)), len(data) - 1)] = value
    path = tmp_path / "shard-00000.safetensors"
    path.unlink(missing_ok=True)  # the last one may still be mapped
    path.write_bytes(bytes(data))
    if bytes(data) == whole:
        assert len(open_shard(path, verify=True).clips) == 3
        return
    with pytest.raises(DataError, match=r"shard-00000\.safetensors.*prepare"):
        open_shard(path, verify=True)


@pytest.mark.parametrize(
    "change",
    [{"data_offsets": [0, 10**15]}, {"data_offsets": [-8, 4]}, {"shape": [-1, 3]}, {"shape": [10**9, 10**9]},
     {"dtype": "F99"}, {"shape": "many"}, {"shape": [2, 2, 2]}],
)  # fmt: skip
def test_heads_that_lie_are_refused_unverified_too(folder: Path, tmp_path: Path, change: dict) -> None:
    data = (folder / "shard-00000.safetensors").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["0.boxes"].update(change)
    text = json.dumps(header).encode()
    (tmp_path / "shard-00000.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    with pytest.raises(DataError, match="damaged"):
        ShardSource(tmp_path)


def test_the_rest_mesh_is_frame_0(folder: Path) -> None:
    arrays = open_shard(folder / "shard-00000.safetensors").of_clip(0)
    moving = Moving(6, rings=14, sectors=20)
    size = np.ptp(moving.vertices[0], axis=0).max()
    center = (moving.vertices[0].min(0) + moving.vertices[0].max(0)) / 2
    assert np.allclose(arrays["vertices"], (moving.vertices[0] - center) / size, atol=1e-6)
    assert np.array_equal(arrays["faces"], moving.faces)
    assert not arrays["tracks"].flags.writeable


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize("split", SPLITS)
def test_batches_keep_the_contract(source: ClipSource, split: str) -> None:
    clips = source.sample(16, 5, 200, generator(), split, occupancy_queries=101)
    assert clips.points.shape == (16, 5, 200, 3) and clips.normals.shape == (16, 200, 3)
    assert clips.points.dtype == clips.normals.dtype == clips.fps.dtype == torch.float32
    low, high = clips.points[:, 0].amin(1), clips.points[:, 0].amax(1)
    assert torch.allclose(low + high, torch.zeros(16, 3), atol=1e-5)
    assert torch.allclose((high - low).amax(1), torch.ones(16), atol=1e-5)
    assert torch.allclose(clips.normals.norm(dim=-1), torch.ones(16, 200), atol=1e-4)
    assert (clips.normals * clips.points[:, 0]).sum(-1).min() > 0, "an ellipsoid's normals point away from its centre"
    assert ((clips.fps >= 12) & (clips.fps <= 24 * 25)).all() and set(clips.category.tolist()) == {FIRST_CATEGORY}
    assert clips.occupancy_points is not None and clips.occupancy is not None
    assert clips.occupancy_points.shape == (16, 101, 3) and clips.occupancy.unique().tolist() == [0, 1]
    assert clips.occupancy_points[:, :51].abs().max() < 0.6


def test_the_same_generator_gives_the_same_clips(source: ShardSource) -> None:
    one, two, other = (source.sample(8, 7, 100, generator(seed), "train", 64) for seed in (3, 3, 4))
    assert torch.equal(one.points, two.points) and torch.equal(one.normals, two.normals)
    assert one.occupancy is not None and two.occupancy is not None and torch.equal(one.occupancy, two.occupancy)
    assert not torch.equal(one.points, other.points)


def test_windows_are_the_true_motion(source: ShardSource) -> None:
    """Each axis of the ellipsoid changes linearly in time, so any window at any speed is exact, however it starts."""
    clips = source.sample(64, 6, 300, generator(), "unseen_motion")  # not turned
    rate = 24.0 / clips.fps  # frames of the clip per frame of the window
    height = clips.points[..., 1].amax(-1) - clips.points[..., 1].amin(-1)
    steps = height.diff(dim=1)
    assert torch.allclose(steps, steps[:, :1].expand_as(steps), atol=2e-4)
    # By 8% of frame 0's height a frame: in units of the height where the window starts, that tells the start.
    start = (0.08 * rate / (steps[:, 0] / height[:, 0]) - 1) / 0.08
    last = 8 - 1  # elk_walk is the third clip
    assert (start > -0.1).all() and (start + rate * 5 < last + 0.1).all()
    assert start.max() > 2 and start.min() < 0.5 and rate.max() > 1.2 and rate.min() < 0.6


def test_occupancy_is_of_the_windows_first_frame(source: ShardSource) -> None:
    clips = source.sample(24, 4, 500, generator(1), "train", occupancy_queries=400)
    assert clips.occupancy_points is not None and clips.occupancy is not None
    for points, places, inside in zip(clips.points[:, 0], clips.occupancy_points, clips.occupancy, strict=True):
        # A turned ellipsoid by its own points: p^T A p = 1 by least squares.
        x, y, z = points.double().unbind(-1)
        terms = torch.stack([x * x, y * y, z * z, x * y, x * z, y * z], -1)
        form = torch.linalg.lstsq(terms, torch.ones(len(terms), 1, dtype=torch.float64)).solution
        x, y, z = places.double().unbind(-1)
        radius = (torch.stack([x * x, y * y, z * z, x * y, x * z, y * z], -1) @ form)[:, 0].sqrt()
        clear = (radius - 1).abs() > 0.04
        assert ((radius < 1) == inside.bool())[clear].all()
        uniform = places[:200]
        assert 0 < inside[:200].mean() < 0.4 and uniform.abs().max() > 0.5
        assert (radius[200:] - 1).abs().mean() < 0.25, "the second half is near the surface"


def test_occupancy_agrees_with_the_winding_number_of_the_rest_mesh(folder: Path) -> None:
    from core.data.rig_format import query_box

    shard = open_shard(folder / "shard-00000.safetensors")
    arrays, reference = shard.of_clip(1), shard.clips[1]["references"][0]
    assert reference["frame"] == 0
    start, end = query_box(np.array(reference["low"]), np.array(reference["high"]))
    places = start + arrays["queries"][0] / 65535 * (end - start)
    true = is_inside(arrays["vertices"], arrays["faces"], places)
    assert (np.unpackbits(arrays["inside"][0]).astype(bool) == true).mean() > 0.999


def test_splits_do_not_meet_and_can_be_overridden(folder: Path, source: ShardSource) -> None:
    drawn = {split: {name.rpartition("/")[2] for name in source.names(split)} for split in SPLITS}
    assert drawn == {split: set(names) for split, names in NAMES.items()}
    testing = ShardSource(folder, splits="test")
    assert len(testing.names("unseen_identity")) == 4 and testing.names("train") == []
    assert testing.sample(4, 3, 32, generator(), "unseen_identity").points.shape == (4, 3, 32, 3)
    with pytest.raises(DataError, match="no clips of the split 'train'"):
        testing.sample(1, 3, 32, generator(), "train")
    with pytest.raises(DataError, match="choose own"):
        ShardSource(folder, splits="both")


def test_what_cannot_be_drawn_is_said(source: ShardSource, tmp_path: Path) -> None:
    for wrong in ({"points": 513}, {"points": 0}, {"batch": 0}, {"frames": 0}, {"split": "test"}):
        with pytest.raises(DataError, match=r"out of range|choose"):
            source.sample(**{"batch": 1, "frames": 3, "points": 8, "generator": generator(), **wrong})
    for place in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match="holds no shards"):
            ShardSource(place)


def test_closed_clips_wrap_around(tmp_path: Path) -> None:
    moving = Moving(8, seed=1)
    angle = 2 * np.pi * np.arange(9) / 8  # the last frame is the first
    moving.vertices = moving.vertices[:1] + 0.2 * np.stack([np.sin(angle), np.cos(angle), 0 * angle], -1)[:, None]
    np.savez(tmp_path / "loop.npz", vertices=moving.vertices.astype("f4"), faces=moving.faces, fps=24.0)
    prepare("npz", tmp_path, tmp_path / "out", PrepareOptions(points=64, splits="train"))
    clip = open_shard(tmp_path / "out" / "shard-00000.safetensors").clips[0]
    assert clip["cyclic"] and clip["period"] == 8.0
    clips = ShardSource(tmp_path / "out").sample(16, 33, 16, generator())
    about = clips.points.mean(2)
    step = (about[:, 1:] - about[:, :-1]).norm(dim=-1)
    assert (step.amax(1) < 1.6 * step.amin(1)).all(), "no jump where the loop closes"


def test_training_draws_from_shards(folder: Path, source: ShardSource) -> None:
    mixed = MixedSource(DataConfig(procedural=0.0, shards=str(folder), mirror=False), torch.device("cpu"))
    clips = mixed.sample(4, 5, 64, generator())
    assert clips.points.shape == (4, 5, 64, 3) and set(clips.category.tolist()) == {FIRST_CATEGORY}
    both = MixedSource(DataConfig(shards=str(folder), shards_share=1.0), torch.device("cpu"))
    seen = {int(both.sample(1, 3, 32, generator(seed)).category[0]) >= FIRST_CATEGORY for seed in range(12)}
    assert seen == {True, False}
    training = MixedSource(DataConfig(shards=str(folder), shards_splits="train", shards_share=1e6), torch.device("cpu"))
    held_out = training.sample(1, 3, 32, generator(), "unseen_identity").category
    assert int(held_out[0]) < FIRST_CATEGORY, "a set without that split leaves it to the other sources"
    testing = MixedSource(DataConfig(procedural=0.0, shards=str(folder), shards_splits="test"), torch.device("cpu"))
    with pytest.raises(DataError, match="no clips"):
        testing.sample(1, 3, 32, generator())


# ---------------------------------------------------------------------- beside the rig bank


def statistics(source: ClipSource, split: str) -> tuple[np.ndarray, np.ndarray]:
    """What training sees: motion, its spread, speed, playback rate, shape; then the labels inside, and normals.

    The bank blends normals between bones, shards have those of the faces as they are, so these differ a little more.
    """
    clips = source.sample(1024, 5, 24, generator(), split)
    moved = (clips.points - clips.points[:, :1]).norm(dim=-1)
    outward = (clips.normals * clips.points[:, 0]).sum(-1)
    motion = [moved.mean(), moved.std(), clips.points.diff(dim=1).norm(dim=-1).mean(), clips.fps.log().mean()]
    inside = source.sample(512, 1, 24, generator(), split, 128).occupancy
    assert inside is not None
    return (
        np.array([*motion, clips.points[:, 0].std()]),
        np.array([inside[:, :64].mean(), inside[:, 64:].mean(), outward.mean()]),
    )


def same_distribution(rigs: Path, tmp_path: Path, splits: tuple[str, ...], motion: float, labels: float) -> None:
    """Motion and shape within a share `motion`, which the draw decides; labels and normals within `labels`."""
    prepare_rigs(rigs, tmp_path / "bank.safetensors", references=4, pool=512)
    prepare("rigs", rigs, tmp_path / "shards", PrepareOptions(points=512, references=2))
    bank, shards = RigSource(tmp_path / "bank.safetensors"), ShardSource(tmp_path / "shards")
    for split in splits:
        one, other = statistics(bank, split), statistics(shards, split)
        assert np.allclose(one[0], other[0], rtol=motion), (one, other)
        assert np.allclose(one[1], other[1], atol=labels), (one, other)


def test_rigs_look_the_same_from_the_bank_and_from_shards(tmp_path: Path) -> None:
    (tmp_path / "rigs" / "animals").mkdir(parents=True)
    arm(5).save(tmp_path / "rigs" / "animals" / "Crane.glb")
    same_distribution(tmp_path / "rigs", tmp_path, ("train", "unseen_motion"), 0.1, 0.06)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared rigs are not here")
def test_a_real_rig_looks_the_same_from_the_bank_and_from_shards(tmp_path: Path) -> None:
    (tmp_path / "rigs" / "animals").mkdir(parents=True)
    (tmp_path / "rigs" / "animals" / "Frog.glb").symlink_to(SHARED / "animals" / "Frog.glb")
    same_distribution(tmp_path / "rigs", tmp_path, ("unseen_identity",), 0.06, 0.03)
