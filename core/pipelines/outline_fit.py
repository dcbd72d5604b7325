"""Bends bodies of the bank to outlines in images, and follows the outlines from frame to frame.

As-rigid fits from stiff to soft: the rim of the surface is drawn to the outline and the outline draws the nearest rim,
both in the plane of the image only. How deep things lie, and what is hidden, stays as the body has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.spatial import KDTree

from core.geometry.image_camera import FRONT, VIEW_SIDE, camera_axes
from core.geometry.rasteriser import Raster
from core.geometry.soft_arap import SoftArap
from core.pipelines.body_fit import FittedBody
from core.pipelines.body_search import Floats, PlacedBody
from core.pipelines.outline_search import ImageOutline, Mask, disagreement, drawn_by_camera, in_camera
from core.pipelines.temporal import smooth_displacements

# Weight of the outline beside the cotangent weights of edges, and distance at which a match counts half, in turn.
LEVELS = ((0.05, 0.1), (0.1, 0.08), (0.3, 0.05), (1.0, 0.03))
FOLLOWING = ((0.1, 0.06), (0.3, 0.04), (1.0, 0.03))
ITERATIONS = 3
ALIKE = 0.3  # cosine between the directions in which two rims face, at the least, for a match
STRETCHED = 1.0  # of the disagreement, for each share by which a body's edges had to change
HELD = 0.02  # weight that keeps all vertices from frame to frame
TRUST, UNSEEN_TRUST = 0.5, 0.05  # weight of a frame beside smoothness in time: with an outline and without


def bend_to_outline(
    placed: Sequence[PlacedBody],
    outline: ImageOutline,
    check_cancelled: Callable[[], None] = lambda: None,
    on_better: Callable[[FittedBody], None] = lambda body: None,
) -> list[FittedBody]:
    """Bodies bent to an image's outline, those that agree with it best first.

    `on_better` is called with each that agrees better than those before it.
    """
    bent: list[FittedBody] = []
    for body in placed:
        check_cancelled()
        faces = body.faces.astype(np.int64)
        solver = SoftArap(body.vertices, faces)
        pose = _bent(solver, solver.rest, faces, outline, LEVELS)
        length = np.linalg.norm(pose[solver.start] - pose[solver.end], axis=1)
        stretch = float(np.abs(length / np.linalg.norm(solver.edges, axis=1).clip(1e-9) - 1).mean())
        misfit = disagreement(pose, faces, outline) + STRETCHED * stretch
        bent.append(FittedBody(body.name, np.ascontiguousarray(pose), faces, misfit))
        if misfit == min(one.misfit for one in bent):
            on_better(bent[-1])
    return sorted(bent, key=lambda body: body.misfit)


def follow_outlines(
    body: FittedBody, outlines: Sequence[ImageOutline], check_cancelled: Callable[[], None] = lambda: None
) -> Floats:
    """The body's vertices [T, V, 3] in all frames, from those of frame 0 on.

    Each frame is bent on its own, so that the motion is smoothed afterwards; frames without an outline are filled in.
    """
    solver = SoftArap(body.vertices, body.faces)
    poses = [body.vertices]
    for outline in outlines[1:]:
        check_cancelled()
        pose = poses[-1]
        if outline.mask.any():
            pose = _bent(solver, _shifted(pose, body.faces, outline), body.faces, outline, FOLLOWING, held=HELD)
        poses.append(pose)
    trust = np.array([TRUST if outline.mask.any() else UNSEEN_TRUST for outline in outlines])
    return smooth_displacements(np.stack(poses), trust)


def _bent(
    solver: SoftArap,
    pose: Floats,
    faces: NDArray[np.int64],
    outline: ImageOutline,
    levels: Sequence[tuple[float, float]],
    held: float = 0.0,
) -> Floats:
    border, outward = _rim_of_mask(outline.mask)
    tree = KDTree(border)
    axes = camera_axes()
    for weight, reach in levels:
        drawn = drawn_by_camera(pose, faces, len(outline.mask))
        rim, facing, attachment = _rim_of_surface(drawn, faces, len(pose))
        if not len(rim):
            return pose
        rows, offsets = _matches(rim, facing, border, outward, tree)
        here = attachment[rows]
        places = here @ pose
        depth = in_camera(places)[:, 2]
        pixel = VIEW_SIDE / len(outline.mask) * depth / FRONT[2]  # what a pixel is at this depth
        moved = (offsets * pixel[:, None]) @ axes[:2]
        apart = np.linalg.norm(moved, axis=1)
        share = weight * len(pose) / max(len(rows), 1) * 0.3 / (1 + (apart / reach) ** 2)
        matrix, targets, weights = [here], [places + moved], [share]
        if held:
            matrix.append(sparse.identity(len(pose), format="csr"))
            targets.append(pose)
            weights.append(np.full(len(pose), held))
        system = solver.attached(sparse.vstack(matrix).tocsr(), np.concatenate(weights))
        pose = solver.fit(pose, system, np.concatenate(targets), ITERATIONS)
    return pose


def _matches(
    rim: Floats, facing: Floats, border: Floats, outward: Floats, tree: KDTree
) -> tuple[NDArray[np.int64], Floats]:
    """Rows of the rim and the way each has to go, in pixels: to the border, and from the border to the rim."""
    near = np.asarray(tree.query(rim)[1])
    agree = np.einsum("ni,ni->n", facing, outward[near]) > ALIKE
    back = np.asarray(KDTree(rim).query(border)[1])
    also = np.einsum("ni,ni->n", facing[back], outward) > ALIKE
    rows = np.concatenate([np.flatnonzero(agree), back[also]])
    offsets = np.concatenate([border[near[agree]] - rim[agree], border[also] - rim[back[also]]])
    return rows, offsets


def _rim_of_mask(mask: Mask) -> tuple[Floats, Floats]:
    """Pixels (column, row) at the border of a mask [N, 2], and the directions in which they face [N, 2]."""
    rim = mask & ~binary_erosion(mask)
    rows, columns = np.nonzero(rim)
    smooth = gaussian_filter(mask.astype(np.float64), 1.5)
    slope = -np.stack([np.gradient(smooth, axis=1), np.gradient(smooth, axis=0)], axis=-1)[rows, columns]
    slope /= np.linalg.norm(slope, axis=1, keepdims=True).clip(1e-9)
    return np.stack([columns, rows], axis=1).astype(np.float64), slope


def _rim_of_surface(drawn: Raster, faces: NDArray[np.int64], count: int) -> tuple[Floats, Floats, sparse.csr_matrix]:
    """The same of a drawn surface, with the place on it that each pixel shows as weights [N, V] of its vertices."""
    rim, facing = _rim_of_mask(drawn.face >= 0)
    columns, rows = rim.astype(np.int64).T
    corners, share = faces[drawn.face[rows, columns]], drawn.barycentric[rows, columns]
    index = np.repeat(np.arange(len(rim)), 3)
    return rim, facing, sparse.csr_matrix((share.ravel(), (index, corners.ravel())), (len(rim), count))


def _shifted(pose: Floats, faces: NDArray[np.int64], outline: ImageOutline) -> Floats:
    """The pose moved in the plane of the image so that the middles of both outlines agree."""
    mask = drawn_by_camera(pose, faces, len(outline.mask)).face >= 0
    if not mask.any():
        return pose
    away = [np.mean(np.nonzero(one), axis=1)[::-1] for one in (outline.mask, mask)]
    result: Floats = pose + ((away[0] - away[1]) * outline.pixel) @ camera_axes()[:2]
    return result
