"""A rig of a mesh that nobody has animated: skeleton, names and actions come from the bank."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from core.errors import ExportError
from core.pipelines import animate, borrowed_rig
from core.pipelines.animate import Animator
from core.pipelines.borrowed_rig import borrow_rig, rig_with_bank
from core.pipelines.make_rig import BOUND_MOTION, BOUND_SIZE
from core.sequence import MeshSequence, SourceMesh
from tests.pipelines.coarse_mesh import coarse_mesh
from tests.rigging.bent_tube import bent_tube


@pytest.fixture(scope="module", autouse=True)
def shipped() -> Iterator[Animator]:
    """Loaded once for all rigs of this file."""
    animator = Animator.load("small", "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Animator, "load", lambda preset, device: animator)
        yield animator


@pytest.fixture(scope="module")
def hound() -> SourceMesh:
    return coarse_mesh("hound")


@pytest.fixture(scope="module")
def lent(hound, shipped):
    return borrow_rig(shipped, hound)


def test_windows_are_of_several_behaviours_and_begin_as_the_mesh_rests(hound, lent) -> None:
    assert len({window.behaviour for window in lent.windows}) == len(lent.windows) >= 4
    assert {"walk", "run"} <= {window.behaviour for window in lent.windows}
    for window in lent.windows:
        np.testing.assert_array_equal(window.sequence.vertices[0], hound.vertices)
        assert 9 <= window.sequence.frames <= 73 and window.name
        assert np.abs(window.sequence.vertices - hound.vertices).max() > 0.02 * hound.size


def test_the_skeleton_lies_inside_the_body_and_bends_everywhere(hound, lent) -> None:
    guide = lent.guide
    assert guide is not None and guide.name
    words = {word for word, _ in guide.named}
    assert {"leg", "tail", "neck", "head", "body"} <= words
    low, high = -0.5 - 0.02, 0.5 + 0.02
    assert ((guide.places > low) & (guide.places < high)).all()
    weights = guide.weights(np.arange(len(hound.vertices)))
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_a_mesh_alone_becomes_a_rig_with_borrowed_actions(hound) -> None:
    result = rig_with_bank([], [], hound)
    rig = result.rig
    assert result.error <= BOUND_SIZE and result.share <= BOUND_MOTION and len(rig.names) <= 32
    assert len(rig.actions) >= 4 and all(", " in action.name for action in rig.actions)
    assert "head" in rig.names and any(name.startswith("tail") for name in rig.names)
    for side in ("left", "right"):
        for end in ("front", "hind"):
            legs = [bone for bone, name in enumerate(rig.names) if name.startswith(f"leg {end} {side}")]
            assert len(legs) >= 2
            z = rig.places[legs, 2].mean() - hound.vertices[:, 2].mean()
            assert (z < 0) == (side == "left")  # it faces +X
            for joint in legs[1:]:  # a chain, each below the one before
                assert rig.parents[joint] in legs and rig.places[joint, 1] < rig.places[rig.parents[joint], 1]


def test_own_motions_keep_the_known_skeleton(hound, lent) -> None:
    own = lent.windows[0].sequence
    short = MeshSequence(own.vertices[:17], own.faces, own.fps, name="mine")
    alone = rig_with_bank([short], ["mine"])
    assert [action.name for action in alone.rig.actions] == ["mine"]
    assert "head" in alone.rig.names and sum(name.startswith("leg") for name in alone.rig.names) >= 8
    both = rig_with_bank([short], ["mine"], hound, "bones")
    assert [action.name for action in both.rig.actions] == ["mine"] and both.share <= BOUND_MOTION


def test_what_the_bank_does_not_know_is_said_or_done_without(hound, monkeypatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(ExportError, match="holds no body like"):
        patched.setattr(animate, "MOST_UNLIKE", 0.0)
        rig_with_bank([], [], hound)
    with pytest.raises(ExportError, match="a mesh or a motion"):
        rig_with_bank([], [])
    monkeypatch.setattr(borrowed_rig, "MOST_WINDOWS", 2)  # each takes a second
    assert len(rig_with_bank([bent_tube()], ["bend"], windows="actions").rig.actions) >= 1
