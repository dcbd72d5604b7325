"""Stored scans with fitted bodies, as training draws them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import DataConfig
from core.data.clips import ClipBatch, ClipRequest
from core.data.fitted_scans import BODY_POINTS, CLOUD, SCAN_POINTS, FittedSource, StoredKind, write_scans
from core.errors import DataError
from core.training.sources import MixedSource

TRAIN = ClipRequest(8, 1, 300, "train", 100)


def ball(count: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    normals = rng.standard_normal((count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.concatenate([radius * normals, normals], axis=1).astype(np.float32)


def stored(kind: StoredKind, rng: np.random.Generator, seen: int = 200) -> dict[str, np.ndarray]:
    """A ball of which the upper half is seen, and two bodies that are smaller balls."""
    surface = ball(CLOUD, 0.5, rng)
    scan = np.zeros((SCAN_POINTS, 3), np.float32)
    scan[:seen] = surface[surface[:, 1] > 0][:seen, :3]
    places = rng.uniform(-0.55, 0.55, (400, 3)).astype(np.float32)
    bodies = np.zeros((3, BODY_POINTS, 6), np.float32)
    bodies[0], bodies[1] = ball(BODY_POINTS, 0.48, rng), ball(BODY_POINTS, 0.4, rng)
    return {
        "surface": surface,
        "places": places,
        "inside": np.linalg.norm(places, axis=1) < 0.5,
        "seen": scan,
        "count": np.int64(seen),
        "kind": np.int64(kind),
        "bodies": bodies,
        "misfit": np.array([0.01, 0.02, np.inf], np.float32),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, rng = tmp_path_factory.mktemp("fitted"), np.random.default_rng(0)
    kinds = (StoredKind.DEPTH, StoredKind.HALF, StoredKind.TRACKED, StoredKind.VOXELS)
    write_scans(place / "fitted-scans-train-0-000.safetensors", [stored(kind, rng) for kind in kinds])
    write_scans(place / "fitted-scans-train-0-001.safetensors", [stored(kind, rng) for kind in kinds])
    write_scans(place / "fitted-scans-unseen_identity-0-000.safetensors", [stored(StoredKind.DEPTH, rng)])
    return place


def drawn(folder: Path, request: ClipRequest, seed: int = 0) -> ClipBatch:
    return FittedSource(folder).draw(request, torch.Generator().manual_seed(seed))


def test_held_out_clips_are_as_they_were_stored(folder: Path) -> None:
    clips = drawn(folder, TRAIN._replace(split="unseen_identity"))
    assert clips.points.shape == (8, 1, 300, 3) and clips.scan is not None
    assert clips.scan.kind == "scans" and clips.scan.partial and bool(clips.scan.fits.all())
    assert torch.allclose(clips.points.norm(dim=-1), torch.tensor(0.5), atol=1e-3)
    assert clips.scan.present.sum(dim=1).tolist() == [200] * 8
    assert clips.occupancy is not None and clips.occupancy_points is not None
    inside = clips.occupancy_points.norm(dim=-1) < 0.5
    assert float((inside == (clips.occupancy > 0.5)).float().mean()) > 0.99
    size = {0.01: 0.48, 0.02: 0.4}
    for body, misfit in zip(clips.scan.body, clips.scan.misfit.tolist(), strict=True):
        assert torch.allclose(body.norm(dim=-1), torch.tensor(size[round(misfit, 2)]), atol=2e-3), "one of its bodies"


def test_training_clips_are_turned_and_stretched_with_all_that_belongs_to_them(folder: Path) -> None:
    for seed in range(6):
        clips = drawn(folder, TRAIN, seed)
        assert clips.scan is not None and clips.occupancy_points is not None and clips.occupancy is not None
        points, scan = clips.points[:, 0], clips.scan
        side = (points.amax(dim=1) - points.amin(dim=1)).amax(dim=1)
        assert torch.allclose(side, torch.ones(8), atol=0.05), "the longest side is 1"
        assert torch.allclose(clips.normals.norm(dim=-1), torch.ones(8, 300), atol=1e-3)
        assert bool(((points * clips.normals).sum(dim=-1) > 0).all()), "outward"
        nearest = torch.cdist(scan.points, points).amin(dim=2)[scan.present]
        assert float(nearest.median()) < 0.05, "what is seen lies on the shape"
        reach = torch.cdist(clips.occupancy_points, points).amin(dim=2)
        deep = (clips.occupancy_points.norm(dim=-1) < 0.3) & (reach > 0.05)
        assert bool((clips.occupancy[deep] == 1).all())
        assert not bool((clips.occupancy[clips.occupancy_points.norm(dim=-1) > 0.66] == 1).any())


def test_some_training_clips_have_no_body_and_the_same_seed_gives_the_same(folder: Path) -> None:
    many = TRAIN._replace(batch=200)
    one, again = drawn(folder, many), drawn(folder, many)
    assert one.scan is not None and again.scan is not None
    assert 0.1 < 1 - float(one.scan.fits.float().mean()) < 0.3
    assert torch.equal(one.points, again.points) and torch.equal(one.scan.body, again.scan.body)
    kinds = {scan.kind for seed in range(20) if (scan := drawn(folder, TRAIN, seed).scan) is not None}
    assert kinds == {"scans", "tracked", "voxels"}


def test_they_are_mixed_into_single_frames_only(folder: Path) -> None:
    source = MixedSource(DataConfig(fitted=str(folder), fitted_share=1e6), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    assert source.sample(2, 1, 64, generator).scan is not None
    assert source.sample(2, 3, 64, generator).scan is None
    assert source.sample(2, 1, 64, generator, "unseen_motion").scan is None, "of which nothing is stored"


def test_folders_without_such_files_and_damaged_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no fitted-scans files"):
        FittedSource(tmp_path)
    (tmp_path / "fitted-scans-train-0-000.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="is damaged"):
        FittedSource(tmp_path)
