"""Soft light on a moving shape and on the ground below it: a bright sky and one large, warm lamp.

For each of a few dozen directions a depth grid of the surface is made; points that are not behind it are lit from
there. Body and ground share the grids, so shadows touch the feet. Scene space: Y up, the camera on the side of +Z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = 96  # cells along a side of a direction's grid
SPLATS = 28_000  # sample points of the surface
LAMP = np.array([-0.62, 0.80, 0.58])  # the lamp's position relative to the middle of the scene
LAMP_SPREAD = 0.30
LAMPS, SKIES = 22, 38
GOLDEN = 0.618034
LAMP_COLOR, SKY_COLOR, BOUNCE_COLOR = (1.00, 0.955, 0.89), (0.87, 0.93, 1.00), (1.0, 0.96, 0.92)
LAMP_SHARE, SKY_SHARE, BOUNCE_SHARE = 0.84, 0.40, 0.11
SELF = 0.035  # of the size: closer occluders are the point's own surface
GROUND_SELF = 0.006


@dataclass(frozen=True)
class Light:
    """A light direction [3], and its intensity by colour [3]."""

    direction: NDArray[np.float64]
    power: NDArray[np.float64]


def lights() -> tuple[Light, ...]:
    """Directions spread evenly (in golden spirals) over the lamp and over the upper half of the sky."""
    main = LAMP / np.linalg.norm(LAMP)
    side = np.cross(main, (0.0, 1.0, 0.0))
    side /= np.linalg.norm(side)
    other = np.cross(main, side)
    golden = np.pi * (3 - np.sqrt(5))
    found = []
    for number in range(LAMPS):
        radius, angle = LAMP_SPREAD * np.sqrt((number + 0.5) / LAMPS), golden * number
        toward = main + radius * (np.cos(angle) * side + np.sin(angle) * other)
        found.append(Light(toward / np.linalg.norm(toward), LAMP_SHARE / LAMPS * np.array(LAMP_COLOR)))
    for number in range(SKIES):
        height, angle = 0.06 + 0.94 * (number + 0.5) / SKIES, golden * number
        ring = np.sqrt(1 - height * height)
        toward = np.array([ring * np.cos(angle), height, ring * np.sin(angle)])
        found.append(Light(toward, 2 * SKY_SHARE / SKIES * np.array(SKY_COLOR)))
    return tuple(found)


class SoftLight:
    """Lights one topology; sample points lie on `faces` [F, 3] of `rest` [V, 3].

    A face of `opacity` [F] 0.3 blocks three lights of ten.
    """

    def __init__(self, rest: NDArray, faces: NDArray[np.int32], opacity: NDArray[np.float32] | None = None) -> None:
        self._lights = lights()
        self._open = sum(light.direction[1] * light.power for light in self._lights)  # [3] on an open floor
        rng = np.random.default_rng(0)
        corners = np.asarray(rest, dtype=np.float64)[faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        even = np.full(len(faces), 1 / len(faces))
        chosen = rng.choice(len(faces), SPLATS, p=area / area.sum() if area.sum() > 0 else even)
        self._corners = faces[chosen]
        self._opacity = None if opacity is None else opacity[chosen]
        self._weights = rng.dirichlet((1.0, 1.0, 1.0), SPLATS).astype(np.float32)[..., None]

    def on(
        self, vertices: NDArray[np.float32], normals: NDArray[np.float32], ground: NDArray[np.float32], size: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Light [V, 3] on vertices [V, 3] with unit normals, and [G, 3] on ground points; 1 is an open floor.

        `size` is the shape's.
        """
        surface = (vertices[self._corners] * self._weights).sum(axis=1)
        middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        radius = float(np.linalg.norm(vertices - middle, axis=1).max()) * 1.02 + 1e-9
        body, floor = np.zeros((len(vertices), 3)), np.zeros((len(ground), 3))
        for number, light in enumerate(self._lights):
            side = np.cross(light.direction, (0.31, 0.27, 0.91))
            side /= np.linalg.norm(side)
            axes = np.stack([side, np.cross(light.direction, side), light.direction], axis=1).astype(np.float32)
            held_up = slice(None) if self._opacity is None else self._opacity > (number + 0.5) * GOLDEN % 1.0
            nearest = _nearest((surface[held_up] - middle) @ axes, radius)
            facing = np.clip(normals @ axes[:, 2], 0.0, None)
            body += (facing * _lit(nearest, (vertices - middle) @ axes, radius, SELF * size))[:, None] * light.power
            lit = _lit(nearest, (ground - middle) @ axes, radius, GROUND_SELF * size)
            floor += (light.direction[1] * lit)[:, None] * light.power
        # Light reflected by the floor.
        bounce = (0.5 - 0.5 * normals[:, 1:2]).clip(0.0, 1.0) * np.array(BOUNCE_COLOR) * BOUNCE_SHARE
        return ((body + bounce) / np.mean(self._open)).astype(np.float32), (floor / self._open).astype(np.float32)


def _nearest(seen: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Depth towards the light [GRID, GRID] of the nearest of the points [N, 3] in its axes; -inf where none is."""
    cell = ((seen[:, :2] + radius) * (GRID / (2 * radius))).astype(np.int64).clip(0, GRID - 1)
    grid = np.full(GRID * GRID, -np.inf, dtype=np.float32)
    np.maximum.at(grid, cell[:, 0] * GRID + cell[:, 1], seen[:, 2])
    return grid.reshape(GRID, GRID)


def _lit(nearest: NDArray[np.float32], seen: NDArray[np.float32], radius: float, bias: float) -> NDArray[np.float32]:
    """The fraction of light that reaches points [P, 3] in its axes, interpolated over the four cells around each."""
    place = (seen[:, :2] + radius) * (GRID / (2 * radius)) - 0.5
    base = np.floor(place).astype(np.int64)
    share = (place - base).astype(np.float32)
    total = np.zeros(len(seen), dtype=np.float32)
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = base[:, 0] + dx, base[:, 1] + dy
            beside = (x < 0) | (x >= GRID) | (y < 0) | (y >= GRID)
            depth = nearest[x.clip(0, GRID - 1), y.clip(0, GRID - 1)]
            lit = beside | (depth <= seen[:, 2] + bias)
            total += np.abs(1 - dx - share[:, 0]) * np.abs(1 - dy - share[:, 1]) * lit
    return total
