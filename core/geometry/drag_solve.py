"""Poses a mesh while a handle is dragged: an as-rigid-as-possible solve on a few nodes, in milliseconds.

The deformation of `rigid.py` (Sorkine and Alexa 2007) for one pose, in NumPy alone, fast enough for every mouse event.
`DragSystem` holds what depends on the mesh only; a `Grip`, made when handles are grabbed, what depends on the pose at
that moment. That pose is the rest pose: without a drag nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from core.geometry.surroundings import DEPENDENT, TOUCHED, carrying_nodes, surrounding_nodes
from core.quaternions import nearest_rotations

NODES = 160
NEIGHBOURS = 8  # nodes that each node is tied to, at least
HOLD = 0.002  # of the mean degree: pull of every node to its place, so that a drag does not move the whole body
PLANTED = 2.0  # of the mean degree: the same for feet on the ground
GROUND = 0.035  # of the size: vertices this close to the lowest stand on the ground
STEPS = 6  # local and global steps per event; the next event continues from there


@dataclass(frozen=True, eq=False)
class DragSystem:
    """What solving on one mesh needs: P of its vertices as nodes, their graph, and all vertices' weights on them."""

    nodes: NDArray[np.int64]  # [P] vertices
    weight: NDArray[np.float64]  # [P, P] symmetric edge weights, zero on the diagonal
    binding: sparse.csr_matrix  # [V, P] rows sum to 1
    together: NDArray[np.float64] | None = None  # [P, P] 1 between nodes of one loose piece: they share a rotation

    @classmethod
    def of(cls, vertices: ArrayLike, faces: ArrayLike) -> DragSystem:
        """From vertices [V, 3] and faces [F, 3]; about a second for ten thousand vertices."""
        from core.geometry.binding import bind_vertices, mesh_components
        from core.geometry.loose_pieces import loose_pieces, stiffened, turning_together
        from core.geometry.sampling import sample_surface
        from core.geometry.surface_distance import MOST_VERTICES, SurfaceGraph

        points = np.asarray(vertices, dtype=np.float64)
        corners = np.asarray(faces, dtype=np.int64)
        points = (points - points.min(axis=0)) / np.ptp(points, axis=0).max()
        nodes = spread_vertices(points, NODES)
        components = mesh_components(corners, len(points))
        if len(points) <= MOST_VERTICES:
            graph = SurfaceGraph(points, corners, sample_surface(points, corners, 1, np.random.default_rng(0)))
            apart = graph.solid_distances(nodes).astype(np.float64)
            along = graph.distances(nodes)[:, : len(points)]
        else:
            apart, along = cdist(points[nodes], points[nodes]), None
        binding = bind_vertices(points, points[nodes], along, components, components[nodes])
        loose = loose_pieces(points, components, components[nodes])
        weight = stiffened(edge_weights(apart), loose).astype(np.float64)
        return cls(nodes, weight, binding.astype(np.float32), turning_together(loose))

    def grip(
        self,
        vertices: NDArray[np.floating],
        handles: ArrayLike,
        height: ArrayLike | None = None,
        turned: tuple[int, ...] = (),
        regions: Mapping[int, NDArray[np.int64]] | None = None,
    ) -> Grip:
        """Grab handles [K] in the pose `vertices` [V, 3]; feet, whose `height` [V] is lowest, stay planted.

        Handles in the rows `turned` carry their surroundings, or one of the `regions`, along as a rigid piece.
        """
        base = np.asarray(vertices, dtype=np.float32)
        held = np.asarray(handles, dtype=np.int64)
        shares = self.binding[held].toarray().astype(np.float64)  # [K, P]
        size = float(np.ptp(base, axis=0).max())
        carrying = {row: carrying_nodes(self.binding, region) for row, region in (regions or {}).items()}
        nodes = surrounding_nodes(base[self.nodes], self.weight, shares, base[held], turned, size, carrying)
        pieces = tuple(zip(turned, nodes, strict=True))
        shares = np.concatenate([shares, np.eye(len(self.nodes))[np.concatenate([np.zeros(0, np.int64), *nodes])]])
        degree = self.weight.sum(axis=1)
        hold = np.full(len(self.nodes), HOLD * degree.mean())
        if height is not None:
            ground = np.asarray(height)
            standing = (ground < ground.min() + GROUND * size)[self.nodes] & (shares < TOUCHED).all(axis=0)
            hold[standing] = PLANTED * degree.mean()
        inverse = cho_solve(cho_factor(np.diag(degree + hold) - self.weight), np.eye(len(degree)))
        columns = inverse @ shares.T  # [P, K]
        among = shares @ columns
        among += np.trace(among) / max(len(shares), 1) * _dependence(shares)
        lift = np.linalg.solve(among, columns.T).T if len(held) else columns
        return Grip(self, base, held, pieces, shares, hold, inverse, lift)


class Grip:
    """Handles grabbed in one pose. `pose` may be called repeatedly; each call continues from the last."""

    def __init__(
        self,
        system: DragSystem,
        base: NDArray[np.float32],
        handles: NDArray[np.int64],
        pieces: tuple[tuple[int, NDArray[np.int64]], ...],
        shares: NDArray[np.float64],
        hold: NDArray[np.float64],
        inverse: NDArray[np.float64],
        lift: NDArray[np.float64],
    ) -> None:
        self._system, self._base, self.handles, self._pieces = system, base, handles, pieces
        self._shares, self._hold, self._inverse, self._lift = shares, hold, inverse, lift
        self._rest = base[system.nodes].astype(np.float64)
        self._degree = system.weight.sum(axis=1)[:, None]
        self._near = system.weight @ self._rest
        self._places = base[handles].astype(np.float64)
        places = np.concatenate([self._places, *(self._rest[nodes] for _, nodes in pieces)])
        self._offset = shares[:, :, None] * (places[:, None] - self._rest[None])  # [K, P, 3], then of the pieces' nodes
        self._moved = self._rest

    @property
    def turned(self) -> tuple[int, ...]:
        """Rows of the handles that carry their surroundings along."""
        return tuple(row for row, _ in self._pieces)

    def pose(self, targets: ArrayLike, turns: ArrayLike = (), steps: int = STEPS) -> NDArray[np.float32]:
        """Vertices [V, 3] with the handles at `targets` [K, 3] and the rigid pieces turned by `turns` [G, 3, 3] since
        the grab.
        """
        goals = np.asarray(targets, dtype=np.float64).reshape(len(self.handles), 3)
        turn = np.asarray(turns, dtype=np.float64).reshape(len(self._pieces), 3, 3)
        met = np.concatenate(
            [goals]
            + [
                goals[row] + (self._rest[nodes] - self._places[row]) @ matrix.T
                for (row, nodes), matrix in zip(self._pieces, turn, strict=True)
            ]
        )
        moved = self._meet(self._moved, None, met)
        for _ in range(steps):
            rotation = self._rotations(moved, turn)
            moved = self._meet(self._positions(rotation), rotation, met)
        self._moved = moved
        vertices = self._carry(moved, self._rotations(moved, turn))
        vertices[self.handles] = goals
        return vertices

    def _rotations(self, moved: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
        """[P, 3, 3] rotation of each node's neighbourhood; rigid pieces turn as asked."""
        covariances = self._covariances(moved)
        if self._system.together is not None:
            covariances = (self._system.together @ covariances.reshape(-1, 9)).reshape(-1, 3, 3)
        rotation = nearest_rotations(covariances)
        for (_, nodes), matrix in zip(self._pieces, turn, strict=True):
            rotation[nodes] = matrix
        return rotation

    def _covariances(self, moved: NDArray[np.float64]) -> NDArray[np.float64]:
        """[P, 3, 3] weighted covariances of each node's edges, moved against rest."""
        pairs = (moved[:, :, None] * self._rest[:, None, :]).reshape(-1, 9)
        spread = (self._degree * pairs + self._system.weight @ pairs).reshape(-1, 3, 3)
        theirs = self._system.weight @ moved
        return spread - moved[:, :, None] * self._near[:, None, :] - theirs[:, :, None] * self._rest[:, None, :]

    def _positions(self, rotation: NDArray[np.float64]) -> NDArray[np.float64]:
        """[P, 3] node positions whose edges best follow the rotations, each pulled softly to its old place."""
        weight = self._system.weight
        turn = lambda matrix, points: np.einsum("pij,pj->pi", matrix, points)  # noqa: E731
        own = turn(rotation, self._rest)
        mixed = (weight @ rotation.reshape(-1, 9)).reshape(-1, 3, 3)
        right = self._degree * own - turn(rotation, self._near) + turn(mixed, self._rest) - weight @ own
        return self._inverse @ (0.5 * right + self._hold[:, None] * self._rest)

    def _meet(
        self, moved: NDArray[np.float64], rotation: NDArray[np.float64] | None, goals: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The constrained minimiser from the free one: exact, as the handle constraints are linear."""
        turned = self._offset.sum(axis=1) if rotation is None else np.einsum("pij,kpj->ki", rotation, self._offset)
        return moved + self._lift @ (goals - turned - self._shares @ moved)

    def _carry(self, moved: NDArray[np.float64], rotation: NDArray[np.float64]) -> NDArray[np.float32]:
        constant = moved - np.einsum("pij,pj->pi", rotation, self._rest)
        columns = np.concatenate([rotation.reshape(-1, 9), constant], axis=1).astype(np.float32)
        blended = self._system.binding @ columns  # [V, 12]
        result = blended[:, 9:]
        for axis in range(3):
            result = result + blended[:, axis:9:3] * self._base[:, axis, None]
        return result


def _dependence(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K, K]: `core.geometry.rigid.dependence` without torch, which stays out of the window's process."""
    unit = shares / np.linalg.norm(shares, axis=1, keepdims=True).clip(1e-9)
    squared, directions = np.linalg.eigh(unit @ unit.T)
    damping = (DEPENDENT**2 / squared.clip(1e-9) - 1).clip(0) + 1e-7
    result: NDArray[np.float64] = (directions * damping) @ directions.T
    return result


def spread_vertices(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Farthest point sampling: up to `count` vertices [P]."""
    chosen = [int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmax())]
    apart = np.linalg.norm(points - points[chosen[0]], axis=1)
    while len(chosen) < count and apart.max() > 1e-6:
        chosen.append(int(apart.argmax()))
        np.minimum(apart, np.linalg.norm(points - points[chosen[-1]], axis=1), out=apart)
    return np.array(chosen, dtype=np.int64)


def edge_weights(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric weights [P, P] between nodes that are near each other."""
    count = len(distance)
    near = np.sort(distance, axis=1)[:, : NEIGHBOURS + 1]
    reach = near[:, -1:]
    linked = (distance <= reach) | (distance <= reach.T)
    spacing = max(float(near[:, 1:].mean()), 1e-6) if count > 1 else 1.0
    weight = linked / (np.square(distance / spacing) + 0.05) + 1e-6
    weight = 0.5 * (weight + weight.T)
    np.fill_diagonal(weight, 0.0)
    return weight
