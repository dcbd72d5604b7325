"""The classical baseline of a reconstruction: a screened Poisson surface of frame 0, tracked as rigidly as possible.

Frame 0's points get normals from local planes and a screened Poisson surface (pymeshlab; Kazhdan and Hoppe 2013).
Normals face the camera where it is known. Otherwise they are oriented along a minimum spanning tree and estimated
again from the Poisson surface several times (iterated Poisson, Hou et al. 2022), since at 512 points the tree alone
turns whole limbs inside out. Voxels get a smoothed iso-surface. The surface then follows later frames by
as-rigid-as-possible registration (Sorkine and Alexa 2007) with soft attachments: to the same surface points where the
scan is tracked, otherwise to nearest points, found again while the surface goes from stiff to soft.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, cKDTree

from core.errors import DataError
from core.evaluation.meshlab import import_pymeshlab
from core.geometry.operators import edge_graph
from core.geometry.sampling import face_normals
from core.geometry.soft_arap import SoftArap, closest, compacted, simplified
from core.observation_kinds import kind_of
from core.sequence import MeshSequence, ScanSequence

_SHELL = 0.7  # share of a surface cell that counts as inside; above a half, so that thin parts stay
_VOXEL_BLUR = 0.7  # standard deviation in cells: removes the stairs, keeps thin parts


@dataclass(frozen=True)
class BaselineSettings:
    """Settings of the baseline; the defaults did best on procedural clips of trained identities."""

    neighbours: int = 6  # points that a normal is estimated from
    rounds: int = 20  # rounds of re-estimating normals from the surface
    camera_neighbours: int = 10  # points per normal estimate where the camera tells the outside
    votes: int = 2  # nearest points to which each face gives its normal
    rough_depth: int = 6  # of the Poisson octree while normals are sought
    depth: int = 7  # of the Poisson octree at the end
    point_weight: float = 4.0  # of the Poisson solve: higher interpolates more closely
    trim: float = 0.08  # a partial scan's surface is cut off this far from its points: beyond, it balloons
    most_faces: int = 4000  # the surface is simplified above this
    smallest_part: float = 0.05  # smaller components, by share of faces, count as noise
    tracked_weight: float = 1.0  # weight of an attachment relative to the cotangent weights of edges
    tracked_iterations: int = 20
    # For untracked scans: (weight of attachments, distance at which one counts half), level by level.
    levels: tuple[tuple[float, float], ...] = ((0.02, 0.3), (0.1, 0.1), (0.5, 0.05), (2.0, 0.03), (5.0, 0.02))
    most_matched: int = 1500  # points of a frame that are used, evenly over their order
    matches_per_level: int = 3
    iterations_per_match: int = 3


def reconstruct_classically(scans: ScanSequence, settings: BaselineSettings | None = None) -> MeshSequence:
    """The tracked surface of a scan in normalised space, the whole shape's centre at the origin.

    Raises DataError for images, for fewer than 10 points in frame 0, and where pymeshlab is missing.
    """
    chosen = settings or BaselineSettings()
    if not kind_of(scans).measured:
        raise DataError(f"{scans.name} holds no points, so the Poisson and ARAP pipeline cannot use it.")
    if scans.voxels is not None:
        vertices, faces = voxel_surface(scans, 0)
        clouds = [voxel_surface(scans, frame)[0] for frame in range(scans.frames)]
    else:
        clouds = [np.asarray(points, dtype=np.float64) for points in scans.points]
        vertices, faces = poisson_surface(clouds[0], chosen, scans.viewpoint)
    vertices, faces = simplified(*_main_parts(vertices, faces, chosen.smallest_part), chosen.most_faces)
    if scans.partial and scans.voxels is None:
        # Only now: libigl simplifies closed surfaces.
        kept = (np.asarray(cKDTree(clouds[0]).query(vertices)[0])[faces] < chosen.trim).all(axis=1)
        if kept.any():
            vertices, faces = _main_parts(vertices, faces[kept], chosen.smallest_part)
    tracks = track(vertices, faces, clouds, scans.tracked, chosen)
    return MeshSequence(tracks.astype(np.float32), faces.astype(np.int32), scans.fps, name=scans.name)


def poisson_surface(
    points: NDArray[np.float64], settings: BaselineSettings, viewpoint: tuple[float, float, float] | None = None
) -> tuple[NDArray, NDArray]:
    """Closed surface (vertices [V, 3], faces [F, 3]) of points [N, 3] around the origin.

    Normals face `viewpoint`, the camera's position, where it is known. Where the Poisson solver finds no surface, the
    points' convex hull is returned.
    """
    if len(points) < 10:
        raise DataError(f"Frame 0 has {len(points)} points, but a Poisson surface needs 10 or more.")
    meshlab = import_pymeshlab("The Poisson and ARAP baseline")
    cloud = meshlab.MeshSet()
    cloud.add_mesh(meshlab.Mesh(points))
    neighbours = settings.neighbours if viewpoint is None else settings.camera_neighbours
    cloud.compute_normal_for_point_clouds(k=min(neighbours, len(points) - 1))
    normals = cloud.current_mesh().vertex_normal_matrix()
    if viewpoint is not None:
        away = np.einsum("ni,ni->n", normals, np.asarray(viewpoint) - points) < 0
        normals = np.where(away[:, None], -normals, normals)
    elif np.einsum("ni,ni->", normals, points) < 0:  # the whole shape's centre is known to be the origin
        normals = -normals
    for _ in range(settings.rounds if viewpoint is None else 0):
        vertices, faces = _poisson(points, normals, settings.rough_depth, settings.point_weight)
        if len(faces):
            normals = _voted_normals(points, normals, vertices, faces, settings)
    vertices, faces = _poisson(points, normals, settings.depth, settings.point_weight)
    if len(faces) < 4:
        hull = ConvexHull(points)
        return points[hull.vertices], np.searchsorted(hull.vertices, hull.simplices)
    return vertices, faces


def _voted_normals(
    points: NDArray, normals: NDArray, vertices: NDArray, faces: NDArray, settings: BaselineSettings
) -> NDArray[np.float64]:
    """Unit normals [N, 3], the mean of the faces nearest to each point; the old normal where there is none."""
    count = min(settings.votes, len(points))
    near = np.asarray(cKDTree(points).query(vertices[faces].mean(axis=1), k=np.arange(1, count + 1))[1])
    votes = np.repeat(face_normals(vertices, faces), count, axis=0)
    total = 1e-3 * normals + np.stack(
        [np.bincount(near.ravel(), votes[:, axis], minlength=len(points)) for axis in range(3)], axis=-1
    )
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)


def _poisson(
    points: NDArray[np.float64], normals: NDArray[np.float64], depth: int, point_weight: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Screened Poisson surface (vertices [V, 3], faces [F, 3]) of oriented points; empty where there is none."""
    meshlab = import_pymeshlab("The Poisson and ARAP baseline")
    solver = meshlab.MeshSet()
    solver.add_mesh(meshlab.Mesh(points, v_normals_matrix=normals))
    try:
        solver.generate_surface_reconstruction_screened_poisson(
            depth=depth, pointweight=point_weight, preclean=True, threads=1
        )
    except meshlab.PyMeshLabException:
        return np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)
    surface = solver.current_mesh()
    vertices, faces = surface.vertex_matrix(), surface.face_matrix().astype(np.int64)
    return (vertices, faces) if np.isfinite(vertices).all() else (vertices[:0], faces[:0])


def voxel_surface(scans: ScanSequence, frame: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Smoothed surface (vertices [V, 3], faces [F, 3]) of one frame's voxel grid, in the scan's units.

    The grid may be solid, or hold only the cells that the surface passes through; its inside is then filled.
    """
    from skimage.measure import marching_cubes

    assert scans.voxels is not None
    shell = np.pad(scans.voxels[frame], 2)
    if not shell.any():
        raise DataError(f"The voxels of frame {frame} are empty; leave that frame out.")
    inside = binary_fill_holes(shell) & ~shell
    grid = gaussian_filter(inside + _SHELL * shell, _VOXEL_BLUR)
    level = min(0.5, 0.5 * float(grid.max()))
    vertices, faces, _, _ = marching_cubes(grid, level, gradient_direction="ascent")
    cell = scans.voxel_side / scans.voxels.shape[1]
    corner = np.asarray(scans.voxel_center) - scans.voxel_side / 2
    return corner + (vertices.astype(np.float64) - 2 + 0.5) * cell, faces.astype(np.int64)


def track(
    vertices: NDArray, faces: NDArray, clouds: Sequence[NDArray], tracked: bool, settings: BaselineSettings
) -> NDArray[np.float64]:
    """Tracks [T, V, 3] of frame 0's surface, fitted to the observed points [N_t, 3] of one frame after the other.

    With `tracked`, row i is the same surface point in every frame. A frame without points keeps the pose before it.
    """
    rest = np.asarray(vertices, dtype=np.float64)
    body = SoftArap(rest, faces)
    poses = [rest]
    if tracked:
        attachment, _ = closest(rest, faces, clouds[0])
        solve = body.attached(attachment, np.full(len(clouds[0]), settings.tracked_weight))
        for cloud in clouds[1:]:
            poses.append(body.fit(poses[-1], solve, cloud, settings.tracked_iterations))
        return np.stack(poses)
    for every in clouds[1:]:
        pose = poses[-1]
        cloud = every[:: max(1, math.ceil(len(every) / settings.most_matched))]
        for weight, reach in settings.levels if len(cloud) else ():
            for _ in range(settings.matches_per_level):
                attachment, distance = closest(pose, faces, cloud)
                # The total weight does not grow with the number of points.
                share = weight * min(1.0, 500 / len(cloud)) / (1 + (distance / reach) ** 2)
                pose = body.fit(pose, body.attached(attachment, share), cloud, settings.iterations_per_match)
        poses.append(pose)
    return np.stack(poses)


def _main_parts(vertices: NDArray, faces: NDArray, smallest: float) -> tuple[NDArray, NDArray]:
    """The components with at least the share `smallest` of the faces, or the largest one; without unused vertices."""
    label = connected_components(edge_graph(faces, len(vertices)), directed=False)[1][faces[:, 0]]
    share = np.bincount(label) / len(faces)
    return compacted(vertices, faces[(share[label] >= smallest) | (share[label] == share.max())])
