"""Classical deformation from handles: biharmonic, as-rigid-as-possible, and the residual solve for exact handles.

All work on non-manifold meshes, holes, zero-area faces, several components and loose vertices.
"""

from __future__ import annotations

import igl
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from core.geometry.operators import ScreenedSolver, edge_graph, surface_operator, unit_points
from core.quaternions import kabsch_rotations

# Screening of the biharmonic solve (squared, units of 1 / size^2): keeps it regular, far below any shape's own scale.
_BIHARMONIC_KAPPA = 1e-3
_FOLLOW_NEIGHBOURS = 12


def biharmonic(vertices: ArrayLike, faces: ArrayLike, handle_indices: ArrayLike, targets: ArrayLike) -> NDArray:
    """Move handles [K] to targets [T, K, 3] with the displacement of least bending energy; returns [T, V, 3].

    Linear in the displacements and exact at the handles; one handle, or equal displacements, translate the
    whole. Raises ValueError when an index or a shape does not fit.
    """
    rest, handles, goals = _checked(vertices, handle_indices, targets)
    weights = biharmonic_weights(rest, faces, handles)
    return rest + np.einsum("vk,tkd->tvd", weights, goals - rest[handles])


def biharmonic_weights(vertices: ArrayLike, faces: ArrayLike, handle_indices: ArrayLike) -> NDArray[np.float64]:
    """Weights [V, K] that carry handle displacements to all vertices; every row sums to 1, handle rows are unit.

    The minimiser of u' L M^-1 L u with K fixed values is a constant plus K columns of the operator's Green's
    function, so only L is factorised, once, and never its denser square.
    """
    rest = np.asarray(vertices, dtype=np.float64)
    handles = _checked_handles(handle_indices, len(rest))
    solver = ScreenedSolver(surface_operator(rest, np.asarray(faces)), _BIHARMONIC_KAPPA, handles)
    columns = solver.columns(free_constant=True)
    count = len(handles)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = solver.at_handles(columns)
    system[:count, count] = system[count, :count] = 1.0
    inverse = np.linalg.pinv(system, rcond=1e-14)[:, :count]
    weights = solver.spread(columns @ inverse[:count]) + inverse[count]
    weights[handles] = np.eye(count)
    return weights


class ResidualSolver:
    """Spreads displacements given at handles smoothly over the surface; built once, used for all frames and seeds.

    The displacement minimises the screened bending energy |(L + kappa^2 M) u|^2 subject to being exact at
    the given handles. Screening makes it fade: at a distance of `radius` (fraction of the shape's size,
    along the surface) about a third is left, at twice that a twentieth, so one paw's correction leaves the
    rest of the body alone. The default of a quarter is about a limb's length. Without screening, a single
    residual would carry the whole shape with it.

    The weights of the handles are C inv(C at the handles) for the Green's columns C.
    """

    def __init__(self, vertices: ArrayLike, faces: ArrayLike, handle_indices: ArrayLike, radius: float = 0.25) -> None:
        if not radius > 0:
            raise ValueError(f"The radius of a residual solve must be positive, but it is {radius}.")
        rest = np.asarray(vertices, dtype=np.float64)
        self.handles = _checked_handles(handle_indices, len(rest))
        self.vertex_count = len(rest)
        if len(self.handles) == 0:
            return
        self._solver = ScreenedSolver(surface_operator(rest, np.asarray(faces)), 2.0 / radius, self.handles)
        columns = self._solver.columns(free_constant=False)
        self.table = self._solver.at_handles(columns)  # [K, K] of each handle's column at all handles
        size = np.abs(self.table).max()
        # A pseudo-inverse, since columns of very close handles are equal but for rounding.
        self._weights = columns @ (np.linalg.pinv(self.table / size, rcond=1e-13) / size)

    def solve(self, residuals: ArrayLike) -> NDArray[np.float64]:
        """Displacements [T, V, 3] that equal residuals [T, K, 3] at the handles.

        Raises ValueError when the shape does not fit or a residual is not finite.
        """
        values = np.asarray(residuals, dtype=np.float64)
        count = len(self.handles)
        if values.ndim != 3 or values.shape[1:] != (count, 3):
            raise ValueError(f"Residuals need the shape [T, {count}, 3], but have {values.shape}.")
        if not np.isfinite(values).all():
            raise ValueError("A residual is not a finite number.")
        moved = np.zeros((len(values), self.vertex_count, 3))
        if count:
            for frame, pulls in enumerate(values):
                moved[frame] = self._solver.spread(self._weights @ pulls)
            # Handles on neighbouring vertices leave rounding errors; at the handles themselves there are none.
            moved[:, self.handles] = values
        return moved


def arap(
    vertices: ArrayLike,
    faces: ArrayLike,
    handle_indices: ArrayLike,
    targets: ArrayLike,
    iterations: int = 30,
    initial: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """As-rigid-as-possible deformation (libigl, spokes and rims) to targets [T, K, 3]; returns [T, V, 3].

    Every frame starts from `initial` [T, V, 3], left out from the biharmonic solution. Components without
    a handle, and vertices without a proper face, follow the nearest deformed vertices rigidly.
    """
    rest, handles, goals = _checked(vertices, handle_indices, targets)
    start = biharmonic(rest, faces, handles, goals) if initial is None else np.asarray(initial, dtype=np.float64)
    if start.shape != (len(goals), len(rest), 3):
        raise ValueError(f"The start needs the shape {(len(goals), len(rest), 3)}, but has {start.shape}.")
    points, size = unit_points(rest)
    low = rest.min(axis=0)
    corners = _proper_faces(points, np.asarray(faces, dtype=np.int64))
    labels = connected_components(edge_graph(corners, len(rest)), directed=False)[1]
    solved = np.zeros(len(rest), bool)
    solved[corners.reshape(-1)] = True
    solved &= np.isin(labels, labels[handles])
    result = start.copy()
    result[:, handles] = goals
    if solved.any():
        number = np.cumsum(solved) - 1
        inside = np.flatnonzero(solved[handles])
        data = igl.ARAPData()
        data.max_iter = int(iterations)
        body = np.ascontiguousarray(points[solved])
        fixed = number[handles[inside]].astype(np.int32)
        igl.arap_precomputation(body, number[corners[solved[corners].all(axis=1)]], 3, fixed, data)
        for frame in range(len(goals)):
            goal = np.ascontiguousarray((goals[frame, inside] - low) / size)
            moved = igl.arap_solve(goal, data, np.ascontiguousarray((start[frame, solved] - low) / size))
            if np.isfinite(moved).all():  # else the biharmonic start is the answer
                result[frame, solved] = moved * size + low
    settled = solved.copy()
    settled[handles] = True
    if solved.any() and not settled.all():
        _follow(points, size, low, settled, result)
    result[:, handles] = goals
    return result


def _follow(points: NDArray, size: float, low: NDArray, settled: NDArray[np.bool_], result: NDArray) -> None:
    """Move the other vertices of result [T, V, 3], in place, with the rigid motion of their nearest settled ones."""
    anchors, followers = np.flatnonzero(settled), np.flatnonzero(~settled)
    count = min(_FOLLOW_NEIGHBOURS, len(anchors))
    near = cKDTree(points[anchors]).query(points[followers], k=count)[1].reshape(len(followers), count)
    source = points[anchors[near]]  # [f, n, 3]
    center = source.mean(axis=1, keepdims=True)
    for frame in range(len(result)):
        target = (result[frame][anchors[near]] - low) / size
        middle = target.mean(axis=1, keepdims=True)
        spread = np.einsum("fni,fnj->fij", target - middle, source - center)
        # A line or a point of neighbours fixes no rotation; the small identity then decides for none.
        spread += (1e-6 * np.einsum("fni,fni->f", source - center, source - center) + 1e-30)[:, None, None] * np.eye(3)
        moved = np.einsum("fij,fj->fi", kabsch_rotations(spread), points[followers] - center[:, 0]) + middle[:, 0]
        result[frame, followers] = moved * size + low


def _proper_faces(points: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """The faces whose height is not negligible beside their longest edge (unit-size points)."""
    ends = points[faces]
    longest = np.linalg.norm(ends - np.roll(ends, 1, axis=1), axis=2).max(axis=1)
    double_area = np.linalg.norm(np.cross(ends[:, 1] - ends[:, 0], ends[:, 2] - ends[:, 0]), axis=1)
    return faces[(double_area > 1e-6 * longest**2) & (longest > 0)]


def _checked_handles(handle_indices: ArrayLike, count: int) -> NDArray[np.int64]:
    handles = np.asarray(handle_indices, dtype=np.int64).reshape(-1)
    if len(handles) and not (handles.min() >= 0 and handles.max() < count):
        raise ValueError(f"The handles refer to vertices outside 0 to {count - 1}.")
    if len(np.unique(handles)) != len(handles):
        raise ValueError("Two handles are on one vertex; merge them.")
    return handles


def _checked(vertices: ArrayLike, handle_indices: ArrayLike, targets: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    rest = np.asarray(vertices, dtype=np.float64)
    handles = _checked_handles(handle_indices, len(rest))
    goals = np.asarray(targets, dtype=np.float64)
    if len(handles) == 0:
        raise ValueError("At least one handle is needed to deform a mesh.")
    if goals.ndim != 3 or goals.shape[1:] != (len(handles), 3):
        raise ValueError(f"Targets need the shape [T, {len(handles)}, 3], but have {goals.shape}.")
    if not np.isfinite(goals).all():
        raise ValueError("A target is not a finite number.")
    return rest, handles, goals
