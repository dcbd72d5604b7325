"""A surface is cut open at its hard edges and nowhere else."""

from __future__ import annotations

import numpy as np
import trimesh

from core.geometry.creases import split_at_creases


def test_a_box_falls_into_its_sides() -> None:
    box = trimesh.creation.box()
    origin, faces = split_at_creases(box.vertices, np.asarray(box.faces, np.int32))
    assert len(origin) == 24  # four corners for each of six sides
    assert (origin[faces] == box.faces).all()


def test_a_fine_ball_stays_whole() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3)
    origin, faces = split_at_creases(ball.vertices, np.asarray(ball.faces, np.int32))
    assert len(origin) == len(ball.vertices)
    assert (origin[faces] == ball.faces).all()
