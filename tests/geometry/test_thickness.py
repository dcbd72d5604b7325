"""Thickness of surfaces at their faces."""

from __future__ import annotations

import numpy as np

from core.geometry.thickness import UNKNOWN, face_thickness
from tests.geometry.bodies import capsule


def test_the_thickness_of_a_capsule_is_a_chord_across_it() -> None:
    vertices, faces = capsule()
    along = np.abs(vertices[faces].mean(axis=1)[:, 0])
    thickness = face_thickness(vertices, faces)
    width = np.ptp(vertices[:, 1])
    middle = thickness[along < 0.3] / width
    assert middle.min() > 0.6 and middle.max() < 1.0
    assert np.median(face_thickness(vertices * [1, 0.5, 0.5], faces)) < 0.7 * np.median(thickness)
    assert np.allclose(face_thickness(vertices, faces[:, ::-1]), thickness, atol=0.05), "whichever way faces turn"


def test_a_sheet_has_no_opposite_side() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0]])
    assert (face_thickness(vertices, np.array([[0, 1, 2], [0, 2, 3], [1, 4, 2]])) == UNKNOWN).all()
