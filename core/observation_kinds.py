"""Every kind of observation, from files to figures: a record each, in KINDS.

Whatever differs between kinds is a field of the record: how files are read, how training simulates it, how scans are
prepared for the models, and how it is evaluated. No other code asks for the kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from torch import Tensor

from core.config import Config
from core.data.clips import FittedScan
from core.data.observations import Observation, above_plane, noise_levels, quantised, scan_of, tracked_points
from core.data.point_surface import GRID_SIDE, surface_voxels
from core.errors import DataError
from core.geometry.farthest_points import farthest_present_indices
from core.geometry.silhouettes import lifted_points
from core.io.scans.colour_frames import IMAGES as IMAGE_FILES
from core.io.scans.depth import DEPTH as DEPTH_FILES
from core.io.scans.points import POINTS as POINT_FILES
from core.io.scans.scan_kind import ScanKind
from core.io.scans.voxels import VOXELS as VOXEL_FILES
from core.models.layers import gather_rows
from core.models.observation_conditioners import ScanCondition
from core.models.registration import registered_handles
from core.models.shape_diffusion import ShapeObservation
from core.models.warm_start import HandleCondition
from core.sequence import BOX_SIDE, ScanSequence

HALF_TRACKED = 0.5  # of tracked clips of the motion stage, cut by a plane


class Seen(NamedTuple):
    """Points in space from scans, in their own units."""

    points: Sequence[NDArray[np.floating]]  # [N_t, 3] of each frame
    near: NDArray[np.floating] | None = None  # [N, 3] points of frame 0 in a camera's free view
    camera: NDArray[np.floating] | None = None  # [3] its position


class ClipView(NamedTuple):
    """Input of a simulated sensor: surface points [B, T, N, 3] of clips and their normals [B, N, 3] in frame 0.

    For the motion stage, `nodes` [B, P, 3] lie on the surface of frame 0, the first ones being the motion's anchors;
    `anchors` [B, M] are their rows in `points`.
    """

    points: Tensor
    normals: Tensor
    nodes: Tensor | None = None
    anchors: Tensor | None = None


@dataclass(frozen=True)
class ScanTask:
    """The observation of a protocol: `points` per frame, Gaussian noise `sigma` in normalised units."""

    name: str
    title: str
    kind: str  # of observation, by name
    points: int = 512
    sigma: float = 0.001
    frames: int = 17
    half: bool = False  # cut by a plane


@dataclass(frozen=True)
class ScanProtocol:
    """An evaluation, `m2v evaluate NAME`."""

    name: str
    about: str
    tasks: tuple[ScanTask, ...]


Motion = tuple[HandleCondition, ScanCondition | None]


@dataclass(frozen=True)
class ObservationKind:
    """One kind of observation. A conditioner of its own is added in `core.models.observation_conditioners`."""

    name: str
    files: ScanKind  # how it is read
    prepare: Callable[[ScanSequence], Seen]  # raises DataError for scans without this kind's data
    # What a protocol shows of vertices [T, V, 3] and faces, by task and seed.
    evaluate: Callable[[NDArray, NDArray, ScanTask, int], ScanSequence] | None = None
    protocols: tuple[ScanProtocol, ...] = ()
    encode: Callable[[Sequence[NDArray]], dict[str, Tensor]] = lambda points: {}  # dense observations, of T frames
    learned_as: str = ""  # its share in TaskConfig; with the prefix shape_, that of the shape stage
    simulate_shape: Callable[[ClipView, Config, torch.Generator], ShapeObservation] | None = None
    simulate_motion: Callable[[ClipView, Config, torch.Generator], Motion] | None = None
    tracked: bool = False  # row i is the same surface point in every frame, and one of the clip's own
    measured: bool = True  # points are measured, not guessed
    on_surface: bool = True  # points are closer to the surface than the models' estimate
    aligned: bool = False  # to the axes, so that a stored scan does not fit a clip that was turned or stretched since


def kind_of(scans: ScanSequence) -> ObservationKind:
    """The kind that scans are of."""
    kind = kind_named(scans.modality)
    return TRACKED if kind is POINTS and scans.tracked else kind


def kind_named(name: str) -> ObservationKind:
    """The kind of this name."""
    return next(kind for kind in KINDS if kind.name == name)


def tracked_shape(view: ClipView, config: Config, generator: torch.Generator) -> ShapeObservation:
    """Sparse points of the whole shape, often fewer than the maximum."""
    batch, count, fewest = len(view.points), config.tasks.shape_points, config.tasks.fewest_points
    scan = tracked_points(view.points, count, noise_levels(batch, generator), generator)
    kept = (fewest * (count / fewest) ** torch.rand(batch, 1, device=generator.device, generator=generator)).ceil()
    whole = torch.rand(batch, 1, device=generator.device, generator=generator) < 0.5
    row = torch.arange(count, device=generator.device)[None]
    scan = Observation(scan.points, scan.present & (whole | (row < kept))[:, None])
    return _placed(scan, config.shape.latents, min(config.shape.latents, count))


def tracked_motion(view: ClipView, config: Config, generator: torch.Generator) -> Motion:
    """Noisy tracks at the anchors, often of half a body only, as handles given in every frame."""
    assert view.anchors is not None
    batch, frames, device = len(view.points), view.points.shape[1], generator.device
    sigma = noise_levels(batch, generator) * 0.5
    noise = torch.randn(batch, frames, view.anchors.shape[1], 3, device=device, generator=generator)
    tracks = gather_rows(view.points, view.anchors[:, None].expand(-1, frames, -1)) + noise * sigma[:, None, None, None]
    half = torch.rand(batch, 1, device=device, generator=generator) < HALF_TRACKED
    present = ~half | above_plane(tracks[:, 0], generator)
    handles = HandleCondition(
        tracks[:, 0],
        tracks[:, 1:] - tracks[:, :1],
        present[:, None].expand(-1, frames - 1, -1),
        present,
        2 * sigma.square()[:, None].expand(-1, tracks.shape[2]),
    )
    return handles, None


def scanned_shape(view: ClipView, config: Config, generator: torch.Generator) -> ShapeObservation:
    """One side, or half a body, with about half of the latents on what is seen."""
    scan = scan_of(view.points, view.normals, config.tasks.shape_points, generator)
    return _placed(scan, config.shape.latents, _half_of(config.shape.latents, generator))


def stored_shape(scan: FittedScan, config: Config, generator: torch.Generator) -> ShapeObservation:
    """Some of the points of a scan that was stored."""
    count, latents = config.tasks.shape_points, config.shape.latents
    order = torch.rand(scan.present.shape, device=generator.device, generator=generator)
    some = (order + ~scan.present).topk(count, dim=1, largest=False).indices
    seen = Observation(gather_rows(scan.points, some)[:, None], scan.present.gather(1, some)[:, None])
    return _placed(seen, latents, _half_of(latents, generator) if scan.partial else min(latents, count))


def _half_of(latents: int, generator: torch.Generator) -> int:
    """About half of the latents."""
    fewest, most = max(1, latents * 3 // 8), max(1, latents * 5 // 8)
    return int(torch.randint(fewest, most + 1, (), device=generator.device, generator=generator))


def scanned_motion(view: ClipView, config: Config, generator: torch.Generator) -> Motion:
    """Points without correspondence: one-sided, cut in half, or whole."""
    scan = scan_of(view.points, view.normals, config.tasks.scan_points, generator, whole=True)
    return _followed(view, Observation(scan.points[:, 1:], scan.present[:, 1:]), {})


def gridded_shape(view: ClipView, config: Config, generator: torch.Generator) -> ShapeObservation:
    """The surface cells, and the centres of some of them."""
    scan = _cells(view.points, config.tasks.shape_points, generator)
    dense = {"voxels": surface_voxels(view.points, view.normals)}
    wanted = min(config.shape.latents, config.tasks.shape_points)
    return _placed(scan, config.shape.latents, wanted)._replace(dense=dense)


def gridded_motion(view: ClipView, config: Config, generator: torch.Generator) -> Motion:
    """The same of every frame."""
    scan = _cells(view.points[:, 1:], config.tasks.scan_points, generator)
    return _followed(view, scan, {"voxels": surface_voxels(view.points, view.normals)})


def _cells(points: Tensor, count: int, generator: torch.Generator) -> Observation:
    """Centres of the cells that `count` random rows of points [B, T, N, 3] fall into."""
    picked = torch.randperm(points.shape[2], device=points.device, generator=generator)[:count]
    seen = quantised(points[:, :, picked])
    return Observation(seen, torch.ones(seen.shape[:3], dtype=torch.bool, device=points.device))


def _placed(scan: Observation, latents: int, wanted: int) -> ShapeObservation:
    """Frame 0 of a scan, with `wanted` of the latents on farthest seen points."""
    observed, present = scan.points[:, 0], scan.present[:, 0]
    return ShapeObservation.of(observed, present, latents, farthest_present_indices(observed, present, wanted))


def _followed(view: ClipView, scan: Observation, dense: dict[str, Tensor]) -> Motion:
    """The nodes tracked through the moving frames of a scan, as handles, and the scan itself."""
    assert view.nodes is not None
    handles = registered_handles(view.nodes, scan.points, scan.present)
    return handles, ScanCondition(scan.points, scan.present, dense)


def all_points(scans: ScanSequence) -> Seen:
    """The points as they were measured."""
    return Seen([frame.reshape(-1, 3) for frame in scans.points])


def seen_points(scans: ScanSequence) -> Seen:
    """The points, with the camera's position in frame 0 if known."""
    place = scans.viewpoint if scans.viewpoints is None else scans.viewpoints[0]
    points = all_points(scans).points
    return Seen(points) if place is None else Seen(points, points[0], np.asarray(place, dtype=np.float64))


def surface_cells(scans: ScanSequence) -> Seen:
    """Centres of the occupied cells that touch an empty one."""
    if scans.voxels is None:
        raise DataError("No voxel grid was read from these scans; open the folder of grids again.")
    centre, side = np.asarray(scans.voxel_center, dtype=np.float64), scans.voxel_side
    frames = []
    for grid in scans.voxels:
        shell = grid & ~binary_erosion(grid)
        frames.append(((np.argwhere(shell) + 0.5) / np.array(grid.shape) - 0.5) * side + centre)
    return Seen(frames)


def voxel_grids(points: Sequence[NDArray]) -> dict[str, Tensor]:
    """Surface cells [T, 32, 32, 32] of the box of side 1.1, resampled from any grid."""
    grids = np.zeros((len(points), GRID_SIDE, GRID_SIDE, GRID_SIDE), dtype=np.float32)
    for grid, frame in zip(grids, points, strict=True):
        index = np.floor((frame / BOX_SIDE + 0.5) * GRID_SIDE).astype(np.int64)
        index = index[((index >= 0) & (index < GRID_SIDE)).all(axis=1)]
        grid[tuple(index.T)] = 1.0
    return {"voxels": torch.from_numpy(grids)}


def lifted_outlines(scans: ScanSequence) -> Seen:
    """Points of the shape inflated from its outline; the camera sees the near half."""
    if scans.images is None:
        raise DataError("No image was read from these scans; open the folder of images again.")
    lifted = lifted_points(scans.images)
    if lifted is None:
        raise DataError(
            f"No shape stands out from the background in the first image of {scans.name}; give images of one "
            "shape in front of a plain background."
        )
    points, camera = lifted
    return Seen(points, points[0][: len(points[0]) // 2], camera)


def evaluate_tracked(vertices: NDArray, faces: NDArray, task: ScanTask, seed: int) -> ScanSequence:
    from core.data.scan_simulation import simulate_half_body, simulate_tracked

    simulate = simulate_half_body if task.half else simulate_tracked
    return simulate(vertices, faces, count=task.points, sigma=task.sigma, seed=seed)


def evaluate_depth(vertices: NDArray, faces: NDArray, task: ScanTask, seed: int) -> ScanSequence:
    from core.data.scan_simulation import simulate_depth

    return simulate_depth(vertices, faces, sigma=task.sigma, seed=seed)


def evaluate_voxels(vertices: NDArray, faces: NDArray, task: ScanTask, seed: int) -> ScanSequence:
    from core.data.scan_simulation import simulate_voxels

    return simulate_voxels(vertices, faces)


def evaluate_images(vertices: NDArray, faces: NDArray, task: ScanTask, seed: int) -> ScanSequence:
    from core.data.scan_simulation import simulate_images

    return simulate_images(vertices, faces, seed=seed)


def _sparse(name: str, points: int = 512, sigma: float = 0.001, frames: int = 17) -> ScanTask:
    title = f"{points} tracked points, noise {sigma:g}" + (f", {frames} frames" if frames != 17 else "")
    return ScanTask(name, title, "tracked", points, sigma, frames)


TRACKED = ObservationKind(
    "tracked", POINT_FILES, all_points, evaluate_tracked, learned_as="tracked", simulate_shape=tracked_shape,
    simulate_motion=tracked_motion, tracked=True,
    protocols=(
        ScanProtocol("sparse-points", "complete meshes from 512 tracked points with noise",
            (_sparse("sparse_points"),)),
        ScanProtocol("half-body", "complete meshes from points above a plane, and how much seeds differ below it",
            (ScanTask("half_body", "Tracked points above a plane, noise 0.001", "tracked", half=True),)),
        ScanProtocol("long-sequence", "100 frames of tracked points in overlapping windows: drift and seams",
            (_sparse("long_sequence", frames=100),)),
        ScanProtocol("noise-sweep", "tracked points with noise from 0.001 to 0.05",
            tuple(_sparse(f"noise_{sigma:g}", sigma=sigma) for sigma in (0.001, 0.005, 0.01, 0.05))),
        ScanProtocol("density-sweep", "100, 300 and 500 tracked points",
            tuple(_sparse(f"points_{count}", count) for count in (100, 300, 500))),
    ),
)  # fmt: skip
POINTS = ObservationKind(
    "points", POINT_FILES, all_points, learned_as="scans", simulate_shape=scanned_shape, simulate_motion=scanned_motion
)
# Training simulates one-sided points as part of the kind "points".
DEPTH = ObservationKind(
    "depth", DEPTH_FILES, seen_points, evaluate_depth,
    protocols=(ScanProtocol("depth-scans", "complete meshes from one-sided scans of a fixed depth camera",
        (ScanTask("depth_scans", "Scans of a fixed depth camera, noise 0.001", "depth"),)),),
)  # fmt: skip
VOXELS = ObservationKind(
    "voxels", VOXEL_FILES, surface_cells, evaluate_voxels, encode=voxel_grids, learned_as="voxels",
    simulate_shape=gridded_shape, simulate_motion=gridded_motion, on_surface=False, aligned=True,
    protocols=(ScanProtocol("voxels", "complete meshes from 32^3 voxel grids",
        (ScanTask("voxels", "Voxel grids of 32^3", "voxels"),)),),
)  # fmt: skip
IMAGES = ObservationKind(
    "images", IMAGE_FILES, lifted_outlines, evaluate_images, measured=False,
    protocols=(ScanProtocol("images", "complete meshes from shaded images",
        (ScanTask("images", "Shaded images", "images"),)),),
)  # fmt: skip
KINDS = (TRACKED, POINTS, DEPTH, VOXELS, IMAGES)
LEARNED = {kind.learned_as: kind for kind in KINDS if kind.learned_as}
SCAN_PROTOCOLS = {protocol.name: protocol for kind in KINDS for protocol in kind.protocols}
