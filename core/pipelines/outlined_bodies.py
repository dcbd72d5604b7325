"""Shapes from images: bodies of the bank are bent to the outline in frame 0 and follow it through all frames.

Several bodies may have the same outline. The first result is the one with the largest expected overlap with all likely
bodies. The worse they fit the image, the more the outline itself decides the thickness
(`core.pipelines.inflated_outline`). Points on the moving body are then used like tracked points of a whole shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.geometry.closed_surface import large_parts
from core.geometry.isosurface import extract_isosurface
from core.geometry.occupancy import is_inside, uniform_box_points
from core.geometry.sampled_field import Field
from core.geometry.sampling import sample_surface
from core.geometry.silhouettes import SMALLEST, middle_square, silhouette
from core.geometry.soft_arap import closest
from core.geometry.solid_parts import one_solid
from core.pipelines.body_fit import FittedBody, in_company
from core.pipelines.body_search import BodyPoses
from core.pipelines.image_features import installed_features
from core.pipelines.inflated_outline import InflatedOutline
from core.pipelines.outline_fit import bend_to_outline, follow_outlines
from core.pipelines.outline_search import ImageOutline, find_outlined
from core.pipelines.scan_bodies import expected_overlap, likelihoods

TRIED = 16  # bodies that are bent to the outline
PROBES = 6000  # places at which insides are compared
LIKELIHOOD = 0.06  # disagreement by which a body is less likely by a factor of e
MOST_MISFIT = 0.8  # beyond, a body says nothing about the shape
TRACKED = 512  # points of a shape that are followed


@dataclass(frozen=True, eq=False)
class OutlinedShape:
    """What images show, by one body of the bank, in normalised space."""

    name: str
    vertices: NDArray[np.float32]  # [V, 3] of frame 0
    faces: NDArray[np.int32]  # [F, 3]
    tracks: NDArray[np.float32]  # [T, N, 3] of points all over it


def outlines_of(images: NDArray[np.uint8]) -> list[ImageOutline]:
    """The outline and the grey of each of images [T, H, W, 3]."""
    return [ImageOutline(silhouette(image), middle_square(image)) for image in images]


def outlined_shapes(
    poses: BodyPoses,
    outlines: Sequence[ImageOutline],
    count: int,
    resolution: int,
    check_cancelled: Callable[[], None] = lambda: None,
    on_better: Callable[[FittedBody], None] = lambda body: None,
) -> list[OutlinedShape]:
    """Up to `count` shapes with the outlines of the images, the likeliest first; none where no body fits.

    `on_better` is as in `bend_to_outline`.
    """
    if outlines[0].mask.sum() < SMALLEST:
        return []
    found = find_outlined(poses, outlines[0], TRIED, check_cancelled, installed_features())
    fits = bend_to_outline(found, outlines[0], check_cancelled, on_better)
    fits = [body for body in fits if body.misfit <= MOST_MISFIT]
    if not fits:
        return []
    places = uniform_box_points(PROBES, np.random.default_rng(0))
    inside = np.stack([is_inside(body.vertices, body.faces, places) for body in fits])
    misfit = np.array([body.misfit for body in fits])
    overlap = expected_overlap(inside, None, misfit, LIKELIHOOD)
    likely = in_company([fits[row] for row in np.argsort(-overlap, kind="stable")], LIKELIHOOD)
    inflated = InflatedOutline.of(outlines[0].mask, places, likelihoods(misfit, LIKELIHOOD) @ inside)
    return [
        _followed(body, inflated.beside(body.with_company, misfit.min()), outlines, resolution, check_cancelled)
        for body in likely[:count]
    ]


def _followed(
    body: FittedBody,
    field: Field,
    outlines: Sequence[ImageOutline],
    resolution: int,
    check_cancelled: Callable[[], None],
) -> OutlinedShape:
    """The surface of a field around a body, which the outlines move as they do the body."""
    try:
        surface = extract_isosurface(field, resolution, level=0.0, chunk=16_384, mend=one_solid)
        vertices, faces = large_parts(*surface)
    except MeshError:  # bodies that agree in nothing
        vertices, faces = body.vertices, body.faces
    check_cancelled()
    poses = follow_outlines(body, outlines, check_cancelled)
    points = sample_surface(vertices, faces, TRACKED, np.random.default_rng(0)).at(vertices)
    attachment, _ = closest(body.vertices, body.faces, points)
    tracks = np.stack([points + attachment @ (pose - poses[0]) for pose in poses])
    return OutlinedShape(body.name, vertices.astype(np.float32), faces.astype(np.int32), tracks.astype(np.float32))
