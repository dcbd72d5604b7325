"""Which nodes move as one: small parts of a mesh of several, and never what is one piece anyway."""

import numpy as np

from core.geometry.loose_pieces import STIFFNESS, loose_pieces, stiffened, turning_together


def test_small_parts_are_pieces_and_the_trunk_is_not():
    rest = np.zeros((6, 3))
    rest[[1, 3, 5], 0] = [1.0, 0.1, 0.2]  # a trunk as long as the shape, and two small parts
    components = np.array([0, 0, 1, 1, 2, 2])
    pieces = loose_pieces(rest, components, components)
    assert pieces.tolist() == [-1, -1, 1, 1, 2, 2]
    weight = stiffened(np.ones((6, 6)), pieces)
    assert weight[2, 3] == STIFFNESS and weight[0, 1] == weight[3, 4] == 1
    together = turning_together(pieces)
    assert together is not None
    assert together.sum(axis=1).tolist() == [1, 1, 2, 2, 2, 2]


def test_a_compact_part_may_be_larger_than_a_limb():
    """A head is as wide as it is long; a trouser leg of that length bends at the knee."""
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    for sides, whole in (([0.4, 0.45, 0.4], True), ([0.2, 0.6, 0.2], False)):
        rest = np.concatenate([cube, cube * sides, cube * 0.1])
        components = np.repeat([0, 1, 2], 8)
        pieces = loose_pieces(rest, components, components)
        assert pieces[[0, 8, 16]].tolist() == [-1, 1 if whole else -1, 2]


def test_a_mesh_of_one_or_two_parts_bends():
    rest = np.random.default_rng(0).random((4, 3))
    for components in (np.zeros(4, int), np.array([0, 0, 1, 1])):
        pieces = loose_pieces(rest, components, components)
        assert (pieces == -1).all() and turning_together(pieces) is None
