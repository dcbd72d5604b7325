"""Simulates partial scans of ground-truth mesh sequences, for evaluation and sample scans.

Each function takes vertices [T, V, 3] in normalised space (frame 0: longest side 1, centre 0, Y up) and faces [F, 3],
and returns a ScanSequence in that space. The same seed gives the same scan. Noise `sigma` is the standard deviation of
a coordinate, as a fraction of the shape's longest side. Training uses the counterparts in `observations`, with the same
limits, light and cameras.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from core.data.cameras import FARTHEST, HIGHEST, LONGEST_ORBIT, LOWEST, NEAREST, Cameras, cameras_at
from core.data.observations import CLEAR, GRAZING, MOST_TILT
from core.data.point_surface import voxel_grid
from core.errors import DataError
from core.geometry.image_camera import FRONT, VIEW_SIDE
from core.geometry.rasteriser import NEAR, Raster, rasterise
from core.geometry.sampling import face_normals, sample_surface, vertex_normals
from core.io.scans.camera_files import back_project
from core.sequence import BOX_SIDE, ScanSequence

FPS = 24.0
_VOXEL_SAMPLES = 100_000  # surface points that mark crossed cells: dozens for each cell of 32^3
_CANDIDATES = 16_384  # surface points, of which those above a plane are kept
_AMBIENT = 0.25
_LIGHT = (0.35, -0.70, -0.62)  # towards the light in camera axes: from above, a little to the right, behind the camera
_MARGIN = 0.94  # share of a depth map's side that the moving shape fills


@dataclass(frozen=True, eq=False)
class DepthScan:
    """A depth camera's maps [T, H, W] (1 is the shape's size, 0 means not measured) and its parameters.

    `intrinsics` [3, 3] are in pixels, `poses` [T, 4, 4] camera to world; `scans` holds the back-projected points.
    """

    depth: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    poses: NDArray[np.float64]
    scans: ScanSequence


def simulate_tracked(
    vertices: ArrayLike, faces: ArrayLike, count: int = 512, sigma: float = 0.001, seed: int = 0, fps: float = FPS
) -> ScanSequence:
    """`count` surface points, uniform by area in frame 0, the same ones in every frame, with noise."""
    frames, corners = _checked(vertices, faces, sigma, count)
    rng = np.random.default_rng(seed)
    points = sample_surface(frames[0], corners, count, rng).at(frames)
    return _scans(_noisy(points, sigma, rng), fps, name="tracked points", tracked=True)


def half_body_plane(vertices: ArrayLike, faces: ArrayLike, seed: int = 0) -> tuple[NDArray[np.float64], float]:
    """The plane p . normal = level that `simulate_half_body` cuts at with this seed; the normal [3] points up.

    It is tilted by up to 25 degrees and has 40 to 60% of frame 0's surface below it.
    """
    frames, corners = _checked(vertices, faces)
    rng = np.random.default_rng([seed, 1])
    azimuth, tilt = 2 * math.pi * rng.random(), MOST_TILT * rng.random()
    normal = np.array([math.sin(tilt) * math.cos(azimuth), math.cos(tilt), math.sin(tilt) * math.sin(azimuth)])
    heights = sample_surface(frames[0], corners, _CANDIDATES, rng).at(frames[0]) @ normal
    return normal, float(np.quantile(heights, 0.4 + 0.2 * rng.random()))


def simulate_half_body(
    vertices: ArrayLike, faces: ArrayLike, count: int = 512, sigma: float = 0.001, seed: int = 0, fps: float = FPS
) -> ScanSequence:
    """Tracked points of the surface above `half_body_plane` in frame 0; the rest is missing in every frame."""
    frames, corners = _checked(vertices, faces, sigma, count)
    normal, level = half_body_plane(frames, corners, seed)
    rng = np.random.default_rng(seed)
    samples = sample_surface(frames[0], corners, max(_CANDIDATES, 4 * count), rng)
    above = np.flatnonzero(samples.at(frames[0]) @ normal >= level)[:count]
    points = samples.at(frames)[:, above]
    return _scans(_noisy(points, sigma, rng), fps, name="half body", tracked=True, partial=True)


def simulate_depth(*what: Any, **how: Any) -> ScanSequence:
    """The points of `render_depth`, which says what the arguments mean."""
    return render_depth(*what, **how).scans


def render_depth(
    vertices: ArrayLike,
    faces: ArrayLike,
    azimuth: float | None = None,
    elevation: float | None = None,
    distance: float | None = None,
    resolution: int = 160,
    sigma: float = 0.001,
    moving: bool = False,
    *,
    seed: int = 0,
    fps: float = FPS,
) -> DepthScan:
    """Depth maps of `resolution` pixels a side from one camera; if `moving`, it orbits by 30 to 60 degrees.

    Angles are in radians, azimuth 0 looks from +z; parameters left out are drawn from the seed within training's
    limits. The camera looks at the middle of the whole motion and sees all of it. Noise lies along the ray; surfaces at
    grazing angles are measured rarely or not at all. Raises DataError where a frame shows nothing.
    """
    frames, corners = _checked(vertices, faces, sigma)
    if not 8 <= resolution <= 2048:
        raise DataError(f"Depth maps of {resolution} pixels a side is out of range; ask for 8 to 2048.")
    rng = np.random.default_rng(seed)
    drawn = rng.uniform([-math.pi, LOWEST, NEAREST], [math.pi, HIGHEST, FARTHEST])
    turn = rng.uniform(0.5, 1.0) * LONGEST_ORBIT * rng.choice([-1, 1]) if moving else 0.0
    low, high = frames.min(axis=(0, 1)), frames.max(axis=(0, 1))
    if distance is None:  # a shape that travels must not walk into the camera
        distance = drawn[2] + max(0.0, float((high - low).max()) - 1.0)
    around = np.linspace(0.0, turn, len(frames)) + (drawn[0] if azimuth is None else azimuth)
    rotation, position = _cameras(around, drawn[1] if elevation is None else elevation, distance)
    position = position + (low + high) / 2
    seen = (frames - position[:, None]) @ rotation.transpose(0, 2, 1)
    reach = float((np.abs(seen[..., :2]) / seen[..., 2:].clip(NEAR)).max())
    intrinsics = _intrinsics(_MARGIN * (resolution - 1) / 2 / reach, resolution)
    depth = np.zeros((len(frames), resolution, resolution))
    points = []
    for frame, view in enumerate(seen):
        depth[frame] = _measured(rasterise(view, corners, intrinsics, resolution), view, corners, sigma, rng)
        if not depth[frame].any():
            raise DataError(f"The camera sees nothing in frame {frame}; move it away from the shape.")
        local = back_project(depth[frame], intrinsics, depth[frame] > 0)
        points.append(local @ rotation[frame] + position[frame])
    poses = np.broadcast_to(np.eye(4), (len(frames), 4, 4)).copy()
    poses[:, :3, :3], poses[:, :3, 3] = rotation.transpose(0, 2, 1), position
    x, y, z = position[0].tolist()
    scans = _scans(
        points, fps, name="depth scans", modality="depth", partial=True, viewpoint=(x, y, z),
        viewpoints=position if moving else None,
    )  # fmt: skip
    return DepthScan(depth, intrinsics, poses, scans)


def simulate_voxels(vertices: ArrayLike, faces: ArrayLike) -> ScanSequence:
    """Grids [T, R, R, R] of the box of side 1.1 around the origin: the cells that the surface crosses.

    Grids are not solid, since training knows only the surface of moving frames, and open meshes have no inside.
    """
    frames, corners = _checked(vertices, faces)
    rng = np.random.default_rng(0)
    samples = sample_surface(frames[0], corners, _VOXEL_SAMPLES, rng)
    # New points in each frame, and the vertices, so that no small tip is missed for long.
    dense = (torch.from_numpy(np.concatenate([samples.at(frame), frame])) for frame in frames)
    grids = np.stack([voxel_grid(points[None, None])[0, 0].numpy() for points in dense])
    cell = BOX_SIDE / grids.shape[-1]
    points = [(np.argwhere(grid) + 0.5) * cell - BOX_SIDE / 2 for grid in grids]
    return _scans(points, FPS, name="voxels", modality="voxels", dense=grids, voxel_side=BOX_SIDE)


def simulate_images(
    vertices: ArrayLike,
    faces: ArrayLike,
    azimuth: float | None = None,
    elevation: float | None = None,
    distance: float | None = None,
    size: int = 224,
    seed: int = 0,
) -> ScanSequence:
    """Shaded images [T, size, size, 3] on black from one camera, which looks at the origin from the front quarter.

    Parameters left out are drawn from the seed within a few degrees. An image shows a square of side 1.5 around the
    origin.
    """
    frames, corners = _checked(vertices, faces)
    rng = np.random.default_rng(seed)
    drawn = np.array(FRONT) + rng.uniform(-1, 1, 3) * [0.15, 0.08, 0.1]
    away = drawn[2] if distance is None else distance
    rotation, position = _cameras(
        np.full(len(frames), drawn[0] if azimuth is None else azimuth),
        drawn[1] if elevation is None else elevation,
        away,
    )
    fine = 2 * size  # four samples a pixel smooth the edges
    intrinsics = _intrinsics(away / VIEW_SIDE * fine, fine)
    seen = (frames - position[:, None]) @ rotation.transpose(0, 2, 1)
    fine_images = np.stack([_shaded(rasterise(view, corners, intrinsics, fine), view, corners) for view in seen])
    grey = fine_images.reshape(-1, size, 2, size, 2).mean(axis=(2, 4))
    images = np.round(255 * grey).astype(np.uint8)[..., None].repeat(3, axis=-1)
    return _scans([np.zeros((0, 3))] * len(frames), FPS, name="images", modality="images", partial=True, dense=images)


def _measured(
    raster: Raster, view: NDArray[np.float64], faces: NDArray[np.int64], sigma: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Depth [H, W] with drop-out at grazing angles and with noise along the ray."""
    seen = raster.face >= 0
    points = (view[faces[raster.face[seen]]] * raster.barycentric[seen][..., None]).sum(axis=1)
    length = np.linalg.norm(points, axis=1)
    normals = face_normals(view, faces)[raster.face[seen]]
    facing = np.abs((normals * points).sum(axis=1)) / length
    kept = rng.random(len(points)) < ((facing - GRAZING) / (CLEAR - GRAZING)).clip(0, 1)
    measured = raster.depth[seen] * (1 + sigma * rng.standard_normal(len(points)) / length)
    depth = np.zeros_like(raster.depth)
    depth[seen] = np.where(kept, measured.clip(NEAR / 2), 0.0)
    return depth


def _shaded(raster: Raster, view: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """Lambert shading [H, W] from 0 to 1 with smooth normals that face the camera; 0 where there is no surface."""
    seen = raster.face >= 0
    corners, weights = faces[raster.face[seen]], raster.barycentric[seen][..., None]
    normals = (vertex_normals(view, faces)[corners] * weights).sum(axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    rays = (view[corners] * weights).sum(axis=1)
    normals *= np.where((normals * rays).sum(axis=1) > 0, -1.0, 1.0)[:, None]
    light = np.array(_LIGHT) / np.linalg.norm(_LIGHT)
    image = np.zeros(raster.depth.shape)
    image[seen] = _AMBIENT + (1 - _AMBIENT) * (normals @ light).clip(0.0)
    return image


def _cameras(azimuth: NDArray[np.float64], elevation: float, distance: float) -> tuple[NDArray, NDArray]:
    """Rotations [T, 3, 3] and positions [T, 3] of `core.data.cameras`."""
    around = torch.from_numpy(np.asarray(azimuth, dtype=np.float64))[None]
    cameras: Cameras = cameras_at(around, torch.full_like(around, elevation), torch.full_like(around, distance))
    return cameras.rotation[0].numpy(), cameras.position[0].numpy()


def _intrinsics(focal: float, size: int) -> NDArray[np.float64]:
    return np.array([[focal, 0, (size - 1) / 2], [0, focal, (size - 1) / 2], [0, 0, 1]])


def _noisy(points: NDArray[np.float64], sigma: float, rng: np.random.Generator) -> list[NDArray[np.float64]]:
    return list(points + sigma * rng.standard_normal(points.shape))


def _scans(points: list[NDArray], fps: float, **about: object) -> ScanSequence:
    frozen = []
    for frame in points:
        values = frame.astype(np.float32)
        values.setflags(write=False)
        frozen.append(values)
    return ScanSequence(tuple(frozen), fps, **about)  # type: ignore[arg-type]


def _checked(
    vertices: ArrayLike, faces: ArrayLike, sigma: float = 0.0, count: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    frames, corners = np.asarray(vertices, dtype=np.float64), np.asarray(faces, dtype=np.int64)
    if frames.ndim != 3 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise DataError(f"The vertices have shape {frames.shape}, expected frames x vertices x 3.")
    if corners.ndim != 2 or corners.shape[1] != 3 or len(corners) == 0:
        raise DataError("The mesh has no triangles, so it cannot be scanned; give faces of three vertices.")
    if corners.min() < 0 or corners.max() >= frames.shape[1]:
        raise DataError(f"The faces refer to vertices outside 0 to {frames.shape[1] - 1}.")
    if not np.isfinite(frames).all():
        raise DataError("The sequence has vertices that are not finite numbers, so it cannot be scanned.")
    if not (np.isfinite(sigma) and sigma >= 0) or count < 1:
        raise DataError(f"{count} points with noise {sigma} is out of range; ask for 1 or more, noise 0 or more.")
    return frames, corners
