"""Small animated tubes in the two layouts that real files have, for every export test."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from core.sequence import Material, MeshPart, MeshSequence, SourceMesh, Texture

RINGS, SIDES, FRAMES = 7, 8, 5


@dataclass(frozen=True)
class Case:
    """A source mesh, its motion, and what an export has to hold: [T, W, 3] positions and a UV per corner."""

    source: SourceMesh
    sequence: MeshSequence
    positions: NDArray[np.float32]
    corner_uv: NDArray[np.float32]


def png(red: int, green: int, blue: int) -> bytes:
    """A valid 2 x 2 PNG of one colour, written from its specification."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes((red, green, blue)) * 2) * 2
    header = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def grid() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """An open tube cut along one side: positions [W, 3], uv [W, 2] and faces [F, 3]; the seam column is double."""
    v, u = np.meshgrid(np.linspace(0, 1, RINGS), np.linspace(0, 1, SIDES + 1), indexing="ij")
    angle = 2 * np.pi * (np.arange(SIDES + 1) % SIDES) / SIDES
    angle = np.broadcast_to(angle, v.shape)
    points = np.stack([0.3 * np.cos(angle), 2 * v, 0.2 * np.sin(angle)], -1).reshape(-1, 3)
    corner = (np.arange(RINGS - 1)[:, None] * (SIDES + 1) + np.arange(SIDES)).ravel()
    above = corner + SIDES + 1
    faces = np.stack([corner, above, corner + 1, corner + 1, above, above + 1], -1).reshape(-1, 3)
    return points, np.stack([u, v], -1).reshape(-1, 2), faces


def motion(rest: NDArray) -> NDArray[np.float32]:
    """A bend that grows over the frames, larger towards the top."""
    amount = np.linspace(0, 0.8, FRAMES)[:, None] * rest[:, 1] ** 2 / 4
    moved = np.repeat(rest[None], FRAMES, axis=0)
    moved[..., 0] += amount
    moved[..., 2] += 0.5 * amount * rest[:, 0]
    return moved.astype(np.float32)


def separate_parts() -> Case:
    """Two parts with vertices of their own, split at the texture seam and between the parts, as a GLB has them."""
    points, uv, faces = grid()
    half = len(faces) // 2
    used = [np.unique(faces[:half]), np.unique(faces[half:])]
    places = np.concatenate(used)
    lower = np.searchsorted(used[0], faces[:half]).astype(np.int32)
    upper = (len(used[0]) + np.searchsorted(used[1], faces[half:])).astype(np.int32)
    parts = (
        MeshPart("lower", lower, Material("cloth", base_color_texture=Texture(png(200, 40, 40)))),
        MeshPart("upper", upper, Material("steel blue", base_color=(0.2, 0.3, 0.9, 1.0), metallic=0.5)),
    )
    return _case("tube", points[places], uv[places].astype(np.float32), parts)


def shared_vertices() -> Case:
    """Three parts that share their vertices, UVs by corner, and one vertex without a face, as an OBJ has them."""
    points, uv, faces = grid()
    seam = np.arange(len(points))
    seam[SIDES :: SIDES + 1] -= SIDES
    kept, renumbered = np.unique(seam, return_inverse=True)
    loose = 11  # put in the middle, so that dropping it shifts the others
    numbers = np.where(renumbered >= loose, renumbered + 1, renumbered)
    vertices = np.insert(points[kept], loose, (3.0, 3.0, 3.0), axis=0)
    file_uv = np.insert(uv[kept], loose, (0.0, 0.0), axis=0).astype(np.float32)
    which = np.arange(len(faces)) % 3
    red = Material("red", base_color=(0.9, 0.1, 0.1, 1.0), roughness=0.4)
    looks = (Material("weave", base_color_texture=Texture(png(30, 160, 60))), red, red)
    parts = tuple(
        MeshPart(
            f"part {i}", numbers[faces[which == i]].astype(np.int32), looks[i], uv[faces[which == i]].astype(np.float32)
        )
        for i in range(3)
    )
    return _case("patchwork", vertices, file_uv, parts)


def _case(name: str, vertices: NDArray, uv: NDArray[np.float32], parts: tuple[MeshPart, ...]) -> Case:
    # np.unique sorts, so the welded order differs from the file's.
    rest, file_to_vertex = np.unique(vertices.round(6), axis=0, return_inverse=True)
    file_to_vertex = file_to_vertex.reshape(-1).astype(np.int32)
    faces = file_to_vertex[np.concatenate([part.faces for part in parts])]
    source = SourceMesh(name, rest.astype(np.float32), faces, file_to_vertex, parts, uv)
    sequence = MeshSequence(motion(rest), faces, fps=30.0, name=name)
    corner_uv = np.concatenate([uv[part.faces] if part.corner_uv is None else part.corner_uv for part in parts])
    return Case(source, sequence, sequence.vertices[:, file_to_vertex], corner_uv)


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    return {"separate": separate_parts(), "shared": shared_vertices()}


@pytest.fixture(params=["separate", "shared"])
def case(request: pytest.FixtureRequest, cases: dict[str, Case]) -> Case:
    return cases[request.param]


@pytest.fixture
def separate(cases: dict[str, Case]) -> Case:
    return cases["separate"]


@pytest.fixture
def shared(cases: dict[str, Case]) -> Case:
    return cases["shared"]
