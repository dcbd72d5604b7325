"""A tube of three stiff pieces, bent at two places that the tests know."""

from __future__ import annotations

import numpy as np

from core.sequence import MeshSequence
from tests.pipelines.conftest import tube

JOINTS = np.array([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
SOFT = 0.25  # length over which a bend is spread


def about_z(angle: float, joint: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    turn = np.eye(4)
    turn[:2, :2] = [[c, -s], [s, c]]
    turn[:3, 3] = joint - turn[:3, :3] @ joint
    return turn


def bent_tube(frames: int = 13, phase: float = 0.0, name: str = "bend", stretch: float = 0.0) -> MeshSequence:
    """Linear blend skinning of two hinges about z; frame 0 is straight, and the whole wanders a little."""
    vertices, faces = tube(rings=61, around=16, length=3.0)
    vertices[:, 1] -= 0.3 * np.sin(vertices[:, 0] / 3 * np.pi)  # straight
    ramp = lambda x: np.clip((vertices[:, 0] - x) / SOFT + 0.5, 0, 1)  # noqa: E731
    second, third = ramp(1.0) - ramp(2.0), ramp(2.0)
    weights = np.stack([1 - second - third, second, third], 1)
    moved = []
    homogeneous = np.c_[vertices, np.ones(len(vertices))]
    for t in range(frames):
        share = t / (frames - 1)
        whole = about_z(0.2 * np.sin(3 * share + phase) - 0.2 * np.sin(phase), np.zeros(3))
        whole[:3, 3] += 0.2 * share
        upper = whole @ about_z(0.9 * np.sin(2 * share), JOINTS[0])
        lower = upper @ about_z(-1.2 * np.sin(2.5 * share + phase) + 1.2 * np.sin(phase), JOINTS[1])
        lower[0, 3] += stretch * share
        maps = np.stack([whole, upper, lower])
        moved.append(np.einsum("vb,bij,vj->vi", weights, maps, homogeneous)[:, :3])
    return MeshSequence(np.stack(moved), faces, fps=24.0, name=name)
