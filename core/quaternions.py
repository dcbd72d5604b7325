"""Vectorised unit quaternions (x, y, z, w): conversion to and from matrices, and interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def unit_quaternions(q: Floats) -> Floats:
    """Normalised quaternions [..., 4] (x, y, z, w); zero becomes the identity."""
    length = np.linalg.norm(q, axis=-1, keepdims=True)
    return np.where(length > 1e-12, q / np.maximum(length, 1e-12), np.array([0.0, 0.0, 0.0, 1.0]))


def slerp(a: Floats, b: Floats, u: Floats) -> Floats:
    """Shortest-arc interpolation between unit quaternions [..., 4] at u [..., 1]."""
    dot = (a * b).sum(-1, keepdims=True)
    b = np.where(dot < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(dot), 0.0, 1.0))
    sine = np.sin(angle)
    close = sine < 1e-6  # nearly the same rotation: linear, to avoid 0 / 0
    safe = np.where(close, 1.0, sine)
    wa = np.where(close, 1.0 - u, np.sin((1.0 - u) * angle) / safe)
    wb = np.where(close, u, np.sin(u * angle) / safe)
    return unit_quaternions(wa * a + wb * b)


def rotation_matrices(rotation: Floats) -> Floats:
    """Matrices [..., 3, 3] of unit quaternions [..., 4]."""
    x, y, z, w = np.moveaxis(rotation, -1, 0)
    matrix = np.empty((*rotation.shape[:-1], 3, 3))
    matrix[..., 0, 0] = 1 - 2 * (y * y + z * z)
    matrix[..., 0, 1] = 2 * (x * y - z * w)
    matrix[..., 0, 2] = 2 * (x * z + y * w)
    matrix[..., 1, 0] = 2 * (x * y + z * w)
    matrix[..., 1, 1] = 1 - 2 * (x * x + z * z)
    matrix[..., 1, 2] = 2 * (y * z - x * w)
    matrix[..., 2, 0] = 2 * (x * z - y * w)
    matrix[..., 2, 1] = 2 * (y * z + x * w)
    matrix[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return matrix


def quaternions_of(matrices: Floats) -> Floats:
    """Unit quaternions [..., 4] of rotation matrices [..., 3, 3], from the largest of the four ways (Shepperd 1978)."""
    m = matrices
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    columns = []
    for axis in range(3):
        j, k = (axis + 1) % 3, (axis + 2) % 3
        column = np.empty((*m.shape[:-2], 4))
        column[..., axis] = 1 + 2 * m[..., axis, axis] - trace
        column[..., j] = m[..., j, axis] + m[..., axis, j]
        column[..., k] = m[..., k, axis] + m[..., axis, k]
        column[..., 3] = m[..., k, j] - m[..., j, k]
        columns.append(column)
    spin = [m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1], 1 + trace]
    ways = np.stack([*columns, np.stack(spin, -1)], -2)  # [..., 4 ways, 4], the quaternion times 4 times a component
    best = np.argmax(np.stack([ways[..., way, way] for way in range(4)], -1), -1)
    return unit_quaternions(np.take_along_axis(ways, best[..., None, None], -2)[..., 0, :])


def continuous(quaternions: Floats) -> Floats:
    """Quaternions [T, ..., 4] with signs chosen for continuity, as importers expect."""
    signs = np.sign((quaternions[1:] * quaternions[:-1]).sum(-1))
    signs = np.cumprod(np.where(signs == 0, 1.0, signs), axis=0)
    return np.concatenate([quaternions[:1], quaternions[1:] * signs[..., None]])


def turned_by(vectors: Floats) -> Floats:
    """Rotation matrices [..., 3, 3] of rotation vectors [..., 3] (axis times angle)."""
    angle = np.linalg.norm(vectors, axis=-1, keepdims=True)
    half = np.where(angle > 1e-9, np.sin(angle / 2) / np.maximum(angle, 1e-9), 0.5)
    return rotation_matrices(unit_quaternions(np.concatenate([vectors * half, np.cos(angle / 2)], -1)))


def kabsch_rotations(covariance: NDArray[Any]) -> NDArray[Any]:
    """The proper rotations [..., 3, 3] that maximise tr(R^T covariance), by singular values (Kabsch 1976)."""
    u, _, v = np.linalg.svd(covariance)
    u[..., 2] *= np.where(np.linalg.det(u @ v) < 0, -1.0, 1.0)[..., None]
    return u @ v


def nearest_rotations(matrix: Floats) -> Floats:
    """The proper rotations [P, 3, 3] nearest to matrices: the quaternion of a symmetric matrix's top (Horn 1987)."""
    size = np.sqrt(np.square(matrix).sum(axis=(1, 2), keepdims=True)).clip(1e-12)
    m = matrix / size + 1e-5 * np.eye(3)  # selects the identity where the rotation is undetermined
    table = np.empty((len(m), 4, 4))
    table[:, 0, 0] = m[:, 0, 0] + m[:, 1, 1] + m[:, 2, 2]
    table[:, 1:, 1:] = m + m.transpose(0, 2, 1)
    for axis in range(3):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        table[:, 0, axis + 1] = table[:, axis + 1, 0] = m[:, b, a] - m[:, a, b]
        table[:, axis + 1, axis + 1] -= table[:, 0, 0]
    w, x, y, z = np.linalg.eigh(table)[1][:, :, -1].T
    return np.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        axis=-1,
    ).reshape(-1, 3, 3)  # fmt: skip
