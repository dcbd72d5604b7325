"""Bodies for partial scans: the right one is found, bent to what was seen, and used only where it may be right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from core.bank.bodies import body_of
from core.bank.credits import LICENCE, Credit
from core.bank.read_sequence import MeshMotion, body_of_motion
from core.bank.shape import BankShape
from core.config import load_config
from core.geometry.occupancy import is_inside, uniform_box_points
from core.geometry.sampling import face_normals, sample_surface
from core.models.diffusion_models import (
    build_motion_autoencoder,
    build_motion_diffusion,
    build_shape_autoencoder,
    build_shape_diffusion,
)
from core.pipelines import body_fit, body_search
from core.pipelines.body_fit import NEAR, FittedBody, fit_bodies
from core.pipelines.body_search import BodyPoses, PlacedBody, find_bodies
from core.pipelines.free_space import FreeSpace
from core.pipelines.reconstruct import IDENTITY, Reconstructor
from core.pipelines.request import Progress, ReconstructionOptions, SamplingOptions
from core.pipelines.scan_bodies import MOST_MISFIT, expected_overlap, likely_bodies
from core.pipelines.seen_side import Extent
from core.sequence import Normalization, ScanSequence
from tests.geometry.bodies import capsule, coarse_surfaces

UNKNOWN = lambda places: np.zeros(len(places)) - 0.1  # noqa: E731  a model that knows nothing


def bent(bend: float) -> np.ndarray:
    vertices = capsule(bend)[0]
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return (vertices - (low + high) / 2) / (high - low).max()


def shape(name: str, width: float) -> BankShape:
    poses = np.stack([bent(bend) * [1, width, width] for bend in np.linspace(0.0, 1.5, 16)]).astype(np.float32)
    credit = Credit("a test", LICENCE, name + "s")
    return body_of(body_of_motion(name, MeshMotion("bend", poses, 24.0), capsule()[1], credit, "objects", 300))


@pytest.fixture(scope="module")
def poses() -> BodyPoses:
    with coarse_surfaces():
        return BodyPoses([shape("sausage", 1.0), shape("barrel", 2.2)])


@pytest.fixture(scope="module")
def half() -> np.ndarray:
    """Points of the left half of a sausage that is bent by one radian and turned about the vertical."""
    vertices, faces = bent(1.0), capsule()[1]
    points = sample_surface(vertices, faces, 800, np.random.default_rng(0)).at(vertices)
    return (points[points[:, 0] < -0.05]) @ turn(0.9).T


def turn(angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])


def test_the_body_that_fits_is_found_first_whatever_its_heading(poses: BodyPoses, half: np.ndarray) -> None:
    found = find_bodies(poses, half, None, 4)
    assert found[0].name == "sausage" and len(found) == 4
    assert [body.misfit for body in found] == sorted(body.misfit for body in found)
    assert {body.name for body in find_bodies(poses.without({"sausages"}), half, None, 4)} == {"barrel"}
    assert find_bodies(poses.without({"a test"}), half, None, 4) == []
    assert len(poses.usable) > len(poses.without({"sausages"}).usable)


def test_it_is_bent_to_what_was_seen_and_completes_the_rest(poses: BodyPoses, half: np.ndarray) -> None:
    best = likely_bodies(poses, half, None, UNKNOWN)[0]
    assert best.name == "sausage" and best.misfit < 0.01
    places = uniform_box_points(20_000, np.random.default_rng(1))
    logits = best.blended(UNKNOWN(places), places)
    assert best.seen is not None
    near = (best.seen.query(places)[0] < NEAR) & ~is_inside(best.vertices, best.faces, places)
    near &= best.with_company(places) <= 0
    np.testing.assert_allclose(logits[near], UNKNOWN(places)[near])
    true = is_inside(bent(1.0) @ turn(0.9).T, capsule()[1], places)
    assert ((logits > 0) & true)[~near].sum() / ((logits > 0) | true)[~near].sum() > 0.5


def test_a_body_that_does_not_fit_says_nothing(poses: BodyPoses) -> None:
    scattered = np.random.default_rng(3).uniform(-0.5, 0.5, (300, 3))
    assert likely_bodies(poses, scattered, None, UNKNOWN) == []
    assert likely_bodies(poses, scattered[:3], None, UNKNOWN) == []


def test_no_body_stands_where_the_camera_looked_through(poses: BodyPoses) -> None:
    vertices, faces = bent(1.0), capsule()[1].astype(np.int64)
    eye = np.array([0.2, 0.3, 3.0])
    towards = ((eye - vertices[faces].mean(axis=1)) * face_normals(vertices, faces)).sum(axis=1) > 0
    points = sample_surface(vertices, faces[towards], 3000, np.random.default_rng(0)).at(vertices)
    free = FreeSpace(points, eye)
    for body in fit_bodies(find_bodies(poses, points, free, 6), points, free)[:2]:
        assert np.quantile(free.clearance(body.vertices), 0.95) < 0.03
    moved = free.nearest_possible(np.array([[0.0, 0.45, 0.0], [0.0, 0.1, 1.5]]))
    assert (free.clearance(moved) < 0.01).all()


def test_the_choice_has_the_largest_expected_overlap() -> None:
    inside = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 1, 1]], dtype=bool)
    model = np.array([1, 1, 0, 0, 0, 0], dtype=bool)
    same = expected_overlap(inside, model, np.array([0.005, 0.005, 0.005]))
    assert same[0] == pytest.approx(same[1]) and same[2] < same[0]
    surer = expected_overlap(inside, model, np.array([0.005, 0.001, 0.005]))
    assert surer.argmax() == 1
    assert 0 < MOST_MISFIT < 0.05


def test_few_points_of_a_whole_shape_find_its_body(poses: BodyPoses) -> None:
    every = bent(1.0) @ turn(0.9).T
    few = sample_surface(every, capsule()[1], 80, np.random.default_rng(0)).at(every)
    best = likely_bodies(poses, few, None, UNKNOWN, extent=Extent.WHOLE)[0]
    places = uniform_box_points(5000, np.random.default_rng(1))
    inside, found = is_inside(every, capsule()[1], places), best.with_company(places) > 0
    assert best.name == "sausage"
    shown: list[FittedBody] = []
    likely_bodies(poses, few, None, UNKNOWN, extent=Extent.WHOLE, on_better=shown.append)
    assert shown and [body.misfit for body in shown] == sorted((body.misfit for body in shown), reverse=True)
    assert (inside & found).sum() / (inside | found).sum() > 0.6
    near = few[few[:, 0] > 0]
    (same,), (cut,) = (find_bodies(poses, points, None, 1, extent=Extent.WHOLE) for points in (few, near))
    assert cut.misfit > same.misfit, "a body is not where no points are"


def test_a_whole_shape_that_hangs_finds_its_body_too(poses: BodyPoses, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]) @ turn(0.9)
    vertices = Normalization.of(bent(1.2) @ hanging.T).apply(bent(1.2) @ hanging.T)
    points = sample_surface(vertices, capsule()[1], 80, np.random.default_rng(0)).at(vertices)
    (found,) = find_bodies(poses, points, None, 1, extent=Extent.WHOLE)
    monkeypatch.setattr(body_search, "UPRIGHT", np.inf)
    (upright,) = find_bodies(poses, points, None, 1, extent=Extent.WHOLE)
    assert found.name == "sausage" and found.misfit < 0.03 < 2 * found.misfit < upright.misfit


def test_only_the_likeliest_bodies_are_bent_to_the_end(
    poses: BodyPoses, half: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = find_bodies(poses, half, None, 6)
    monkeypatch.setattr(body_fit, "CHOSEN", ())
    every = fit_bodies(placed, half, None)
    monkeypatch.setattr(body_fit, "CHOSEN", ((1, 4), (2, 2)))
    some = fit_bodies(placed[::-1], half, None)
    assert len(every) == 6 and len(some) == 2
    assert some[0].misfit == pytest.approx(every[0].misfit), "the best of all is among them, in whatever order"


def test_an_end_that_no_point_is_nearest_to_is_drawn_along() -> None:
    faces = capsule()[1]
    points = sample_surface(bent(0.0), faces, 120, np.random.default_rng(0)).at(bent(0.0))
    placed = PlacedBody("sausage", bent(1.2), faces, 0.0)
    farthest = {
        extent: KDTree(points).query(fit_bodies([placed], points, None, extent=extent)[0].vertices)[0].max()
        for extent in (Extent.SIDE, Extent.WHOLE)
    }
    assert farthest[Extent.WHOLE] < 0.5 * farthest[Extent.SIDE]


def test_a_scan_that_does_not_say_it_all_names_the_body_that_completed_it_and_another_none(
    poses: BodyPoses, half: np.ndarray
) -> None:
    config = load_config("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        build = (build_shape_autoencoder, build_motion_autoencoder, build_shape_diffusion, build_motion_diffusion)
        modules = [make(config) for make in build]
        modules[2].guess_std.fill_(0.01)
    completed = Reconstructor(config, *modules, "cpu", bodies=poses)
    scans = ScanSequence(tuple(half.astype(np.float32) for _ in range(3)), tracked=True, partial=True)
    options = ReconstructionOptions(SamplingOptions(seeds=1, steps=2), IDENTITY, resolution=32)
    told: list[Progress] = []
    assert completed.reconstruct(scans, options, told.append).samples[0].body == "Sausage"
    fitting = [progress for progress in told if progress.body]
    assert fitting and all(one.body == "Sausage" and one.preview is not None for one in fitting[-1:])
    every = bent(1.0) @ turn(0.9).T
    for count, body in ((100, "Sausage"), (600, "")):
        points = sample_surface(every, capsule()[1], count, np.random.default_rng(0)).at(every).astype(np.float32)
        whole = replace(scans, points=(points,) * 3, partial=False)
        assert completed.reconstruct(whole, options).samples[0].body == body
    completed.bodies = poses.without({"a test"})
    assert completed.reconstruct(scans, options).samples[0].body == ""
