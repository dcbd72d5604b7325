"""Points of a shape from images: the outline is seen, the thickness behind it estimated.

One image shows no depth, but limbs and bodies are about as thick as they are wide: the outline is filled with a
surface whose squared height solves a Poisson equation, which makes a half cylinder of a strip and a half ellipsoid of a
disc (inflation, after Igarashi et al. 1999), and the far side mirrors the near one. The points are then used like a
scan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import label, zoom
from scipy.sparse.linalg import splu

from core.geometry.image_camera import FRONT, VIEW_SIDE, camera_axes

SIDE = 96  # pixels a side of the lifted square
LEAST_CONTRAST = 0.08  # of the grey range, between shape and background
LARGEST = 0.6  # fraction of the image: a larger shape means that the background was not found
SMALLEST = 20  # pixels of a part


def lifted_points(images: NDArray[np.uint8]) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]] | None:
    """Points [N_t, 3] of the surface in each of images [T, H, W, 3], the near side first, and the camera's place [3].

    The camera is that of `image_camera`; the middle square shows VIEW_SIDE around the origin. None if frame 0 shows no
    shape in front of an even background.
    """
    axes = camera_axes()
    frames = []
    for image in images:
        mask = silhouette(image)
        rows, columns = np.nonzero(mask)
        pixel = VIEW_SIDE / len(mask)
        x, y = ((values + 0.5) * pixel - VIEW_SIDE / 2 for values in (columns, rows))
        height = inflated(mask) * pixel
        sides = []
        for away in (-height, height):
            along = 1 + away / FRONT[2]  # the ray through the pixel
            sides.append(np.stack([x * along, y * along, away], axis=1) @ axes)
        frames.append(np.concatenate(sides))
    return (frames, -FRONT[2] * axes[2]) if len(frames[0]) >= SMALLEST else None


def middle_square(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[SIDE, SIDE] grey in 0..1 of the middle square of an image [H, W, 3]."""
    grey = image.astype(np.float64).mean(axis=-1) / 255
    side = min(grey.shape)
    top, left = ((length - side) // 2 for length in grey.shape)
    square: NDArray[np.float64] = zoom(
        grey[top : top + side, left : left + side], SIDE / side, order=1, grid_mode=True, mode="nearest"
    )
    return square


def silhouette(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """[SIDE, SIDE] what stands out from the border's grey in the middle square; empty where nothing does clearly."""
    from skimage.filters import threshold_otsu  # trainings run without it

    square = middle_square(image)
    border = np.concatenate([square[0], square[-1], square[:, 0], square[:, -1]])
    off = np.abs(square - np.median(border))
    nothing = np.zeros((SIDE, SIDE), dtype=bool)
    if np.ptp(off) < LEAST_CONTRAST:
        return nothing
    # Half of Otsu's threshold: shading makes parts of a shape nearly as dark as the background.
    mask = off > max(0.5 * threshold_otsu(off), LEAST_CONTRAST / 2)
    if mask.mean() > LARGEST:
        return nothing
    parts, _ = label(mask)
    result: NDArray[np.bool_] = mask & (np.bincount(parts.ravel())[parts] >= SMALLEST)
    return result


def inflated(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Heights [N] in pixels at the N pixels of a mask, in the order of np.nonzero."""
    index = np.full((mask.shape[0] + 2, mask.shape[1] + 2), -1)
    inner = index[1:-1, 1:-1]
    count = int(mask.sum())
    inner[mask] = np.arange(count)
    if not count:
        return np.zeros(0)
    here = [np.arange(count)]
    there = [np.arange(count)]
    values = [np.full(count, 4.0)]
    for rows, columns in ((slice(2, None), slice(1, -1)), (slice(None, -2), slice(1, -1)),
                          (slice(1, -1), slice(2, None)), (slice(1, -1), slice(None, -2))):  # fmt: skip
        beside = index[rows, columns][mask]
        inside = beside >= 0
        here.append(np.flatnonzero(inside))
        there.append(beside[inside])
        values.append(np.full(int(inside.sum()), -1.0))
    system = sparse.csc_matrix((np.concatenate(values), (np.concatenate(here), np.concatenate(there))))
    result: NDArray[np.float64] = np.sqrt(splu(system).solve(np.full(count, 2.0)).clip(0.0))
    return result
