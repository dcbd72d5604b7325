"""Bends a body of the bank to a partial scan, judges how likely it is, and completes what was not seen.

As-rigid fits, from stiff to soft, pull the surface to the seen points, and vertices out of space that the camera saw to
be empty. Near the points the shape model determines the surface, away from them the body.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import igl
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import KDTree

from core.geometry.occupancy import is_inside
from core.geometry.sampled_field import Field, sampled_field
from core.geometry.sampling import face_normals, sample_surface
from core.geometry.soft_arap import SoftArap, closest
from core.pipelines.body_search import Floats, PlacedBody, contradictions
from core.pipelines.free_space import FreeSpace
from core.pipelines.seen_side import Extent, SeenSide
from core.sequence import BOX_SIDE

POINTS = 500  # seen points that pull
# Per level: weight of the points, relative to cotangent weights of edges, and distance at which a match counts half.
LEVELS = ((0.05, 0.1), (0.1, 0.08), (0.3, 0.06), (1.0, 0.04), (3.0, 0.03), (8.0, 0.02))
ROUNDS = 3  # of matching at each level
# (levels done, number of bodies that continue, those that agree best). Soft fits make any body agree: when more were
# finished, worse ones were chosen on validation scans.
CHOSEN = ((1, 16), (2, 4))
ITERATIONS = 4
MISPLACED = 0.005  # of the size inside the empty space
FEWEST_FACING = 10
EDGE = 0.51  # half the side of frame 0's box, with a margin
NEAR, FAR = 0.02, 0.07  # distances from the seen points between which the body takes over
TRUST = 0.5  # weight of a chosen body; the rest is the shape model's, which is wrong in other places
FILLING = 0.5  # weight of the body's inside near the points
SURE = 6.0  # logits beyond which a place is inside or outside for certain
STEEPNESS = 100.0  # of the body's field outside, per unit of length
STEEPNESS_INSIDE = 300.0  # so that thin wings and legs count as much as a trunk
COMPANY_CELLS = 44  # per side of the grid that holds the field of all likely bodies
LEAST_SHARE = 0.03  # least probability of a body that counts among them
COMPANY_SHARE = 0.65  # weight of the field of all likely bodies; the rest is the chosen one's
STRETCHED = 0.05  # misfit per relative change of the lengths of a body's edges


@dataclass(frozen=True, eq=False)
class FittedBody:
    """A body bent to what was seen, in normalised space."""

    name: str
    vertices: Floats  # [V, 3]
    faces: NDArray[np.int64]  # [F, 3]
    misfit: float  # as a share of the size: distance of the points, contradictions and stretch
    seen: KDTree | None = None  # the points it was bent to
    company: Field | None = None  # the field of all likely bodies

    def field(self, places: Floats) -> Floats:
        """Logits [Q] at places [Q, 3] of this body alone: positive inside, at most SURE."""
        own = np.full(len(places), -SURE)
        reach = SURE / STEEPNESS  # beyond it the box alone says what the field is
        low, high = self.vertices.min(axis=0) - reach, self.vertices.max(axis=0) + reach
        rows = np.flatnonzero(((places > low) & (places < high)).all(axis=1))
        if len(rows):
            near = np.ascontiguousarray(places[rows])
            apart = np.sqrt(igl.point_mesh_squared_distance(near, self.vertices, self.faces)[0])
            inside = is_inside(self.vertices, self.faces, near)
            own[rows] = np.where(inside, STEEPNESS_INSIDE * apart, -STEEPNESS * apart).clip(-SURE, SURE)
        return own

    def sampled(self, count: int) -> tuple[Floats, Floats]:
        """`count` points of its surface by area [count, 3], always the same, and their normals [count, 3]."""
        samples = sample_surface(self.vertices, self.faces, count, np.random.default_rng(0))
        return samples.at(self.vertices), face_normals(self.vertices, self.faces)[samples.face]

    def with_company(self, places: Floats) -> Floats:
        """The field at places [Q, 3], blended with that of all likely bodies."""
        own = self.field(places)
        return own if self.company is None else own + COMPANY_SHARE * (self.company(places) - own)

    def blended(self, logits: NDArray[np.floating], places: Floats, trust: float = TRUST) -> Floats:
        """Occupancy logits [Q] at places [Q, 3], blended with the body's own, which count away from the seen points.

        Far from them, the body's own have the weight `trust`.
        """
        assert self.seen is not None, "only a body that was bent to points can be blended with what they say"
        result = np.clip(np.asarray(logits, dtype=np.float64), -SURE, SURE)
        every = np.ascontiguousarray(places, dtype=np.float64)
        share = ((np.asarray(self.seen.query(every)[0]) - NEAR) / (FAR - NEAR)).clip(0, 1)
        share = trust * share * share * (3 - 2 * share)
        own = self.with_company(every)
        # Behind seen points, the body fills what the model leaves open.
        part = np.maximum(share, np.where(own > 0, min(FILLING, trust), 0.0))
        result += part * (own - result)
        return result


def in_company(bodies: Sequence[FittedBody], likelihood: float) -> list[FittedBody]:
    """The bodies, each with the field of all; a misfit larger by `likelihood` is less likely by a factor of e."""
    if len(bodies) < 2:
        return list(bodies)
    axis = (np.arange(COMPANY_CELLS + 1) / COMPANY_CELLS - 0.5) * BOX_SIDE
    places = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    misfit = np.array([body.misfit for body in bodies])
    share = np.exp(-(misfit - misfit.min()) / likelihood)
    share /= share.sum()
    counted = [(part, body) for part, body in zip(share, bodies, strict=True) if part > LEAST_SHARE]
    total = sum(part for part, _ in counted)
    field = sum(part / total * body.field(places) for part, body in counted)
    company = sampled_field(np.asarray(field).reshape((COMPANY_CELLS + 1,) * 3))
    return [replace(body, company=company) for body in bodies]


def fit_bodies(
    placed: Sequence[PlacedBody],
    points: NDArray[np.floating],
    free: FreeSpace | None,
    check_cancelled: Callable[[], None] = lambda: None,
    extent: Extent = Extent.SIDE,
    on_better: Callable[[FittedBody], None] = lambda body: None,
) -> list[FittedBody]:
    """Bodies bent to the seen points [N, 3] of frame 0, the most likely first; `extent` is as in `find_bodies`.

    All are bent stiffly, and fewer and fewer of them, the likeliest, more and more softly (CHOSEN). `on_better` is
    called with each of the last ones that is likelier than those before it.
    """
    if not placed:
        return []
    every = np.asarray(points, dtype=np.float64)
    cloud = every[np.random.default_rng(0).permutation(len(every))[:POINTS]]
    tree = KDTree(every)
    around = SeenSide.of(cloud)
    bent, done = [_Bending(body, cloud, free, around) for body in placed], 0

    def look() -> None:
        """Give each body the half space in which everything was seen."""
        if free is None:
            sides = around.of_each([bending.pose for bending in bent], extent)
            for bending, side in zip(bent, sides, strict=True):
                bending.side = side

    look()
    for level, count in CHOSEN:
        for bending in bent:
            bending.go_through(LEVELS[done:level], check_cancelled)
        look()
        bent, done = sorted(bent, key=lambda bending: bending.misfit())[:count], level
    fitted: list[FittedBody] = []
    for bending in bent:
        bending.go_through(LEVELS[done:], check_cancelled)
        fitted.append(bending.fitted(tree))
        if fitted[-1].misfit == min(one.misfit for one in fitted):
            on_better(fitted[-1])
    return sorted(fitted, key=lambda body: body.misfit)


class _Bending:
    """A body that is being bent from where it was placed to the points [N, 3]."""

    def __init__(self, body: PlacedBody, cloud: Floats, free: FreeSpace | None, around: SeenSide) -> None:
        self.name, self.faces = body.name, body.faces.astype(np.int64)
        self._cloud, self._free, self._around = np.ascontiguousarray(cloud), free, around
        self._solver = SoftArap(body.vertices, self.faces)
        self.pose = self._solver.rest
        self.side: SeenSide | None = None  # where everything was seen

    def go_through(self, levels: Sequence[tuple[float, float]], check_cancelled: Callable[[], None]) -> None:
        """Pull the surface to the points with these weights and reaches, in order."""
        for weight, reach in np.repeat(levels, ROUNDS, axis=0):
            check_cancelled()
            self._draw(weight, reach)

    def misfit(self) -> float:
        """Distance of the points, contradictions of the scan, and relative change of edge lengths."""
        vertices = np.ascontiguousarray(self.pose)
        apart = np.sqrt(igl.point_mesh_squared_distance(self._cloud, vertices, self.faces)[0])
        wrong = float(contradictions(vertices[None], self._free)[0])
        if self.side is not None:
            wrong += float(self.side.contradicted(vertices).mean())
        elif self._free is None:
            wrong += self._around.beyond(vertices)
        return float(apart.mean()) + wrong + STRETCHED * self._solver.stretch(vertices)

    def fitted(self, tree: KDTree) -> FittedBody:
        return FittedBody(self.name, np.ascontiguousarray(self.pose), self.faces, self.misfit(), tree)

    def _draw(self, weight: float, reach: float) -> None:
        pose, cloud = self.pose, self._cloud
        attachment, distance = closest(pose, _facing(pose, self.faces, self._free), cloud)
        point = weight * min(1.0, POINTS / len(cloud))
        share = [point / (1 + (distance / reach) ** 2)]
        rows, targets = [attachment], [cloud]
        moves = [(moved, where, np.full(len(moved), 0.5 * weight)) for moved, where in _to_move(pose, self._free)]
        if self.side is not None:
            # Otherwise a part that no point is nearest to would stay where it is.
            lost, where, away = self.side.strays(pose)
            moves.append((lost, where, point * len(cloud) / len(pose) / (1 + (away / (2 * reach)) ** 2)))
        for moved, where, pull in moves:
            picks = (np.ones(len(moved)), (np.arange(len(moved)), moved))
            rows.append(sparse.csr_matrix(picks, (len(moved), len(pose))))
            targets.append(where)
            share.append(pull)
        attached = self._solver.attached(sparse.vstack(rows).tocsr(), np.concatenate(share))
        self.pose = self._solver.fit(pose, attached, np.concatenate(targets), ITERATIONS)


def _facing(pose: Floats, faces: NDArray[np.int64], free: FreeSpace | None) -> NDArray[np.int64]:
    """Faces that the camera may see; all if its position is unknown."""
    if free is None:
        return faces
    towards = free.viewpoint - pose[faces].mean(axis=1)
    chosen = faces[np.einsum("fi,fi->f", face_normals(pose, faces), towards) > 0]
    return chosen if len(chosen) >= FEWEST_FACING else faces


def _to_move(pose: Floats, free: FreeSpace | None) -> list[tuple[NDArray[np.int64], Floats]]:
    """Vertices in space that must be empty, and the nearest positions that need not be."""
    beyond = np.flatnonzero((np.abs(pose) > EDGE).any(axis=1))
    result = [(beyond, pose[beyond].clip(-EDGE, EDGE))]
    if free is not None:
        inside = np.flatnonzero(free.clearance(pose) > MISPLACED)
        if len(inside):
            result.append((inside, free.nearest_possible(pose[inside])))
    return [(moved, where) for moved, where in result if len(moved)]
