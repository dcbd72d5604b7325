"""A tiny animator with fixed random weights, and meshes of every awkward kind."""

import numpy as np
import pytest
import torch

from core.config import load_config
from core.io.mesh.source_mesh import build_source_mesh
from core.models.diffusion_models import build_motion_autoencoder, build_motion_diffusion, build_shape_autoencoder
from core.pipelines.animate import Animator
from core.sequence import SourceMesh


def tube(rings: int = 24, around: int = 12, length: float = 2.0, radius: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """A bent open tube along x: [rings * around, 3] vertices and its faces."""
    along = np.linspace(0, 1, rings)
    angle = np.arange(around) / around * 2 * np.pi
    ring = np.stack([np.zeros(around), np.cos(angle), np.sin(angle)], axis=1) * radius
    spine = np.stack([along * length, 0.3 * np.sin(along * np.pi), np.zeros(rings)], axis=1)
    vertices = (spine[:, None] + ring).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    first = (row * around + column).ravel()
    following = (row * around + (column + 1) % around).ravel()
    faces = np.concatenate(
        [np.stack([first, following, first + around], 1), np.stack([following, following + around, first + around], 1)]
    )
    return vertices, faces


def tube_mesh(scale: float = 1.0, up_axis: str = "y", copies: int = 1, **size) -> SourceMesh:
    vertices, faces = tube(**size)
    parts = [vertices + np.array([0, 0.7 * copy, 0]) for copy in range(copies)]
    corners = [faces + copy * len(vertices) for copy in range(copies)]
    return build_source_mesh(np.concatenate(parts) * scale + 3.0 * scale, np.concatenate(corners), up_axis=up_axis)


@pytest.fixture(scope="session")
def animator() -> Animator:
    config = load_config("tiny")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        modules = build_shape_autoencoder(config), build_motion_autoencoder(config), build_motion_diffusion(config)
        torch.nn.init.normal_(modules[2].denoiser.output.weight, std=0.05)  # fresh ones answer zero
    return Animator(config, *modules, "cpu")


@pytest.fixture(scope="session")
def mesh() -> SourceMesh:
    return tube_mesh()
