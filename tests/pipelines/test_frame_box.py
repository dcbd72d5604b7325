"""The box of a cut shape: the end that was seen tells where the other one is, and bodies reach it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import load_config
from core.geometry.sampling import sample_surface
from core.geometry.scan_normalization import guess_normalization
from core.pipelines.body_fit import fit_bodies
from core.pipelines.body_search import PlacedBody, contradictions
from core.pipelines.frame_box import FrameBox
from core.pipelines.scan_input import ScanInput
from core.pipelines.seen_side import Extent
from core.sequence import IDENTITY, ScanSequence
from tests.geometry.bodies import capsule

UPRIGHT = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


@pytest.fixture(scope="module")
def post() -> np.ndarray:
    """Vertices of a capsule of height 1 around the origin that stands on its end."""
    vertices = capsule()[0] @ UPRIGHT
    return np.asarray((vertices - (vertices.min(0) + vertices.max(0)) / 2) / np.ptp(vertices[:, 1]))


@pytest.fixture(scope="module")
def upper(post: np.ndarray) -> np.ndarray:
    points = sample_surface(post, capsule()[1], 1000, np.random.default_rng(0)).at(post)
    return np.asarray(points[points[:, 1] > 0.1])


def test_the_end_opposite_to_the_seen_one_is_known(upper: np.ndarray) -> None:
    box = FrameBox.of_cut(upper)
    assert (box.axis, box.sign) == (1, -1.0)
    assert box.half[1] == pytest.approx(0.5, abs=0.01)
    assert box.half[0] == box.half[2] == 0.5, "ends across the cut may be below it"
    below = FrameBox.of_cut(-upper)
    assert (below.axis, below.sign) == (1, 1.0)


def test_points_all_around_tell_no_end(post: np.ndarray) -> None:
    box = FrameBox.of_cut(post)
    assert box.axis is None
    logits = np.ones(len(post))
    assert (box.carved(logits, 2 * post) == logits).all() and box.short_of_end(post) == 0.0


def test_nothing_is_inside_beyond_the_end(upper: np.ndarray) -> None:
    places = np.array([[0.0, -0.45, 0.0], [0.0, -0.6, 0.0], [0.0, 0.6, 0.0]])
    assert (FrameBox.of_cut(upper).carved(np.ones(3), places) > 0).tolist() == [True, False, True]


@pytest.mark.parametrize("height", [0.7, 1.4])
def test_bodies_of_another_length_are_doubted_and_bent_to_the_end(
    post: np.ndarray, upper: np.ndarray, height: float
) -> None:
    other = post.copy()
    other[:, 1] = 0.5 - height * (0.5 - other[:, 1])
    box = FrameBox.of_cut(upper)
    right, wrong = contradictions(np.stack([post, other]), None, box)
    assert wrong > right + 0.01
    placed = PlacedBody("post", other, capsule()[1], 0.0)
    free, bound = (
        fit_bodies([placed], upper, None, extent=Extent.CUT, box=which)[0] for which in (FrameBox.unknown(), box)
    )
    assert abs(bound.vertices[:, 1].min() + 0.5) < 0.5 * abs(free.vertices[:, 1].min() + 0.5)
    assert abs(bound.vertices[:, 1].min() + 0.5) < 0.03


def test_a_guessed_box_says_nothing_about_the_end(upper: np.ndarray) -> None:
    frames = tuple(upper.astype(np.float32) for _ in range(2))
    scans = ScanSequence(frames, 24.0, True, "post", partial=True)
    config, device = load_config("small"), torch.device("cpu")
    assert ScanInput(scans, IDENTITY, config, device).box.axis == 1
    assert ScanInput(scans, guess_normalization(scans), config, device).box.axis is None
    assert ScanInput(replace(scans, partial=False), IDENTITY, config, device).box.axis is None
