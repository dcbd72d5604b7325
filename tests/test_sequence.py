"""The values that travel through the library own their arrays, and nobody can change them."""

import numpy as np
import pytest

from core.errors import MeshError
from core.sequence import MeshSequence

FACES = np.array([[0, 1, 2]], np.int32)


def test_a_motion_that_can_still_change_is_copied():
    vertices = np.zeros((2, 3, 3), np.float32)
    view = vertices[:]
    view.setflags(write=False)
    for given in (vertices, view, vertices.tolist(), vertices.astype(np.float64)):
        kept = MeshSequence(given, FACES).vertices
        assert not np.shares_memory(kept, vertices)
        assert not kept.flags.writeable and kept.dtype == np.float32


def test_a_motion_that_cannot_change_is_taken_as_it_is():
    vertices = np.zeros((2, 3, 3), np.float32)
    vertices.setflags(write=False)
    assert MeshSequence(vertices, FACES).vertices is vertices
    vertices = np.full((2, 3, 3), np.nan, np.float32)
    with pytest.raises(MeshError, match="not finite"):
        MeshSequence(vertices, FACES)
