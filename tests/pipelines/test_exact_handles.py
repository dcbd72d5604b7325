"""Exact handles: residuals are met where given and come and go smoothly in time."""

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from core.geometry.solves import ResidualSolver
from core.pipelines.exact_handles import continue_residuals, frame_chunks, meet_handles


def grid(side: int = 12) -> tuple[np.ndarray, np.ndarray]:
    x, z = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    vertices = np.stack([x.ravel(), np.zeros(side * side), z.ravel()], axis=1).astype(np.float32)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 1, corner + side], 1), np.stack([corner + 1, corner + side + 1, corner + side], 1)]
    )
    return vertices, faces


def jitter(track: np.ndarray) -> float:
    return float(np.abs(np.diff(track, n=2, axis=0)).max())


@settings(deadline=None, max_examples=40)
@for_all(st.data())
def test_residuals_are_kept_where_given_and_bounded_between(data):
    frames, count = data.draw(st.integers(2, 30)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    keyframe_mask = rng.random((frames, count)) < 0.3
    keyframe_mask[0] = True
    residuals = np.where(keyframe_mask[..., None], rng.normal(size=(frames, count, 3)), 0.0)
    residuals[0] = 0.0
    continued = continue_residuals(residuals, keyframe_mask)
    np.testing.assert_array_equal(continued[keyframe_mask], residuals[keyframe_mask])
    # Monotone between keys: never beyond the largest and smallest that were given.
    assert (continued <= residuals.max(axis=0) + 1e-9).all()
    assert (continued >= residuals.min(axis=0) - 1e-9).all()


def test_a_correction_after_the_last_key_stays():
    residuals = np.zeros((9, 1, 3))
    residuals[4] = 1.0
    keyframe_mask = np.zeros((9, 1), bool)
    keyframe_mask[[0, 4]] = True
    continued = continue_residuals(residuals, keyframe_mask)
    np.testing.assert_allclose(continued[4:], 1.0)
    assert (np.diff(continued[:5, 0, 0]) > 0).all()


def test_a_key_does_not_pop():
    """A single keyed frame's correction is spread over its neighbours in time, not there in one frame only."""
    vertices, faces = grid()
    handles = np.array([0, 143])
    solver = ResidualSolver(vertices, faces, handles)
    motion = np.repeat(vertices[None], 17, axis=0)
    targets = np.repeat(vertices[handles][None].astype(float), 17, axis=0)
    targets[8, 0] += (0, 0.4, 0)
    keyframe_mask = np.zeros((17, 2), bool)
    keyframe_mask[[0, 8], 0] = True
    keyframe_mask[:, 1] = True
    before, after = meet_handles(motion, handles, targets, keyframe_mask, lambda: solver, 1.0)
    assert before == pytest.approx(0.4 / 17)  # one key and the pinned handle in 16 frames
    assert after < 1e-6
    pop = 2 * 0.4
    assert jitter(motion[:, 0]) < 0.1 * pop
    np.testing.assert_allclose(motion[:, 143], targets[:, 1], atol=1e-6)
    np.testing.assert_array_equal(motion[0], vertices)


def test_chunks_cover_all_frames_of_a_large_mesh_once():
    covered = np.concatenate([np.arange(200)[chunk] for chunk in frame_chunks(200, 200_000)])
    np.testing.assert_array_equal(covered, np.arange(200))
    assert max(chunk.stop - chunk.start for chunk in frame_chunks(200, 200_000)) * 200_000 <= 1 << 20
