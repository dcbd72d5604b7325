"""Frame 0's surface from tracked points of a whole shape, in one piece.

The model's occupancy knows what bodies look like, the points' Gauss field knows where the points are; their sum is
better than either. Where a limb is too thin for both, rods along the edges of the points' graph hold it together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import KDTree

from core.errors import MeshError
from core.geometry.binding import mesh_components
from core.geometry.closed_surface import component_volumes
from core.geometry.gauss_surface import GaussField, point_widths
from core.geometry.isosurface import extract_isosurface
from core.geometry.point_graph import PointGraph
from core.geometry.soft_arap import compacted
from core.sequence import BOX_SIDE

MOST_POINTS = 1024  # that the Gauss field is solved for
MODEL_SHARE = 0.2  # weight of the model's occupancy, relative to the Gauss field of ENOUGH points or more
BESIDE_BODY = 0.5  # factor on the model's occupancy if there is a body, whose own has 1
LEAST_BODY_SHARE = 1.2  # least weight of both then, since a body that was bent to the points knows how thick limbs are
TORN = 0.03  # share of points at broken edges from which on a body is used
ENOUGH = 512  # with fewer points, the model's weight is larger in proportion
MODEL_CELLS = 64  # per side: the model's occupancy is smooth, but slow to evaluate
MODEL_REACH = 0.08  # distance from the points within which it is sampled so finely, elsewhere half as finely
BROKEN = 0.1  # depth below the surface's level at which the sum breaks an edge
ALONG = (0.25, 0.5, 0.75)  # places on an edge at which that is tested
ROD = 0.3  # radius of a rod, in units of the distance between points there
THINNEST = 1.0  # cells: thinner rods would fall to pieces on the grid
THICKEST = 0.012  # of the size: thicker limbs hold together by themselves
SLENDER = 0.5  # width of a point's field on a broken edge, in distances to its neighbours
STEEPNESS = 10.0  # of a rod's field, per unit of length
ROUNDS = 3  # of adding rods between parts that are still separate

Occupancy = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def tracked_surface(
    tracks: NDArray[np.floating],
    model: Occupancy,
    resolution: int,
    check_cancelled: Callable[[], None] = lambda: None,
    body: Occupancy | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices [V, 3] and faces [F, 3] of frame 0, from tracks [T, N, 3] in normalised space; closed.

    `model` maps points [Q, 3] to occupancy logits [Q], and so does a `body` that fits, which knows more than the model.
    Parts that the points' graph joins are connected, parts without points are left out. Raises MeshError if nothing is
    inside.
    """
    points = np.asarray(tracks[0], dtype=np.float64)
    graph = PointGraph.of(tracks)
    prior = _sampled(model, points, check_cancelled)
    if body is not None:
        known, fitted = prior, _sampled(body, points, check_cancelled)
        prior = lambda places: BESIDE_BODY * known(places) + fitted(places)  # noqa: E731
    some = np.sort(np.random.default_rng(0).permutation(len(points))[:MOST_POINTS])
    edges = graph.edges[graph.joined]
    slender = np.zeros(len(points), dtype=bool)
    broken = np.zeros(len(edges), dtype=bool)
    share = MODEL_SHARE * max(1.0, ENOUGH / len(points))
    if body is not None:
        share = max(share, LEAST_BODY_SHARE)
    solid: Occupancy = lambda places: np.zeros(len(places))  # noqa: E731
    for _ in range(2):  # thinner fields break more edges
        width = point_widths(points[some])
        width = np.where(slender[some], np.minimum(width, SLENDER * graph.spacing[some]), width)
        gauss = GaussField(points[some], width)
        check_cancelled()
        solid = lambda places, gauss=gauss: gauss(places) + share * prior(places)  # type: ignore[misc]  # noqa: E731
        broken = _depth(solid, points[edges]) < -BROKEN
        slender[edges[broken]] = True
    rods = slender[edges].any(axis=1)
    radius = (ROD * graph.spacing[edges].mean(axis=1)).clip(None, THICKEST).clip(THINNEST * BOX_SIDE / resolution)
    for _ in range(ROUNDS):
        check_cancelled()
        inside = _with_rods(solid, points[edges[rods]], radius[rods])
        thin = _along(points[edges[rods]], BOX_SIDE / resolution)
        vertices, faces = extract_isosurface(inside, resolution, level=0.0, chunk=16_384, thin=thin)
        vertices, faces = _without_hollows(vertices, faces)
        component = mesh_components(faces, len(vertices))
        of_point = component[np.asarray(KDTree(vertices).query(points)[1])]
        apart = of_point[edges[:, 0]] != of_point[edges[:, 1]]
        if not (apart & ~rods).any():
            break
        rods |= apart
    return _kept(vertices, faces, np.isin(component, of_point))


def too_thin(tracks: NDArray[np.floating]) -> bool:
    """Whether points [T, N, 3] are too few for the thin parts that they show, so that their own field breaks them."""
    points = np.asarray(tracks[0], dtype=np.float64)
    some = np.sort(np.random.default_rng(0).permutation(len(points))[:MOST_POINTS])
    graph = PointGraph.of(tracks)
    edges = graph.edges[graph.joined]
    torn = edges[_depth(GaussField(points[some]), points[edges]) < -BROKEN]
    return len(np.unique(torn)) > TORN * len(points)


def _sampled(model: Occupancy, points: NDArray[np.float64], check_cancelled: Callable[[], None]) -> Occupancy:
    """The model's occupancy minus one half, interpolated from a grid that is finer near the points."""
    corners = np.arange(MODEL_CELLS + 1)
    index = np.stack(np.meshgrid(corners, corners, corners, indexing="ij"), axis=-1)
    places = (index / MODEL_CELLS - 0.5) * BOX_SIDE
    near = np.asarray(KDTree(points).query(places.reshape(-1, 3), distance_upper_bound=MODEL_REACH)[0])
    wanted = np.isfinite(near).reshape(places.shape[:3])
    wanted[::2, ::2, ::2] = True
    logits = np.zeros(wanted.shape)
    asked, found = places[wanted], []
    for start in range(0, len(asked), 16_384):
        check_cancelled()
        found.append(np.asarray(model(asked[start : start + 16_384])))
    logits[wanted] = np.concatenate(found)
    if not np.isfinite(logits).all():
        raise MeshError("The model's occupancy has values that are not finite numbers.")
    half = map_coordinates(logits[::2, ::2, ::2], np.moveaxis(index[~wanted] / 2, -1, 0), order=1, mode="nearest")
    logits[~wanted] = half
    chances = 1 / (1 + np.exp(-logits.clip(-30, 30))) - 0.5

    def sampled(queries: NDArray[np.float64]) -> NDArray[np.float64]:
        places = (queries / BOX_SIDE + 0.5) * MODEL_CELLS
        return np.asarray(map_coordinates(chances, places.T, order=1, mode="nearest"), dtype=np.float64)

    return sampled


def _depth(inside: Occupancy, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The least value [E] of the field along edges [E, 2, 3]."""
    share = np.array(ALONG)[None, :, None]
    places = edges[:, :1] * (1 - share) + edges[:, 1:] * share
    least: NDArray[np.float64] = inside(places.reshape(-1, 3)).reshape(len(edges), -1).min(axis=1)
    return least


def _along(edges: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Places [M, 3] along edges [E, 2, 3], no farther apart than a step."""
    counts = np.ceil(np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1) / step).astype(np.int64) + 1
    share = np.concatenate([np.linspace(0, 1, count) for count in counts] or [np.zeros(0)])[:, None]
    every = np.repeat(edges, counts, axis=0)
    places: NDArray[np.float64] = every[:, 0] * (1 - share) + every[:, 1] * share
    return places


def _with_rods(solid: Occupancy, edges: NDArray[np.float64], radius: NDArray[np.float64]) -> Occupancy:
    """The field joined with rods along edges [E, 2, 3], of radius [E]."""
    start, along = edges[:, 0], edges[:, 1] - edges[:, 0]
    length = np.linalg.norm(along, axis=1)
    reach = length / 2 + radius + 0.03

    def inside(places: NDArray[np.float64]) -> NDArray[np.float64]:
        field = solid(places)
        tree = KDTree(places)
        for number, near in enumerate(tree.query_ball_point(start + along / 2, reach)):
            rows = np.asarray(near, dtype=np.int64)
            offset = places[rows] - start[number]
            share = np.clip(offset @ along[number] / max(length[number] ** 2, 1e-18), 0, 1)
            distance = np.linalg.norm(offset - share[:, None] * along[number], axis=1)
            field[rows] = np.maximum(field[rows], STEEPNESS * (radius[number] - distance))
        return field

    return inside


def _without_hollows(
    vertices: NDArray[np.float32], faces: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The mesh without closed surfaces around bubbles, which are turned inwards."""
    component = mesh_components(faces, len(vertices))
    return _kept(vertices, faces, (component_volumes(vertices, faces, component) > 0)[component])


def _kept(
    vertices: NDArray[np.float32], faces: NDArray[np.int32], wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The parts of a mesh whose vertices are `wanted` [V]."""
    kept, corners = compacted(vertices, faces[wanted[faces[:, 0]]])
    return kept, corners.astype(np.int32)
