"""Computes and caches what depends only on the mesh, since an editor uses the same mesh again and again."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from core.bank.library import MotionLibrary
from core.bank.matching import Match
from core.config import Config
from core.geometry.farthest_points import farthest_point_indices
from core.geometry.sampling import face_normals, orientation, sample_surface
from core.geometry.solves import ResidualSolver
from core.geometry.surface_distance import MOST_VERTICES, SurfaceGraph
from core.models.layers import gather_rows
from core.models.shape_autoencoder import ShapeAutoencoder
from core.pipelines.moving_body import Describe, MovingBody
from core.sequence import Normalization, SourceMesh

MESHES_KEPT = 3
SOLVERS_KEPT = 4
_SURFACE_SEED = 20231  # so that a mesh always has the same anchors


Key = TypeVar("Key")
Value = TypeVar("Value")


class SurfaceNodes(NamedTuple):
    """Nodes of the warm start in normalised space, the anchors among them, and shape latents."""

    nodes: Tensor  # [1, P, 3]
    anchors: Tensor  # [1, M, 3], the first nodes
    shape_latents: Tensor  # [1, Ms, Cs]
    distance: Tensor | None  # [1, P + K, P + K] through the solid, between P nodes and K handles
    points: NDArray[np.int64]  # [M] the anchors' vertices; larger numbers are surface points
    mixture: sparse.csr_matrix  # [M, V] each anchor as a weighted mean of vertices


class PreparedMesh:
    """A mesh in normalised space with points and normals on its surface."""

    def __init__(
        self,
        source: SourceMesh,
        config: Config,
        autoencoder: ShapeAutoencoder,
        device: torch.device,
        normalization: Normalization | None = None,
    ) -> None:
        self.source = source
        self.normalization = normalization or Normalization.of(source.vertices, source.up_axis)
        self.size = self.normalization.scale
        rest = self.normalization.apply(source.vertices)
        self.rest = torch.from_numpy(rest.astype(np.float32)).to(device)[None]
        rng = np.random.default_rng(_SURFACE_SEED)
        samples = sample_surface(rest, source.faces, config.shape.points, rng)
        surface = samples.at(rest)
        self._points = torch.from_numpy(surface.astype(np.float32)).to(device)[None]
        known = len(source.vertices) <= MOST_VERTICES
        self._graph = SurfaceGraph(rest, source.faces, samples) if known else None
        outward = face_normals(rest, source.faces)[samples.face] * orientation(rest, source.faces)
        self._samples, self._outward = samples, outward
        self._body: MovingBody | None = None
        self._matches: tuple[MotionLibrary, frozenset[str], list[Match]] | None = None
        self._normals = torch.from_numpy(outward.astype(np.float32)).to(device)[None]
        self._config, self._autoencoder = config, autoencoder
        self._nodes: OrderedDict[bytes, SurfaceNodes] = OrderedDict()
        self._solvers: OrderedDict[bytes, ResidualSolver] = OrderedDict()

    def moving_body(self, describe: Describe) -> MovingBody:
        """The mesh as a body for the bank's motions; cached."""
        if self._body is None:
            rest = self.normalization.apply(self.source.vertices)
            self._body = MovingBody(rest, self.source.faces, self._samples, self._outward, self._graph, describe)
        return self._body

    def matches(self, library: MotionLibrary, body: MovingBody, without: frozenset[str] = frozenset()) -> list[Match]:
        """The library's most similar shapes, except those named in `without`; cached."""
        if self._matches is None or self._matches[0] is not library or self._matches[1] != without:
            self._matches = library, without, library.match(body.body, without)
        return self._matches[2]

    def nodes(self, handles: NDArray[np.int64], share: float = 0.5) -> SurfaceNodes:
        """Nodes for handles at these vertices [K]; the last few sets are cached.

        Handles come first, up to this share of the anchors, then the surface points farthest from them. So the tip of
        an ear or a hoof that is a handle is also an anchor.
        """
        config, key = self._config, handles.tobytes() + bytes(str(share), "ascii")
        if key not in self._nodes:
            count = max(config.shape.latents, min(config.diffusion.warm_start_nodes, config.shape.points))
            first = self.rest[:, torch.from_numpy(handles[: int(config.motion.latents * share)]).to(self.rest.device)]
            rest = farthest_point_indices(self._points, count - first.shape[1], given=first)
            nodes = torch.cat([first, gather_rows(self._points, rest)], dim=1)
            latents = self._autoencoder.encode(self._points, nodes[:, : config.shape.latents], self._normals)[0]
            samples = rest[0].cpu().numpy() + len(self.source.vertices)
            every = np.concatenate([handles[: first.shape[1]], samples])
            anchors = nodes[:, : config.motion.latents]
            distance, points = self._distances(every, handles), every[: anchors.shape[1]]
            self._nodes[key] = SurfaceNodes(nodes, anchors, latents, distance, points, self._mixture(points))
        return _keep(self._nodes, key, SOLVERS_KEPT)

    def _distances(self, nodes: NDArray[np.int64], handles: NDArray[np.int64]) -> Tensor | None:
        """`SurfaceNodes.distance` of nodes and handles, given as points of the surface's graph."""
        if self._graph is None:
            return None
        config = self._config
        points = np.concatenate([nodes[: max(config.diffusion.warm_start_nodes, config.motion.latents)], handles])
        return torch.from_numpy(self._graph.solid_distances(points)).to(self.rest.device)[None]

    def from_anchors(self, surface: SurfaceNodes) -> Tensor | None:
        """Distances along the surface from all vertices to the anchors [1, V, M]; None if that would take long."""
        if self._graph is None:
            return None
        known = self._graph.distances(surface.points, np.arange(len(self.source.vertices)))
        return torch.from_numpy(np.ascontiguousarray(known.T)).to(self.rest.device)[None]

    def _mixture(self, points: NDArray[np.int64]) -> sparse.csr_matrix:
        """Points of the surface's graph (vertices, then samples) as weighted means [N, V] of vertices."""
        vertices = len(self.source.vertices)
        rows, columns, weights = [], [], []
        for row, point in enumerate(points):
            own = point < vertices
            columns += [point] if own else list(self._samples.corners[point - vertices])
            weights += [1.0] if own else list(self._samples.barycentric[point - vertices])
            rows += [row] * (1 if own else 3)
        return sparse.csr_matrix((weights, (rows, columns)), shape=(len(points), vertices))

    def solver(self, handles: NDArray[np.int64]) -> ResidualSolver:
        """The residual solver for handles [K]; the last few sets are cached."""
        key = handles.tobytes()
        if key not in self._solvers:
            self._solvers[key] = ResidualSolver(self.source.vertices, self.source.faces, handles)
        return _keep(self._solvers, key, SOLVERS_KEPT)


class PreparedMeshes:
    """The last few prepared meshes, by identity (a SourceMesh never changes)."""

    def __init__(self, config: Config, autoencoder: ShapeAutoencoder, device: torch.device) -> None:
        self._config, self._autoencoder, self._device = config, autoencoder, device
        self._kept: OrderedDict[int, PreparedMesh] = OrderedDict()

    def of(self, source: SourceMesh) -> PreparedMesh:
        """The prepared mesh, cached. Raises MeshError for a mesh that is empty, not finite, or without size or area."""
        key = id(source)  # valid, since the prepared mesh refers to the source
        if key not in self._kept:
            self._kept[key] = PreparedMesh(source, self._config, self._autoencoder, self._device)
        return _keep(self._kept, key, MESHES_KEPT)


def _keep(kept: OrderedDict[Key, Value], key: Key, most: int) -> Value:
    """The value of `key`, which becomes the newest; of more than `most` values the oldest are dropped."""
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
    return kept[key]
