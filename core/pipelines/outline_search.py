"""Which bodies of the bank, in which pose, size and direction, have the outline that an image shows.

Every pose under every heading is laid into frame 0's box, splatted coarsely and compared; the best are drawn properly,
moved, sized, tilted and turned in small steps, and judged by the overlap of outlines and by how the shading of the
image agrees with that of their surface.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.geometry.image_camera import FRONT, VIEW_SIDE, camera_axes
from core.geometry.rasteriser import Raster, rasterise
from core.geometry.sampling import vertex_normals
from core.pipelines.body_search import BodyPoses, Floats, PlacedBody, best_poses, boxed, turns_about_y
from core.pipelines.image_features import ImageFeatures

HEADINGS = 16
COARSE_SIDE, COARSE_CELLS = 1.2, 22  # of the square in which splats are compared, and its cells
SPLAT = 200  # vertices of a body that are splatted
CHUNK = 2048  # poses compared at once
OF_ONE = 10  # of one body that are drawn properly
DRAWN = 96  # poses that are drawn properly
TURNED = 32  # of them, those that are also turned and tilted
TURN, TILT = 0.2, 0.15  # radians
KEPT_OF_ONE = 3
LIGHT = np.array([0.35, -0.70, -0.62])  # where light usually comes from, in camera axes: from above, behind the camera
SHADING = 0.3  # weight of a perfect agreement of shadings beside that of outlines
BOXED = 1.2  # weight of what a body leaves of frame 0's box, or what of it lies outside
AMBIENT = 0.25  # brightness of what no light falls on, in drawings
# Drawn poses that are compared by features, and the weight of these beside the outlines; not tuned on any model.
COMPARED, FEATURES = 64, 1.0
MASK_CELLS = 64  # a side of the images that are drawn

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ImageOutline:
    """An image at work: the outline and the grey inside it, in a square of VIEW_SIDE around the origin."""

    mask: Mask  # [S, S]
    grey: Floats  # [S, S] in 0..1

    @property
    def pixel(self) -> float:
        return VIEW_SIDE / len(self.mask)


def find_outlined(
    poses: BodyPoses,
    outline: ImageOutline,
    count: int,
    check_cancelled: Callable[[], None] = lambda: None,
    features: ImageFeatures | None = None,
) -> list[PlacedBody]:
    """The `count` bodies whose outline agrees best with an image's, in normalised space, best first.

    With `features`, renderings of the best are also compared with what the image shows inside the outline.
    """
    usable = poses.usable
    if not len(usable) or not outline.mask.any():
        return []
    rows, headings = _coarsely(poses, outline.mask, check_cancelled)
    small = reduced(outline, MASK_CELLS)
    tried = []
    for row, heading in zip(rows, headings, strict=True):
        check_cancelled()
        vertices, faces = poses.mesh(row)
        tried.append((*_placed(vertices, faces, small, heading, 0.0), row, heading))
    tried.sort(key=lambda one: one[0])
    for misfit, _, row, heading in tried[:TURNED]:
        check_cancelled()
        vertices, faces = poses.mesh(row)
        best = misfit
        for turn, tilt in ((TURN, 0.0), (-TURN, 0.0), (0.0, TILT), (0.0, -TILT)):
            other = _placed(vertices, faces, small, heading + turn, tilt)
            if other[0] < best:
                best = other[0]
                tried.append((*other, row, heading))
    if features is not None:
        tried = _compared(features, poses, tried, outline, check_cancelled)
    found: list[PlacedBody] = []
    taken: dict[str, int] = {}
    seen: set[tuple[int, float]] = set()
    for misfit, place, row, heading in sorted(tried, key=lambda one: one[0]):
        name = poses.name(row)
        if len(found) == count:
            break
        if taken.get(name, 0) < KEPT_OF_ONE and (row, heading) not in seen:
            seen.add((row, heading))
            taken[name] = taken.get(name, 0) + 1
            found.append(PlacedBody(name, place, poses.mesh(row)[1], misfit))
    return found


def _compared(
    features: ImageFeatures,
    poses: BodyPoses,
    tried: list[tuple[float, Floats, int, float]],
    outline: ImageOutline,
    check_cancelled: Callable[[], None],
) -> list[tuple[float, Floats, int, float]]:
    """The best of those tried (misfit, vertices, pose and heading), with how unlike the image they look added."""
    best = sorted(tried, key=lambda one: one[0])[:COMPARED]
    drawn = []
    for _, place, row, _ in best:
        check_cancelled()
        drawn.append(shaded(place, poses.mesh(row)[1], len(outline.mask)))
    unlike = features.unlike(outline.grey * outline.mask, np.stack(drawn))
    return [(misfit + FEATURES * float(apart), *rest) for (misfit, *rest), apart in zip(best, unlike, strict=True)]  # type: ignore[misc]


def disagreement(vertices: Floats, faces: NDArray[np.integer], outline: ImageOutline) -> float:
    """How badly a surface agrees with an image: 1 less the overlap of outlines, and a little for its shading."""
    drawn = drawn_by_camera(vertices, faces, len(outline.mask))
    mask = drawn.face >= 0
    both = mask & outline.mask
    overlap = both.sum() / max(int((mask | outline.mask).sum()), 1)
    shading = _shading(vertices, faces, drawn, both, outline.grey)
    return float(1 - overlap + SHADING * (1 - shading) + BOXED * misplaced(vertices))


def drawn_by_camera(vertices: Floats, faces: NDArray[np.integer], cells: int) -> Raster:
    """The surface as the images' camera sees it, in a square of that many cells a side."""
    focal = FRONT[2] / VIEW_SIDE * cells
    intrinsics = np.array([[focal, 0, (cells - 1) / 2], [0, focal, (cells - 1) / 2], [0, 0, 1]])
    return rasterise(in_camera(vertices), faces, intrinsics, cells)


def in_camera(vertices: Floats) -> Floats:
    """Places [..., 3] of normalised space in the axes of the images' camera: right, down, forward from it."""
    result: Floats = vertices @ camera_axes().T + np.array([0.0, 0.0, FRONT[2]])
    return result


def reduced(outline: ImageOutline, cells: int) -> ImageOutline:
    """A smaller copy."""
    rows = ((np.arange(cells) + 0.5) / cells * len(outline.mask)).astype(np.int64)
    return ImageOutline(outline.mask[np.ix_(rows, rows)], outline.grey[np.ix_(rows, rows)])


def _coarsely(
    poses: BodyPoses, mask: Mask, check_cancelled: Callable[[], None]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Poses, and the heading of each, whose splatted outline is like the mask when it fills frame 0's box."""
    wanted = torch.from_numpy(_coarse_mask(mask)).reshape(-1)
    angles = 2 * np.pi * np.arange(HEADINGS) / HEADINGS
    axes = camera_axes()[:2]
    turns = torch.from_numpy(turns_about_y(np.asarray(angles, dtype=np.float64)).astype(np.float32))
    across = torch.from_numpy(axes.astype(np.float32))
    scores = []
    usable = poses.usable
    step = CHUNK // HEADINGS
    for start in range(0, len(usable), step):
        check_cancelled()
        some = poses.places[usable[start : start + step], :SPLAT]
        turned = torch.einsum("hij,cnj->chni", turns, some).flatten(0, 1)
        splat = _splatted(boxed(turned)[0] @ across.T)
        common = splat @ wanted
        scores.append(common / (splat.sum(dim=1) + wanted.sum() - common).clamp_min(1e-6))
    order = torch.cat(scores).argsort(descending=True).tolist()
    return best_poses(poses, usable, angles, order, OF_ONE, DRAWN)


def _splatted(flat: Tensor) -> Tensor:
    """Points [C, N, 2] in the plane of the image splatted into COARSE_SIDE around the origin and closed, flat."""
    cell = ((flat / COARSE_SIDE + 0.5) * COARSE_CELLS).long().clamp(0, COARSE_CELLS - 1)
    grid = torch.zeros(len(flat), COARSE_CELLS * COARSE_CELLS)
    grid.scatter_(1, cell[..., 1] * COARSE_CELLS + cell[..., 0], 1.0)
    image = grid.reshape(-1, 1, COARSE_CELLS, COARSE_CELLS)
    image = torch.nn.functional.max_pool2d(image, 3, 1, 1)
    image = -torch.nn.functional.max_pool2d(-image, 3, 1, 1)
    return image.flatten(1)


def _coarse_mask(mask: Mask) -> NDArray[np.float32]:
    """Share of the mask in each of the coarse cells."""
    rows, columns = ((np.asarray(index) + 0.5) / len(mask) - 0.5 for index in np.nonzero(mask))
    cell = [((values * VIEW_SIDE / COARSE_SIDE + 0.5) * COARSE_CELLS).astype(np.int64) for values in (rows, columns)]
    grid = np.zeros((COARSE_CELLS, COARSE_CELLS), dtype=np.float32)
    np.add.at(grid, tuple(index.clip(0, COARSE_CELLS - 1) for index in cell), 1.0)
    whole = (COARSE_SIDE / COARSE_CELLS / VIEW_SIDE * len(mask)) ** 2
    return (grid / whole).clip(0, 1)


def _placed(
    vertices: Floats, faces: NDArray[np.integer], outline: ImageOutline, heading: float, tilt: float
) -> tuple[float, Floats]:
    """How badly a body fits under a heading and a tilt, and its vertices, moved and sized to the outline."""
    place = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    place = place @ turns_about_y(np.array([heading]))[0].T
    right, down, _ = axes = camera_axes()
    if tilt:
        cosine, sine = np.cos(tilt), np.sin(tilt)
        roll = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        place = place @ (axes.T @ roll @ axes).T
    place = place / np.ptp(place, axis=0).max()
    target = _moments(outline.mask)
    for _ in range(3):
        mask = drawn_by_camera(place, faces, len(outline.mask)).face >= 0
        if not mask.any():
            return 2.0, place
        area, middle = _moments(mask)
        size = np.sqrt(target[0] / area)
        shift = (target[1] - middle * size - (1 - size) * (len(mask) - 1) / 2) * outline.pixel
        place = place * size + shift[0] * right + shift[1] * down
    return disagreement(place, faces, outline), place


def misplaced(vertices: Floats) -> float:
    """How far a surface is from filling frame 0's box, whose longest side is 1."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return float(abs(np.log((high - low).max())) + np.linalg.norm(low + high) / 2)


def _moments(mask: Mask) -> tuple[float, Floats]:
    """Area in pixels and middle (column, row) of a mask."""
    rows, columns = np.nonzero(mask)
    return float(len(rows)), np.array([columns.mean(), rows.mean()])


def _shading(vertices: Floats, faces: NDArray[np.integer], drawn: Raster, both: Mask, grey: Floats) -> float:
    """Correlation of an image's grey with the surface's brightness where outlines overlap."""
    if both.sum() < 20:
        return 0.0
    bright, shown = _brightness(vertices, faces, drawn, both), grey[both]
    if bright.std() < 1e-6 or shown.std() < 1e-6:
        return 0.0
    return float(np.corrcoef(bright, shown)[0, 1])


def _brightness(vertices: Floats, faces: NDArray[np.integer], drawn: Raster, where: Mask) -> Floats:
    """How bright a drawn surface is [n] at the pixels of a mask that it covers."""
    corners, share = faces[drawn.face[where]], drawn.barycentric[where][..., None]
    normals = (vertex_normals(vertices, faces)[corners] * share).sum(axis=1) @ camera_axes().T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    normals = np.where(normals[:, 2:] > 0, -normals, normals)
    result: Floats = (normals @ (LIGHT / np.linalg.norm(LIGHT))).clip(0)
    return result


def shaded(vertices: Floats, faces: NDArray[np.integer], cells: int) -> Floats:
    """A drawing [cells, cells] of a surface as the images' camera sees it, grey in 0..1 on black."""
    drawn = drawn_by_camera(vertices, faces, cells)
    drawing, seen = np.zeros((cells, cells)), drawn.face >= 0
    drawing[seen] = AMBIENT + (1 - AMBIENT) * _brightness(vertices, faces, drawn, seen)
    return drawing
