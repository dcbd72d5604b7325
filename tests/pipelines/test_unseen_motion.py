"""Unseen parts of a scanned rod move as the bank's rod does, seen ones as they were."""

import numpy as np
import pytest
from numpy.typing import NDArray

from core.bank.library import MotionLibrary
from core.pipelines.prepared_mesh import PreparedMesh
from core.pipelines.unseen_motion import BankMotions, move_unseen
from core.sequence import MeshPart, Normalization, SourceMesh
from tests.bank.creatures import swinging_rod
from tests.pipelines.conftest import tube

FRAMES, SEEN_TO = 9, 0.15  # of the rod, which reaches from -0.5 to 0.5 and swings what is beyond 0


def halves(points: NDArray, normals: NDArray) -> tuple[NDArray, float]:
    """What the bank's rod says of its halves."""
    right = points[:, 0] > 0
    descriptors = np.zeros((len(points), 4), np.float32)
    descriptors[:, 0], descriptors[:, 1] = np.where(right, 0.6, 1.0), np.where(right, 0.8, 0.0)
    return descriptors, 0.0


def swung(rest: NDArray, degrees: float = 50.0) -> NDArray:
    """Vertices [T, V, 3] whose right half turns about z."""
    frames = []
    for angle in np.deg2rad(degrees) * np.linspace(0, 1, FRAMES):
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        frames.append(np.where(rest[:, :1] > 0, rest @ turn.T, rest))
    return np.stack(frames).astype(np.float32)


@pytest.fixture(scope="module")
def rod(animator) -> PreparedMesh:
    vertices, faces = tube(rings=40, length=1.0, radius=0.05)
    vertices = vertices - vertices.mean(axis=0)
    vertices[:, 1] = vertices[:, 1] - 0.3 * np.sin((vertices[:, 0] + 0.5) * np.pi)
    rest = (vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2).astype(np.float32)
    corners = faces.astype(np.int32)
    source = SourceMesh("rod", rest, corners, np.arange(len(rest), dtype=np.int32), (MeshPart("rod", corners),))
    identity = Normalization(center=np.zeros(3), scale=1.0)
    return PreparedMesh(source, animator.config, animator.shape_autoencoder, animator.device, identity)


@pytest.fixture(scope="module")
def motions() -> BankMotions:
    return BankMotions(MotionLibrary([swinging_rod("rod"), swinging_rod("calm", 40.0)]), halves)


def scanned(rod: PreparedMesh) -> tuple[NDArray, NDArray, list[NDArray]]:
    """The true motion, one whose unseen tip does not turn, and the points of all frames."""
    rest = np.asarray(rod.source.vertices)
    truth = swung(rest)
    unseen = rest[:, 0] > SEEN_TO
    last = np.flatnonzero(~unseen)[rest[~unseen, 0].argmax()]
    lazy = truth.copy()
    lazy[:, unseen] = rest[unseen] + truth[:, last : last + 1] - rest[last]
    return truth, lazy, [frame[~unseen] for frame in truth]


def test_what_was_not_seen_moves_as_the_bank_says_and_the_rest_stays(rod: PreparedMesh, motions: BankMotions) -> None:
    truth, lazy, clouds = scanned(rod)
    moved = move_unseen(motions, rod, lazy, clouds, 24.0, 0)
    rest = np.asarray(rod.source.vertices)
    tip, seen = rest[:, 0] > 0.4, rest[:, 0] < SEEN_TO
    error = [np.linalg.norm(one[-1, tip] - truth[-1, tip], axis=-1).mean() for one in (lazy, moved)]
    assert error[1] < 0.5 * error[0]
    np.testing.assert_array_equal(moved[0], lazy[0])
    np.testing.assert_allclose(moved[:, seen], lazy[:, seen], atol=1e-6)


def test_seeds_differ_where_nothing_was_seen_and_only_there(rod: PreparedMesh, motions: BankMotions) -> None:
    _, lazy, clouds = scanned(rod)
    one, other = (move_unseen(motions, rod, lazy, clouds, 24.0, seed) for seed in (0, 1))
    apart = np.linalg.norm(one - other, axis=-1).max(axis=0)
    x = np.asarray(rod.source.vertices)[:, 0]
    assert apart[x > 0.4].max() > 1e-4 and apart[x < SEEN_TO].max() < 1e-6


def test_nothing_is_borrowed_where_too_little_was_seen_or_nothing_may_be(
    rod: PreparedMesh, motions: BankMotions
) -> None:
    _, lazy, clouds = scanned(rod)
    far = [cloud + 5.0 for cloud in clouds]
    assert move_unseen(motions, rod, lazy, far, 24.0, 0) is lazy
    assert move_unseen(motions.without({"rods"}), rod, lazy, clouds, 24.0, 0) is lazy
    assert move_unseen(motions, rod, lazy, [cloud[:0] for cloud in clouds], 24.0, 0) is lazy
