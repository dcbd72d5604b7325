"""The reconstruct pipeline with random weights: what must hold whatever the models have learned."""

import dataclasses

import numpy as np
import pytest
import torch

from core.checkpoint import scan_motion_path
from core.config import load_config
from core.errors import Cancelled, DataError
from core.experiments.ablation_rows import NO_WARM_START
from core.models.diffusion_models import (
    build_motion_autoencoder,
    build_motion_diffusion,
    build_shape_autoencoder,
    build_shape_diffusion,
)
from core.pipelines.reconstruct import IDENTITY, Reconstructor
from core.pipelines.request import Progress, ReconstructionOptions, SamplingOptions
from core.pipelines.scan_input import MOST_TRACKED, ScanInput
from core.sequence import Normalization, ScanSequence

FRAMES = 4


@pytest.fixture(scope="module")
def reconstructor() -> Reconstructor:
    config = load_config("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        build = (build_shape_autoencoder, build_motion_autoencoder, build_shape_diffusion, build_motion_diffusion)
        modules = [make(config) for make in build]
        modules[2].guess_std.fill_(0.01)  # so that samples stay near what is observed
    return Reconstructor(config, *modules, "cpu")


def blob(frames: int = FRAMES, count: int = 300, seed: int = 0) -> np.ndarray:
    """Points [T, N, 3] of an egg that moves to the right."""
    direction = np.random.default_rng(seed).normal(size=(count, 3))
    egg = direction / np.linalg.norm(direction, axis=1, keepdims=True) * [0.5, 0.35, 0.3]
    return (egg + np.arange(frames)[:, None, None] * [0.03, 0.0, 0.0]).astype(np.float32)


def scans(**changes) -> ScanSequence:
    return dataclasses.replace(ScanSequence(tuple(blob()), tracked=True), **changes)


def options(**changes) -> ReconstructionOptions:
    sampling = SamplingOptions(seeds=changes.pop("seeds", 2), seed=changes.pop("seed", 0), steps=2)
    return ReconstructionOptions(sampling, **({"normalization": IDENTITY, "resolution": 32} | changes))


def test_one_complete_tracked_surface_per_seed(reconstructor: Reconstructor) -> None:
    result = reconstructor.reconstruct(scans(), options())
    assert [sample.seed for sample in result.samples] == [0, 1]
    for sample in result.samples:
        frames, count, _ = sample.sequence.vertices.shape
        assert frames == FRAMES
        assert sample.scan_distance.shape == sample.disagreement.shape == (FRAMES, count)
        assert sample.fit.shape == (FRAMES,)
        assert float(sample.fit[0]) < 0.15, "the latents sit on the observed points"
        edges = np.sort(np.concatenate([sample.sequence.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))]), axis=1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all(), "watertight"
    assert float(result.samples[0].disagreement.max()) > 0


def test_same_seed_same_answer_and_units_are_the_scans(reconstructor: Reconstructor) -> None:
    first = reconstructor.reconstruct(scans(), options(seeds=1)).samples[0].sequence.vertices
    again = reconstructor.reconstruct(scans(), options(seeds=1)).samples[0].sequence.vertices
    assert np.array_equal(first, again)
    large = scans(points=tuple(frame * 100 + 7 for frame in blob()))
    place = Normalization(center=np.full(3, 7.0), scale=100.0)
    scaled = reconstructor.reconstruct(large, options(seeds=1, normalization=place)).samples[0].sequence.vertices
    assert scaled.shape == first.shape
    assert np.abs(scaled - (first * 100 + 7)).max() < 0.5


def test_tracked_points_carry_the_surface(reconstructor: Reconstructor) -> None:
    vertices = reconstructor.reconstruct(scans(), options(seeds=1)).samples[0].sequence.vertices
    moved = (vertices[-1] - vertices[0]).mean(axis=0)
    assert np.allclose(moved, [0.09, 0.0, 0.0], atol=0.02)


def test_many_tracked_points_are_thinned_and_all_are_measured() -> None:
    first = np.random.default_rng(0).uniform(-0.5, 0.5, (5000, 3)).astype(np.float32)
    points = tuple(first + np.float32(0.01 * frame) for frame in range(3))
    given = ScanInput(scans(points=points), Normalization(np.zeros(3), 1.0), load_config("tiny"), torch.device("cpu"))
    assert {len(frame) for frame in given.points} == {MOST_TRACKED}
    assert [len(frame) for frame in given.measured] == [5000] * 3
    assert np.allclose(given.points[2] - given.points[0], 0.02, atol=1e-6)


@pytest.mark.parametrize("up_axis", ["x", "y", "z"])
def test_normals_of_voxels_point_outwards_whatever_axis_is_up(up_axis: str) -> None:
    axis = (np.arange(32) + 0.5) / 32 - 0.5
    away = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1) * [1.0, 1.2, 1.6]  # no axis is like another
    grids = np.stack([np.linalg.norm(away, axis=-1) < 0.4] * 2 + [np.zeros((32, 32, 32), bool)])
    empty = (np.zeros((0, 3)),) * 3
    solid = scans(points=empty, tracked=False, modality="voxels", dense=grids, voxel_side=1.0, up_axis=up_axis)
    given = ScanInput(solid, Normalization(np.zeros(3), 0.8, up_axis), load_config("tiny"), torch.device("cpu"))
    normals = given.normals()
    assert normals is not None and [len(some) for some in normals] == [len(some) for some in given.points]
    assert len(given.points[2]) == 0, "an empty frame has none"
    outer = np.linalg.norm(given.points[0], axis=1) > 0.4  # the ends of the longest axis
    outward = given.points[0] / np.linalg.norm(given.points[0], axis=1, keepdims=True)
    assert np.einsum("ni,ni->n", normals[0], outward)[outer].min() > 0.5


def test_untracked_points_carry_it_too(reconstructor: Reconstructor) -> None:
    frames = tuple(blob(seed=number)[number] for number in range(FRAMES))
    vertices = (
        reconstructor.reconstruct(scans(points=frames, tracked=False), options(seeds=1)).samples[0].sequence.vertices
    )
    assert (vertices[-1] - vertices[0]).mean(axis=0)[0] > 0.02


def test_partial_voxels_and_images(reconstructor: Reconstructor) -> None:
    half = tuple(frame[frame[:, 1] > 0] for frame in blob())
    assert reconstructor.reconstruct(scans(points=half, tracked=False, partial=True), options(seeds=1)).samples
    axis = (np.arange(20) + 0.5) / 20 * 1.1 - 0.55
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    grids = np.stack([((x - 0.03 * t) / 0.5) ** 2 + (y / 0.35) ** 2 + (z / 0.3) ** 2 < 1 for t in range(FRAMES)])
    empty = tuple(np.zeros((0, 3), dtype=np.float32) for _ in range(FRAMES))
    solid = scans(points=empty, tracked=False, modality="voxels", dense=grids, voxel_side=1.1)
    assert reconstructor.reconstruct(solid, options(seeds=1)).samples[0].fit[0] < 0.2
    images = np.zeros((FRAMES, 40, 60, 3), dtype=np.uint8)
    images[:, 10:30, 20:40] = 200
    seen = scans(points=empty, tracked=False, modality="images", dense=images, partial=True)
    assert np.isnan(reconstructor.reconstruct(seen, options(seeds=1)).samples[0].fit).all()
    with pytest.raises(DataError, match="stands out"):
        reconstructor.reconstruct(dataclasses.replace(seen, dense=images * 0), options(seeds=1))


def test_longer_than_a_window_and_cancelled(reconstructor: Reconstructor) -> None:
    longer = scans(points=tuple(blob(11)))
    reports: list[Progress] = []
    result = reconstructor.reconstruct(longer, options(seeds=1), reports.append)
    assert result.samples[0].sequence.frames == 11
    done = [report.done for report in reports]
    assert done == sorted(done)
    assert reports[-1].done == reports[-1].total
    previews = [report for report in reports if report.preview is not None]
    assert previews
    assert previews[0].preview.shape == result.samples[0].sequence.vertices.shape
    assert np.array_equal(previews[0].preview_faces, result.samples[0].sequence.faces)

    def stop(progress: Progress) -> None:
        if progress.done >= 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        reconstructor.reconstruct(longer, options(seeds=1), stop)


def test_one_shape_and_a_face_budget(reconstructor: Reconstructor) -> None:
    result = reconstructor.reconstruct(scans(), options(one_shape=True, faces=400))
    first, second = (sample.sequence for sample in result.samples)
    assert np.array_equal(first.faces, second.faces)
    assert abs(len(first.faces) - 400) <= 40


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"points": tuple(blob(1))}, "A single frame"),
        ({"points": (np.zeros((0, 3)), *blob()[1:])}, "first frame"),
        ({"points": tuple(np.full((5, 3), np.nan) for _ in range(3))}, "first frame"),
        ({"modality": "images"}, "images"),
        ({"modality": "voxels"}, "voxel"),
    ],
)
def test_scans_that_cannot_be_used(reconstructor: Reconstructor, changes: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        reconstructor.reconstruct(scans(**changes), options(seeds=1))


PUBLISHED = ("conditions.observed_anchors=false", "conditions.scan_channels=0", *NO_WARM_START)


@pytest.mark.parametrize("seen", [{}, {"tracked": False, "partial": True}])
def test_the_published_design(seen: dict) -> None:
    """Latents that sit on no observed point, and motions without a warm start."""
    config = load_config("tiny", PUBLISHED)
    torch.manual_seed(3)
    build = (build_shape_autoencoder, build_motion_autoencoder, build_shape_diffusion, build_motion_diffusion)
    modules = [make(config) for make in build]
    modules[0].query = lambda context, points: 9 * (0.4 - points.norm(dim=-1))  # random weights have no surface
    result = Reconstructor(config, *modules, "cpu").reconstruct(scans(**seen), options())
    first, second = (sample.sequence.vertices for sample in result.samples)
    assert len(first) == FRAMES
    assert np.isfinite(first).all()
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_scans_are_followed_by_the_denoiser_kept_for_them(tmp_path):
    """Where a folder has one; else by the one that animates."""
    assert Reconstructor.load("small", "cpu").motion_diffusion.denoiser.from_borrowed is None
    assert scan_motion_path("small").name == "scan-motion-diffusion.safetensors"
    assert scan_motion_path(str(tmp_path)) == tmp_path / "motion-diffusion.safetensors"
