"""A mesh as a body for the bank's motions: nodes on its surface, vertex weights on them, and its parts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from core.bank.matching import Body
from core.bank.search import AWAY, Wish
from core.geometry.binding import NEAREST, bind_vertices, carry_vertices, mesh_components
from core.geometry.farthest_points import farthest_point_indices
from core.geometry.loose_pieces import loose_pieces, stiffened, turning_together
from core.geometry.rigid import RigidSurface
from core.geometry.sampling import SurfaceSamples
from core.geometry.surface_distance import SurfaceGraph
from core.models.warm_start import graph_weights
from core.sequence import Normalization

NODES = 128
GROUND = 0.035  # of the size: nodes within this height of the lowest vertex at rest may stand on the ground
MEASURED_FACES = 10_000  # faces whose edges measure stretch; more give the same mean
PLANTED = 300.0  # weight of planted feet relative to other nodes

# Points [N, 3] and outward normals [N, 3] of a surface -> descriptors [N, D] and the angle about Y it faces.
Describe = Callable[[NDArray[np.floating], NDArray[np.floating]], tuple[NDArray[np.floating], float]]


def unnamed_parts(points: NDArray[np.floating], normals: NDArray[np.floating]) -> tuple[NDArray[np.floating], float]:
    """An empty description, for models without a part descriptor, which borrow no motion."""
    return np.zeros((len(points), 0), np.float32), 0.0


class HandleSeats(NamedTuple):
    """Handles in normalised space and the nodes that carry them."""

    places: NDArray[np.float32]  # [K, 3]
    shares: NDArray[np.float32]  # [K, P]

    def of(self, rows: NDArray[np.int64]) -> HandleSeats:
        """Only these handles."""
        return HandleSeats(self.places[rows], self.shares[rows])


class KeyedHandles(NamedTuple):
    """Handles seated on a body, and where they have to be in the frames that have a key. Normalised space."""

    seats: HandleSeats
    targets: NDArray[np.float64]  # [K, T, 3]
    keyframe_mask: NDArray[np.bool_]  # [K, T]
    loop: bool = False  # the motion ends as it begins

    def of(self, rows: NDArray[np.int64]) -> KeyedHandles:
        """Only these handles."""
        return KeyedHandles(self.seats.of(rows), self.targets[rows], self.keyframe_mask[rows], self.loop)

    @property
    def distances(self) -> NDArray[np.float64]:
        """How far from rest each handle has to be [K, T]; 0 in frames without a key."""
        away = np.linalg.norm(self.targets - self.seats.places[:, None], axis=-1)
        return np.where(self.keyframe_mask, away, 0.0)

    @property
    def moving(self) -> int:
        """The number of handles that have to move."""
        return int((self.distances > AWAY).any(axis=1).sum())


class MovingBody:
    """A mesh's nodes, their graph, and what follows from them: all that depends on the mesh only. Normalised space."""

    def __init__(
        self,
        rest: NDArray[np.float64],
        faces: NDArray[np.int32],
        samples: SurfaceSamples,
        normals: NDArray[np.float64],
        graph: SurfaceGraph | None,
        describe: Describe,
    ) -> None:
        self.rest, self.faces = rest.astype(np.float32), faces
        points = samples.at(rest)
        chosen = farthest_point_indices(torch.from_numpy(points.astype(np.float32))[None], min(NODES, len(points)))
        picks = chosen[0].numpy()
        self.nodes = points[picks].astype(np.float32)
        components = mesh_components(faces, len(rest))
        places = picks + len(rest)
        along = None if graph is None else graph.distances(places, np.arange(len(rest)))
        solid = None if graph is None else torch.from_numpy(graph.solid_distances(places))[None]
        node_points = torch.from_numpy(self.nodes)[None]
        everywhere = torch.ones(1, len(self.nodes), dtype=torch.bool)
        node_component = components[samples.corners[picks, 0]]
        self.pieces = loose_pieces(rest, components, node_component)
        self.node_component = node_component
        weight = graph_weights(node_points, everywhere, solid)[0].numpy()
        weight = stiffened(weight, self.pieces)
        self.binding: sparse.csr_matrix = bind_vertices(rest, self.nodes, along, components, node_component)
        node_normals = normals[picks].astype(np.float32)
        descriptors, heading = describe(self.nodes, node_normals)
        self.body = Body(self.nodes, node_normals, descriptors, heading, weight, self.pieces)
        self.ground = float(self.rest[:, 1].min())

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Unique edges [E, 2] of the mesh; of large ones, those of evenly chosen faces."""
        faces = self.faces[:: max(1, len(self.faces) // MEASURED_FACES)]
        sides = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        return np.unique(np.sort(sides, axis=1), axis=0)

    @cached_property
    def feet(self) -> NDArray[np.int64]:
        """Nodes that may stand on the ground."""
        return np.flatnonzero(self.nodes[:, 1] < self.ground + GROUND)

    def seats(self, vertices: NDArray[np.int64]) -> HandleSeats:
        """The seats of handles at these vertices [K]."""
        return HandleSeats(self.rest[vertices], self.binding[vertices].toarray().astype(np.float32))

    def without_handles(self, frames: int, loop: bool = False) -> KeyedHandles:
        """A request without handles."""
        nobody = self.seats(np.zeros(0, np.int64))
        return KeyedHandles(nobody, np.zeros((0, frames, 3)), np.zeros((0, frames), bool), loop)

    def surface(self, seats: HandleSeats, planted: bool) -> RigidSurface:
        """The rigid surface with these handles; `planted`: with feet held firmly at their targets."""
        system = self._planted if planted else self._free
        return system.with_handles(torch.from_numpy(seats.shares)[None], torch.from_numpy(seats.places)[None])

    @cached_property
    def _free(self) -> RigidSurface:
        surface = RigidSurface.of(torch.from_numpy(self.nodes)[None], torch.from_numpy(self.body.weight)[None])
        return surface._replace(together=self._together)

    def rotations(self, positions: Tensor) -> Tensor:
        """How the surface is turned around each node [S, T, P, 3, 3], with nodes at [S, T, P, 3]."""
        turned = self._free.rotations(as_columns(positions))
        return from_columns(turned, *positions.shape[:2]).contiguous()

    def held_by(self, hold: float) -> RigidSurface:
        """The surface whose nodes are held at their targets by `hold`, in units of the mean degree."""
        return RigidSurface.of(self._free.rest, self._free.weight, hold)._replace(together=self._together)

    @cached_property
    def _planted(self) -> RigidSurface:
        hold = self._free.hold.clone()
        hold[:, torch.from_numpy(self.feet)] *= PLANTED
        return RigidSurface.of(self._free.rest, self._free.weight, hold)._replace(together=self._together)

    @cached_property
    def _together(self) -> Tensor | None:
        together = turning_together(self.pieces)
        return None if together is None else torch.from_numpy(together).float()[None]

    def carry(
        self, positions: Tensor, rotations: Tensor, normalization: Normalization | None = None
    ) -> NDArray[np.float32]:
        """Vertices [T, V, 3] for nodes at [T, P, 3] turned by [T, P, 3, 3]; with `normalization` in source units."""
        moved, turned = positions.cpu().numpy(), rotations.cpu().numpy()
        return carry_vertices(self.binding, self.rest, self.nodes, moved, turned, normalization)

    def stretch(self, vertices: NDArray[np.float32]) -> float:
        """Mean relative change of the lengths of the mesh's edges over frames [T, V, 3], in any units, from frame 0."""
        a, b = self.edges.T
        lengths = [np.linalg.norm(frame[a] - frame[b], axis=-1) for frame in vertices]
        shortest = 1e-9 * float(np.ptp(vertices[0], axis=0).max())
        change = [float(np.abs(length / lengths[0].clip(shortest) - 1).mean()) for length in lengths[1:]]
        return float(np.mean(change)) if change else 0.0


def as_columns(motions: Tensor) -> Tensor:
    """Motions [S, T, P, ...] as the columns [1, P, S T, ...] of one solve on the rigid surface."""
    return motions.movedim(2, 0).flatten(1, 2)[None]


def from_columns(columns: Tensor, seeds: int, frames: int) -> Tensor:
    """The inverse of `as_columns`: motions [S, T, P, ...] from columns [1, P, S T, ...]."""
    rows: Tensor = columns[0].unflatten(1, (seeds, frames))
    return rows.movedim(0, 2)


def wish_for(handles: KeyedHandles, fps: float, behaviour: str = "", without: Collection[str] = ()) -> Wish:
    """The request to the bank that corresponds to these handles."""
    seats, frame_count = handles.seats, handles.targets.shape[1]
    count = min(NEAREST, seats.shares.shape[1])
    nodes = np.argsort(-seats.shares, axis=1)[:, :count]
    shares = np.take_along_axis(seats.shares, nodes, 1)
    rows, frames = np.nonzero(handles.keyframe_mask)
    keys = tuple(
        (int(handle), int(frame), tuple(map(float, handles.targets[handle, frame])))
        for handle, frame in zip(rows, frames, strict=True)
        if frame > 0
    )
    mixed = shares / shares.sum(axis=1, keepdims=True)
    return Wish(frame_count, fps, seats.places, nodes, mixed, keys, behaviour, handles.loop, frozenset(without))
