"""Pictures lifted to points: the outline where the camera sees it, as thick as it is wide."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.data.scan_simulation import simulate_images
from core.geometry.image_camera import FRONT, VIEW_SIDE
from core.geometry.silhouettes import SIDE, inflated, lifted_points, silhouette
from tests.evaluation.test_reconstruction_metrics import sphere


def picture(mask: NDArray[np.bool_], shape: int = 200, background: int = 10) -> NDArray[np.uint8]:
    return np.where(mask, shape, background).astype(np.uint8)[..., None].repeat(3, axis=-1)


def disc(radius: float, size: int = 128, width: int | None = None) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:size, : width or size]
    return (rows - size / 2 + 0.5) ** 2 + (columns - (width or size) / 2 + 0.5) ** 2 < (radius * size) ** 2


def test_a_strip_becomes_a_half_cylinder() -> None:
    mask = np.zeros((81, 41), dtype=bool)
    mask[:, 10:31] = True
    rows, columns = np.nonzero(mask)
    middle = rows == 40
    wanted = np.sqrt(11.0**2 - (columns[middle] - 20.0) ** 2)
    assert np.abs(inflated(mask)[middle] - wanted).max() < 0.1
    assert len(inflated(np.zeros((4, 4), dtype=bool))) == 0


def test_a_ball_comes_back_as_a_flattened_ball_where_it_is() -> None:
    vertices, faces = sphere()
    moved = np.stack([0.7 * vertices, 0.7 * vertices + [0.1, 0.2, 0.0]])
    scans = simulate_images(moved, faces, *FRONT)
    assert scans.images is not None
    lifted = lifted_points(scans.images)
    assert lifted is not None
    frames, camera = lifted
    assert np.isclose(np.linalg.norm(camera), FRONT[2])
    radius = np.linalg.norm(frames[0], axis=1)
    assert radius.min() > 0.2 and radius.max() < 0.38
    assert np.allclose(frames[0].mean(axis=0), 0, atol=0.02)
    near, far = np.split(frames[0] @ camera, 2)
    assert near.mean() > far.mean()
    across = np.cross(camera, [0.0, 1.0, 0.0])
    shift = (frames[1].mean(axis=0) - frames[0].mean(axis=0)) @ np.stack([across / np.linalg.norm(across), [0, 1, 0]]).T
    assert np.allclose(shift, np.array([0.1, 0.2, 0.0]) @ np.stack([across / np.linalg.norm(across), [0, 1, 0]]).T,
                       atol=0.05)  # fmt: skip


@pytest.mark.parametrize("size", [(64, None), (300, 180), (90, 400)])
def test_pictures_of_any_size_are_cut_to_their_middle_square(size: tuple[int, int | None]) -> None:
    mask = silhouette(picture(disc(0.2, *size)))
    assert mask.shape == (SIDE, SIDE)
    assert mask[SIDE // 2, SIDE // 2]


def test_a_bright_background_is_background_too() -> None:
    mask = silhouette(picture(disc(0.25), shape=30, background=240))
    assert abs(mask.mean() - np.pi * 0.25**2) < 0.02


@pytest.mark.parametrize("image", [np.zeros((50, 50, 3)), np.full((50, 50, 3), 255), np.random.default_rng(0).integers(
    0, 255, (50, 50, 3))])  # fmt: skip
def test_pictures_without_a_shape_before_a_background_are_not_lifted(image: NDArray) -> None:
    assert lifted_points(image[None].astype(np.uint8)) is None


def test_specks_are_no_shape() -> None:
    mask = disc(0.2)
    mask[3:5, 3:5] = True
    found = silhouette(picture(mask))
    assert found.any() and not found[:8, :8].any()


def test_the_scale_is_that_of_training() -> None:
    lifted = lifted_points(picture(disc(0.2))[None])
    assert lifted is not None
    assert np.isclose(np.linalg.norm(lifted[0][0], axis=1).max(), 0.2 * VIEW_SIDE, rtol=0.1)
