"""One solid from a grid: nothing floats, what was seen is joined, hollows are filled."""

import numpy as np
import pytest

from core.geometry.binding import mesh_components
from core.geometry.isosurface import extract_isosurface
from core.geometry.solid_parts import one_solid

CELLS = 32


def balls(*spec):
    """Values of the union of balls (middle, radius) at the corners of the box of side 1.1."""
    axis = (np.arange(CELLS + 1) / CELLS - 0.5) * 1.1
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    return np.max([10 * (radius - np.linalg.norm(places - middle, axis=-1)) for middle, radius in spec], axis=0)


def parts(grid):
    def inside(places):
        index = np.rint((places / 1.1 + 0.5) * CELLS).astype(int)
        return grid[tuple(index.T)]

    vertices, faces = extract_isosurface(inside, CELLS, level=0.0, coarse_resolution=CELLS)
    return vertices, len(np.unique(mesh_components(faces, len(vertices))))


AROUND = np.concatenate([np.eye(3), -np.eye(3)])
LARGE, SMALL = ([0.15, 0.0, 0.0], 0.25), ([-0.25, 0.0, 0.0], 0.08)


def test_what_is_small_and_was_not_seen_goes():
    vertices, count = parts(one_solid(balls(LARGE, SMALL)))
    assert count == 1
    assert vertices[:, 0].min() > -0.15


def test_what_was_seen_is_joined_to_the_rest():
    on_the_small_one = np.array(SMALL[0]) + 0.08 * AROUND
    vertices, count = parts(one_solid(balls(LARGE, SMALL), on_the_small_one))
    assert count == 1
    assert vertices[:, 0].min() == pytest.approx(-0.33, abs=0.02)


def test_what_was_seen_far_away_stands_apart():
    small, far = ([0.35, 0.0, 0.0], 0.15), ([-0.4, 0.0, 0.0], 0.1)
    on_the_far_one = np.array(far[0]) + 0.1 * AROUND
    assert parts(one_solid(balls(small, far), on_the_far_one))[1] == 2


def test_hollows_are_filled():
    shell = np.minimum(balls(([0, 0, 0], 0.4)), -balls(([0, 0, 0], 0.2)))
    assert parts(shell)[1] == 2
    assert parts(one_solid(shell))[1] == 1


def test_one_part_stays_as_it_is():
    one = balls(LARGE)
    assert np.array_equal(one_solid(one), one)
