"""Bodies compared with the box that a camera saw, and stretched to it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.geometry.sampling import sample_surface
from core.pipelines.seen_box import FAR, MARGIN, MOST_STRETCH, SeenBox
from tests.geometry.bodies import capsule

BOX = SeenBox(np.array([0.5, 0.3, 0.2]))


def block(low: list[float], high: list[float]) -> NDArray[np.float64]:
    """The corners of a box."""
    return np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)


def test_what_is_seen_on_one_side_is_expected_on_the_other() -> None:
    body, faces = capsule()
    points = sample_surface(body, faces, 8000, np.random.default_rng(0)).at(body)
    points = points[points @ [0.6, 0.0, 0.8] > 0]
    assert points[:, 0].min() > -0.4, "the end on the far side is not seen"
    np.testing.assert_allclose(SeenBox.of(points).half, [0.5, 0.15, 0.15], atol=0.01)
    noisy = np.concatenate([points, [[0.0, 3.0, 0.0]]])
    np.testing.assert_allclose(SeenBox.of(noisy).half, SeenBox.of(points).half, atol=0.01)


def test_a_body_that_fills_the_box_is_the_likeliest() -> None:
    full = block([-0.5, -0.3, -0.2], [0.5, 0.3, 0.2])
    nearly = block([-0.5, -0.3, -0.2 + 0.9 * MARGIN], [0.5, 0.3, 0.2])
    short = block([-0.3, -0.3, -0.2], [0.5, 0.3, 0.2])
    large = block([-0.5, -0.3, -0.4], [0.5, 0.3, 0.2])
    misfit = BOX.misfit(np.stack([full, nearly, short, large]))
    assert misfit[0] == misfit[1] == 0 and (misfit[2:] > 0.002).all()


def test_a_body_is_stretched_on_the_side_on_which_it_is_far_too_short() -> None:
    found = BOX.filled(block([-0.35, -0.3, -0.2 + 0.9 * FAR], [0.5, 0.3, 0.2]))
    np.testing.assert_allclose(found.min(axis=0), [-0.5 + MARGIN, -0.3, -0.2 + 0.9 * FAR])
    np.testing.assert_allclose(found.max(axis=0), [0.5, 0.3, 0.2], err_msg="the seen side and small gaps stay")


def test_a_body_is_not_stretched_without_limit_and_never_shrunk() -> None:
    tiny = BOX.filled(block([-0.1, -0.3, -0.3], [0.5, 0.3, 0.3]))
    assert np.ptp(tiny, axis=0) == pytest.approx([MOST_STRETCH * 0.6, 0.6, 0.6])
    assert tiny[:, 0].max() == pytest.approx(0.5)
