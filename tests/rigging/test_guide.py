"""A rig modelled on a known skeleton: its hierarchy, joints and names, divided only where the motion asks for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from core.pipelines.make_rig import RigOptions, make_rig
from core.rigging.coarse_surface import adjacency
from core.rigging.guide import LEAST, Guide, guided_regions
from core.sequence import Normalization
from tests.rigging.bent_tube import JOINTS, bent_tube

NAMES = (("neck", ""), ("body", ""), ("tail", ""), ("finger", "left"))


def guide(parents=(1, -1, 1, 2), bounds=(1.0, 2.0, 2.98)) -> Guide:
    """Four parts along the tube, the second the root; the last is a tip with hardly a sample."""
    rest = bent_tube(2).vertices[0]
    part = np.searchsorted(bounds, rest[:, 0])
    places = np.array([JOINTS[0], [1.5, 0, 0], JOINTS[1], [2.98, 0, 0]])
    return Guide(
        "Tube",
        np.array(parents),
        Normalization.of(rest).apply(places),
        sparse.eye(len(rest), format="csr"),
        np.eye(4)[part],
        NAMES,
        0.0,
    )


def test_the_hierarchy_is_the_guides_and_joints_lie_where_it_says() -> None:
    result = make_rig([bent_tube()], ["bend"], guide=guide())
    rig = result.rig
    assert rig.names == ("body", "neck", "tail")
    np.testing.assert_array_equal(rig.parents, [-1, 0, 0])
    assert np.abs(rig.places[1:] - JOINTS).max() < 0.08
    assert result.share < 0.06 and result.error < 0.002


def test_what_is_still_keeps_its_bone() -> None:
    # Only the first hinge bends; without a guide two bones would do.
    moved = bent_tube()
    upper = moved.vertices[0][:, 0] < 1.5
    still = replace(moved, vertices=np.where(upper[None, :, None], moved.vertices, moved.vertices[0]))
    assert "tail" in make_rig([still], ["bend"], guide=guide()).rig.names


def test_other_motions_show_where_to_bend_and_become_no_actions() -> None:
    slight = bent_tube()
    slight = replace(slight, vertices=slight.vertices[:5])
    result = make_rig([slight], ["slight"], guide=guide(), others=[bent_tube(phase=1.0)])
    assert [action.name for action in result.rig.actions] == ["slight"]
    assert result.rig.actions[0].frames == slight.frames
    assert np.abs(result.rig.places[1:] - JOINTS).max() < 0.08


def test_pieces_of_a_part_keep_its_name_and_hang_together() -> None:
    # The guide knows two parts where the motion bends three.
    coarse = guide(parents=(-1, 0, 0, 0), bounds=(1.0, 2.99, 2.995))
    rig = make_rig([bent_tube()], ["bend"], RigOptions(3, exactly=True), guide=coarse).rig
    assert rig.names[0] == "neck" and set(rig.names[1:]) == {"body 1", "body 2"}
    pieces = [bone for bone, name in enumerate(rig.names) if name.startswith("body")]
    assert rig.parents[pieces[1]] == pieces[0]


@pytest.mark.parametrize("most", [4, 2])
def test_small_joints_go_with_what_they_hang_on(most) -> None:
    sequence = bent_tube(2)
    neighbours = adjacency(sequence.faces, sequence.vertices.shape[1])
    regions = guided_regions(guide(), np.arange(sequence.vertices.shape[1]), neighbours, most)
    assert 2 <= len(regions.parents) <= most
    assert np.bincount(regions.label).min() >= LEAST
    assert (regions.parents < 0).sum() == 1
    assert NAMES[1] in regions.named


def test_two_limbs_taken_for_one_come_apart() -> None:
    """A row of samples: a limb, the body, and the same limb again."""
    label = np.repeat([1, 0, 1], [30, 40, 25])
    path = sparse.diags([1.0, 1.0, 1.0], [-1, 0, 1], shape=(95, 95)).tocsr()
    shares = np.eye(2)
    guide = Guide(
        "pair",
        np.array([-1, 0]),
        np.zeros((2, 3)),
        sparse.csr_matrix(shares[label]),
        shares,
        (("body", ""), ("leg", "left")),
        0.0,
    )
    found = guided_regions(guide, np.arange(95), path, 8)
    assert found.parents.tolist() == [-1, 0, 0] and found.named[1:] == (("leg", "left"),) * 2
    assert len({found.label[0], found.label[50], found.label[94]}) == 3
    assert np.isfinite(found.places[:2]).all() and np.isnan(found.places[2]).all()
    assert len(guided_regions(guide, np.arange(95), path, 2).parents) == 2
