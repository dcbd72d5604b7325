"""Small shapes and finished results for the tests of the editor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.io.mesh.source_mesh import build_source_mesh
from core.pipelines.request import SampleSet, SamplingOptions
from core.sequence import MeshSequence, Normalization, ScanSequence, SourceMesh
from m2v_studio.document import commands, scan_commands
from m2v_studio.document.scan_document import OpenedScans
from m2v_studio.document.state import State, tracks

from .fake_animator import FakeAnimator


def ball(rings: int = 12, segments: int = 18) -> SourceMesh:
    """An ellipsoid, longest along z, of about 200 vertices."""
    vertices, faces = ball_arrays(rings, segments)
    return build_source_mesh(vertices, faces, name="ball")


def ball_arrays(rings: int = 12, segments: int = 18) -> tuple[np.ndarray, np.ndarray]:
    polar = np.linspace(0, np.pi, rings + 2)[1:-1]
    around = np.arange(segments) * (2 * np.pi / segments)
    p, a = np.meshgrid(polar, around, indexing="ij")
    middle = np.stack([np.sin(p) * np.cos(a), np.cos(p), 1.8 * np.sin(p) * np.sin(a)], -1).reshape(-1, 3)
    vertices = np.concatenate([middle, [[0, 1, 0], [0, -1, 0]]])
    top, bottom = len(middle), len(middle) + 1
    faces = []
    for column in range(segments):
        after = (column + 1) % segments
        faces.append([top, after, column])
        last = (rings - 1) * segments
        faces.append([bottom, last + column, last + after])
        for ring in range(rings - 1):
            here, below = ring * segments, (ring + 1) * segments
            faces.append([here + column, here + after, below + after])
            faces.append([here + column, below + after, below + column])
    return vertices, np.array(faces)


def write_ball(path: Path) -> Path:
    """The ball as an OBJ file."""
    vertices, faces = ball_arrays()
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def scans(frames: int = 6, points: int = 300, up_axis: str = "y", truth: bool = False) -> OpenedScans:
    """The front half of a ball of size 36 that walks along x, seen as points."""
    vertices, faces = ball_arrays(20, 30)
    generator = np.random.default_rng(0)
    ways = [np.array([4.0 * frame, 0.0, 0.0]) for frame in range(frames)]
    seen = vertices[vertices[:, 0] > 0.0]
    clouds = tuple(
        (10.0 * seen[generator.choice(len(seen), min(points + 5 * frame, len(seen)), replace=False)] + way).astype(
            np.float32
        )
        for frame, way in enumerate(ways)
    )
    sequence = ScanSequence(clouds, fps=12.0, name="walk", partial=True, up_axis=up_axis, path="walk")
    guess = Normalization(np.zeros(3), 36.0, up_axis)
    real = np.stack([10.0 * vertices + way for way in ways]).astype(np.float32)
    return OpenedScans(sequence, guess, MeshSequence(real, faces, fps=12.0) if truth else None)


def scanned_state(**wanted: Any) -> State:
    return replace(scan_commands.open_scans(State(), scans(**wanted)), engine="ready")


def opened_state() -> State:
    return replace(commands.open_source(State(), ball()), engine="ready")


def sample_set(state: State, seeds: int = 4) -> SampleSet:
    assert state.document.source is not None
    options = SamplingOptions(seeds=seeds)
    return FakeAnimator(steps=1).animate(state.document.source, tracks(state.document), options)
