"""Evaluates glTF animation: keyframe tracks (STEP, LINEAR, CUBICSPLINE) and transforms, vectorised over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.quaternions import Floats, rotation_matrices, slerp, unit_quaternions


@dataclass(frozen=True, eq=False)
class Track:
    """The keys of one animated property: `times` [K] in seconds, `values` [K, C] ([K, 3, C] for CUBICSPLINE)."""

    node: int
    path: str  # translation, rotation, scale or weights
    interpolation: str
    times: Floats
    values: Floats

    def at(self, when: Floats) -> Floats:
        """Values [T, C] at times [T]; before the first and after the last key they are constant."""
        cubic = self.interpolation == "CUBICSPLINE"
        keys = self.values[:, 1] if cubic else self.values
        if len(self.times) == 1:
            return self._unit(np.repeat(keys, len(when), 0))
        when = np.clip(when, self.times[0], self.times[-1])
        left = np.clip(np.searchsorted(self.times, when, side="right") - 1, 0, len(self.times) - 2)
        span = self.times[left + 1] - self.times[left]
        u = np.divide(when - self.times[left], span, out=np.zeros_like(when), where=span > 0)[:, None]
        if self.interpolation == "STEP":
            return self._unit(np.where(u >= 1.0, keys[left + 1], keys[left]))
        a, b = keys[left], keys[left + 1]
        if cubic:
            out_tangent = self.values[left, 2] * span[:, None]
            in_tangent = self.values[left + 1, 0] * span[:, None]
            u2, u3 = u * u, u * u * u
            start, end = (2 * u3 - 3 * u2 + 1) * a, (3 * u2 - 2 * u3) * b
            return self._unit(start + (u3 - 2 * u2 + u) * out_tangent + end + (u3 - u2) * in_tangent)
        if self.path == "rotation":
            return slerp(unit_quaternions(a), unit_quaternions(b), u)
        return a + (b - a) * u

    def _unit(self, values: Floats) -> Floats:
        return unit_quaternions(values) if self.path == "rotation" else values


@dataclass(frozen=True, eq=False)
class Clip:
    """One named animation: `start` and `end` in seconds over all its tracks."""

    name: str
    start: float
    end: float
    tracks: tuple[Track, ...]

    @property
    def duration(self) -> float:
        return self.end - self.start


def compose(translation: Floats, rotation: Floats, scale: Floats) -> Floats:
    """Matrices [..., 4, 4] of translations [..., 3], unit quaternions [..., 4] and scales [..., 3]."""
    matrix = np.zeros((*rotation.shape[:-1], 4, 4))
    matrix[..., :3, :3] = rotation_matrices(rotation) * scale[..., None, :]
    matrix[..., :3, 3] = translation
    matrix[..., 3, 3] = 1.0
    return matrix
