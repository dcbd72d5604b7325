"""What only depends on the mesh: computed once and kept, because an editor asks for the same mesh again and again."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import Config
from core.geometry.farthest_points import farthest_point_indices
from core.geometry.sampling import face_normals, orientation, sample_surface
from core.geometry.solves import ResidualSolver
from core.models.layers import gather_rows
from core.models.shape_autoencoder import ShapeAutoencoder
from core.sequence import Normalization, SourceMesh

MESHES_KEPT = 3
SOLVERS_KEPT = 4
_SURFACE_SEED = 20231  # the same mesh always gives the same anchors


class PreparedMesh:
    """A mesh in normalised space with surface `nodes` [1, P, 3], of which the first are the anchors, and latents."""

    def __init__(
        self,
        source: SourceMesh,
        config: Config,
        autoencoder: ShapeAutoencoder,
        device: torch.device,
    ) -> None:
        self.source = source
        self.normalization = Normalization.of(source.vertices, source.up_axis)
        self.size = self.normalization.scale
        rest = self.normalization.apply(source.vertices)
        self.rest = torch.from_numpy(rest.astype(np.float32)).to(device)[None]
        rng = np.random.default_rng(_SURFACE_SEED)
        samples = sample_surface(rest, source.faces, config.shape.points, rng)
        surface = samples.at(rest)
        points = torch.from_numpy(surface.astype(np.float32)).to(device)[None]
        outward = face_normals(rest, source.faces)[samples.face] * orientation(rest, source.faces)
        normals = torch.from_numpy(outward.astype(np.float32)).to(device)[None]
        count = max(
            config.shape.latents,
            config.diffusion.warm_start_nodes if config.diffusion.warm_start else 0,
        )
        self.nodes: Tensor = gather_rows(points, farthest_point_indices(points, count))
        self.shape_latents: Tensor = autoencoder.encode(points, self.nodes[:, : config.shape.latents], normals)[0]
        self.anchors: Tensor = self.nodes[:, : config.motion.latents]
        self._solvers: OrderedDict[bytes, ResidualSolver] = OrderedDict()

    def solver(self, handles: NDArray[np.int64]) -> ResidualSolver:
        """The residual solve for handles [K]; the last few sets of handles are kept."""
        key = handles.tobytes()
        if key not in self._solvers:
            self._solvers[key] = ResidualSolver(self.source.vertices, self.source.faces, handles)
        self._solvers.move_to_end(key)
        while len(self._solvers) > SOLVERS_KEPT:
            self._solvers.popitem(last=False)
        return self._solvers[key]


class PreparedMeshes:
    """The last few prepared meshes, by identity (a SourceMesh never changes)."""

    def __init__(self, config: Config, autoencoder: ShapeAutoencoder, device: torch.device) -> None:
        self._config, self._autoencoder, self._device = config, autoencoder, device
        self._kept: OrderedDict[int, PreparedMesh] = OrderedDict()

    def of(self, source: SourceMesh) -> PreparedMesh:
        """Raises MeshError when the mesh is empty, not finite, of zero size or without area."""
        key = id(source)  # stays this mesh's own: the prepared mesh holds it
        if key not in self._kept:
            self._kept[key] = PreparedMesh(source, self._config, self._autoencoder, self._device)
        self._kept.move_to_end(key)
        while len(self._kept) > MESHES_KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]
