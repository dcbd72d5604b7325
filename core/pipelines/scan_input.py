"""Prepares scans for the models: normalised, subsampled to what training showed, and padded to tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import Config
from core.errors import DataError
from core.geometry.farthest_points import farthest_present_indices
from core.geometry.scan_normalization import guess_normalization
from core.geometry.voxel_solid import VoxelSolid
from core.models.observation_conditioners import ScanCondition
from core.models.shape_diffusion import ShapeObservation
from core.observation_kinds import kind_of
from core.pipelines.frame_box import FrameBox
from core.pipelines.free_space import RAYS, FreeSpace
from core.pipelines.seen_side import Extent
from core.pipelines.tracked_surface import ENOUGH, too_thin
from core.pipelines.tracks import denoised_tracks
from core.sequence import IDENTITY, MAX_FRAMES, Normalization, ScanSequence

_THINNING_SEED = 31
FEWEST_WHOLE = 32  # tracked points, at least, that define a surface by themselves
MOST_TRACKED = 2048  # points; more take longer and add little


class ScanInput:
    """One scan sequence in normalised space, on a device."""

    def __init__(
        self,
        scans: ScanSequence,
        normalization: Normalization,
        config: Config,
        device: torch.device,
        check_cancelled: Callable[[], None] = lambda: None,
    ) -> None:
        self.scans, self.normalization, self.config, self.device = scans, normalization, config, device
        _check(scans)
        self.kind = kind_of(scans)
        self._seen = self.kind.prepare(scans)
        points = [np.asarray(frame, dtype=np.float64) for frame in self._seen.points]
        normalised = [normalization.apply(frame[np.isfinite(frame).all(axis=1)]) for frame in points]
        measured: tuple[NDArray[np.float32], ...] = tuple(frame.astype(np.float32) for frame in normalised)
        self.tracked = scans.tracked and len({len(frame) for frame in measured}) == 1 and len(measured[0]) > 0
        self._measured = measured
        # Noise of tracked points is told from motion by frames and neighbours, and removed before anything else.
        self.points = (
            tuple(denoised_tracks(_thinned(np.stack(measured)), check_cancelled).astype(np.float32))
            if self.tracked
            else measured
        )
        if len(self.points[0]) < 3:
            raise DataError(
                "The first frame of the scans has fewer than 3 usable points; start at a frame that has more."
            )

    @property
    def frames(self) -> int:
        return len(self.points)

    @property
    def measured(self) -> list[NDArray[np.float32]]:
        """The points [N_t, 3] that were measured rather than guessed."""
        return list(self._measured) if self.kind.measured else [frame[:0] for frame in self.points]

    @property
    def viewpoints(self) -> NDArray[np.float64] | None:
        """The camera's position in each frame [T, 3]; None if it is unknown, or for points from all sides."""
        if not self.kind.measured:
            return None
        places = self.scans.viewpoints
        if places is None and self.scans.viewpoint is not None:
            places = np.tile(np.asarray(self.scans.viewpoint, dtype=np.float64), (self.frames, 1))
        return None if places is None else self.normalization.apply(places)

    @property
    def one_sided(self) -> bool:
        """Whether points were measured, but not all around."""
        return self.scans.partial and self.kind.measured

    def whole_tracks(self) -> NDArray[np.float32] | None:
        """Tracks [T, N, 3] if they show the shape from all sides and are enough to tell which are neighbours."""
        if not self.tracked or self.scans.partial or len(self.points[0]) < FEWEST_WHOLE:
            return None
        return np.stack(self.points)

    @cached_property
    def sparse(self) -> bool:
        """Whether the whole shape was tracked, but by so few points that a body that fits says more about it."""
        tracks = self.whole_tracks()
        return tracks is not None and (tracks.shape[1] < ENOUGH or too_thin(tracks))

    @property
    def extent(self) -> Extent:
        """How much of the shape the points of frame 0 show: tracked ones all above some plane, a camera's one side."""
        if not self.one_sided:
            return Extent.WHOLE
        return Extent.CUT if self.tracked else Extent.SIDE

    @cached_property
    def box(self) -> FrameBox:
        """The box of frame 0's whole shape; of a cut shape with its unseen end, unless the box was only guessed."""
        if self.extent is not Extent.CUT or _alike(self.normalization, guess_normalization(self.scans)):
            return FrameBox.unknown()
        return FrameBox.of_cut(self.points[0])

    def solid(self) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
        """A field of places [Q, 3] in normalised space, positive inside frame 0's voxels; None for other scans."""
        grids = self.scans.voxels
        if grids is None:
            return None
        field = VoxelSolid(grids[0], np.asarray(self.scans.voxel_center), self.scans.voxel_side)
        return lambda places: field(self.normalization.invert(places))

    def normals(self) -> list[NDArray[np.float64]] | None:
        """Outward normals [N_t, 3] in normalised space of every frame's points; None for scans other than voxels."""
        grids = self.scans.voxels
        if grids is None:
            return None
        centre, side = np.asarray(self.scans.voxel_center), self.scans.voxel_side
        places = [self.normalization.invert(frame) for frame in self.points]
        upright = self.normalization.rotation.T
        return [VoxelSolid(grid, centre, side).normals(of) @ upright for grid, of in zip(grids, places, strict=True)]

    def followed(self, tracks: NDArray[np.floating], check_cancelled: Callable[[], None] = lambda: None) -> ScanInput:
        """The same scans as tracks [T, N, 3], in normalised space, of the whole shape that was found for them."""
        scans = ScanSequence(tuple(tracks.astype(np.float32)), self.scans.fps, True, self.scans.name)
        return ScanInput(scans, IDENTITY, self.config, self.device, check_cancelled)

    def free_space(self) -> FreeSpace | None:
        """The space that frame 0's camera saw to be empty; None for scans from all sides or by an unknown camera."""
        near, camera = self._seen.near, self._seen.camera
        if near is None or camera is None:
            return None
        near = near[np.isfinite(near).all(axis=1)]
        if len(near) <= RAYS:
            return None
        return FreeSpace(self.normalization.apply(near), self.normalization.apply(camera[None])[0])

    def shape(self) -> ShapeObservation:
        """Frame 0 for the shape stage."""
        config = self.config
        latents = config.shape.latents
        points, present = self._padded([self.points[0]], config.tasks.shape_points)
        observed, here = points[:, 0], present[:, 0]
        share = max(1, latents // 2) if self.scans.partial and self.kind.measured else latents
        wanted = min(share, int(here.sum()))
        chosen = farthest_present_indices(observed, here, wanted)
        dense = {name: every[:, :1] for name, every in self._dense().items()}
        return ShapeObservation.of(observed, here, latents, chosen, dense)

    def motion(self) -> ScanCondition | None:
        """All moving frames for the motion stage; None for tracked points, which become handles."""
        if self.tracked:
            return None
        points, present = self._padded(list(self.points[1:]), self.config.tasks.scan_points)
        return ScanCondition(points, present, self._dense())

    def _padded(self, frames: list[NDArray[np.float32]], count: int) -> tuple[Tensor, Tensor]:
        """Up to `count` random points of each frame: points [1, T, count, 3] and which are there [1, T, count]."""
        points = np.zeros((len(frames), count, 3), dtype=np.float32)
        present = np.zeros((len(frames), count), dtype=bool)
        for row, frame in enumerate(frames):
            picked = np.random.default_rng(_THINNING_SEED).permutation(len(frame))[:count]
            points[row, : len(picked)] = frame[picked]
            present[row, : len(picked)] = True
        return torch.from_numpy(points).to(self.device)[None], torch.from_numpy(present).to(self.device)[None]

    def _dense(self) -> dict[str, Tensor]:
        """Dense observations [1, T, ...] of all frames."""
        return {name: frames.to(self.device)[None] for name, frames in self.kind.encode(self.points).items()}


def _thinned(tracks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tracks [T, N, 3] of no more points than are used, chosen at random."""
    if tracks.shape[1] <= MOST_TRACKED:
        return tracks
    chosen = np.random.default_rng(_THINNING_SEED).permutation(tracks.shape[1])[:MOST_TRACKED]
    return tracks[:, np.sort(chosen)]


def _alike(one: Normalization, other: Normalization) -> bool:
    """Whether two boxes are at the same place."""
    far = float(np.abs(one.center - other.center).max())
    return max(far, abs(one.scale - other.scale)) < 1e-6 * other.scale


def _check(scans: ScanSequence) -> None:
    if scans.frames < 2:
        raise DataError("A single frame of scans has no motion; give 2 or more.")
    if scans.frames > MAX_FRAMES:
        raise DataError(f"The scans have {scans.frames} frames, more than the {MAX_FRAMES} supported; split them.")
