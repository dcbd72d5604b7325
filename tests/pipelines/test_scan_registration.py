"""A surface drawn to scans: in frame 0, through the frames, and once more at the end."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import Cancelled
from core.geometry.sampling import sample_surface, vertex_normals
from core.geometry.soft_arap import closest
from core.pipelines.scan_registration import SurfaceRegistration
from tests.geometry.bodies import capsule

BENDS = np.linspace(0.0, 0.6, 7)
EYE = np.tile([0.0, 0.0, 4.0], (len(BENDS), 1))


def motion() -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """A body that bends in half a second, [7, V, 3], and its faces."""
    return np.stack([0.4 * capsule(bend)[0] for bend in BENDS]), capsule()[1]


def scans(truth: NDArray[np.float64], faces: NDArray[np.int32], one_sided: bool) -> list[NDArray[np.float64]]:
    """Points of each frame, other ones every time; only those in front where one-sided."""
    clouds = []
    for frame, vertices in enumerate(truth):
        points = sample_surface(vertices, faces, 900, np.random.default_rng(frame)).at(vertices)
        clouds.append(points[points[:, 2] > 0.01] if one_sided else points)
    return clouds


@pytest.mark.parametrize("one_sided", [True, False])
def test_a_bending_body_is_followed(one_sided: bool) -> None:
    truth, faces = motion()
    found = SurfaceRegistration(truth[0], faces, scans(truth, faces, one_sided), EYE if one_sided else None)
    tracks = found.follow()
    displacements = found.at(tracks, truth[0])
    # Of a body as round as this one nobody can see how it rolls about its own axis, so surfaces are compared.
    off = [closest(pose, faces, truth[-1])[1].mean() for pose in (truth[0] + displacements[-1], truth[0])]
    assert off[0] < 0.35 * off[1], "the hidden side goes along"
    assert np.abs(displacements[0]).max() == 0


@pytest.mark.parametrize("depth", [1.0, 0.25], ids=["round", "thin"])
def test_a_body_that_moves_lengthwise_takes_its_surface_along(depth: float) -> None:
    body, faces = motion()[0][0] * [1.0, 1.0, depth], motion()[1]
    truth = body + np.linspace(0.0, 0.6, len(BENDS))[:, None, None] * [1.0, 0.0, 0.0]
    clouds = []
    for frame, vertices in enumerate(truth):
        samples = sample_surface(vertices, faces, 3000, np.random.default_rng(frame))
        points, normals = samples.at(vertices), samples.at(vertex_normals(vertices, faces))
        clouds.append(points[np.einsum("ni,ni->n", normals, EYE[0] - points) > 0])
    found = SurfaceRegistration(body, faces, clouds, EYE)
    moved = found.at(found.follow(), body)
    missed = np.linalg.norm(body + moved[-1] - truth[-1], axis=1).mean()
    assert missed < 0.25 * 0.6, "by place alone the round one slides through its surface, and misses 0.39 of the way"


def test_frames_without_points_keep_the_pose_of_the_frame_before() -> None:
    truth, faces = motion()
    nothing = np.zeros((0, 3))
    found = SurfaceRegistration(truth[0], faces, [scans(truth, faces, True)[0], *[nothing] * 6], EYE)
    assert np.array_equal(found.follow()[-1], found.follow()[0])


def test_the_far_side_of_a_thin_body_is_not_taken_for_the_near_one() -> None:
    truth, faces = motion()
    thin = truth * [1.0, 1.0, 0.1]
    raised = thin + np.array([0.0, 0.0, 0.03])  # nearer to the camera by more than the body is thick
    front = raised[0][raised[0][:, 2] > 0.031]
    seen = SurfaceRegistration(thin[0], faces, [front], EYE[:1])
    far = thin[0][:, 2] < -0.005
    near = thin[0][:, 2] > 0.005
    drawn = seen.snap() - thin[0]
    assert drawn[near, 2].mean() > 0.01
    assert np.abs(drawn[near, 2].mean() - drawn[far, 2].mean()) < 0.02


def test_a_surface_that_is_too_small_is_drawn_onto_the_points() -> None:
    truth, faces = motion()
    small = truth[0] * 0.95
    points = scans(truth, faces, False)[0]
    found = SurfaceRegistration(small, faces, [points])
    drawn = found.snap()
    assert closest(drawn, faces, points)[1].mean() < 0.5 * closest(small, faces, points)[1].mean()
    assert np.array_equal(found.vertices, drawn)


def test_tracked_points_settle_what_the_prior_missed() -> None:
    truth, faces = motion()
    clouds = list(sample_surface(truth[0], faces, 300, np.random.default_rng(0)).at(truth))
    guess = truth[:1] + 0.7 * (truth - truth[:1])
    settled = SurfaceRegistration(truth[0], faces, clouds, tracked=True).settle(guess)
    before, after = (np.linalg.norm(found[-1] - truth[-1], axis=1).mean() for found in (guess, settled))
    assert after < 0.3 * before
    assert np.array_equal(settled[0], guess[0])


def test_untracked_points_settle_it_too_and_empty_frames_keep_the_guess() -> None:
    truth, faces = motion()
    guess = truth + np.linspace(0, 0.02, len(truth))[:, None, None] * [0.0, 1.0, 0.0]
    clouds = scans(truth, faces, False)
    settled = SurfaceRegistration(truth[0], faces, clouds).settle(guess)
    error = lambda found: closest(found[-1], faces, clouds[-1])[1].mean()  # noqa: E731
    assert error(settled) < 0.5 * error(guess)
    empty = SurfaceRegistration(truth[0], faces, [clouds[0], *[np.zeros((0, 3))] * 6])
    assert np.array_equal(empty.settle(guess), guess)
    assert np.array_equal(empty.follow()[-1], empty.follow()[0])


def test_it_can_be_cancelled() -> None:
    truth, faces = motion()

    def stop() -> None:
        raise Cancelled

    found = SurfaceRegistration(truth[0], faces, scans(truth, faces, False), check_cancelled=stop)
    for work in (found.snap, found.follow, lambda: found.settle(truth)):
        with pytest.raises(Cancelled):
            work()
