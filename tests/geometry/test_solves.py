"""Handle solves: exact at handles, true to rigid motion, at ease with holes, components, slivers and loose vertices."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from core.geometry import operators
from core.geometry.operators import surface_operator
from core.geometry.solves import ResidualSolver, arap, biharmonic, biharmonic_weights

HANDLES = np.array([0, 40, 100, 160])


def turn(angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def ball(subdivisions: int = 2, radius: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def troubled() -> tuple[np.ndarray, np.ndarray]:
    """A ball with a hole, a small ball nearby, one far away, a loose vertex, a fin, and faces without area."""
    vertices, faces = ball()
    small, small_faces = ball(1, 0.2)
    count, more = len(vertices), len(small)
    everything = np.concatenate(
        [vertices, small + np.array([1.21, 0, 0]), small + np.array([6, 0, 0]), [[0, 3, 0], [0, 0, 2.0]]]
    )
    # Between the first two vertices, on a line: a face without area that does not repeat a corner.
    everything = np.concatenate([everything, [(vertices[0] + vertices[faces[5, 0]]) / 2]])
    fin = [[faces[3, 0], faces[3, 1], count + 2 * more + 1]]
    flat = [[0, faces[5, 0], count + 2 * more + 2], [4, 4, 5]]
    return everything, np.concatenate([faces[6:], small_faces + count, small_faces + count + more, fin, flat])


MESHES = {"ball": ball(), "troubled": troubled()}


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("solve", [biharmonic, arap])
def test_equal_displacements_translate_the_whole(solve, mesh: str, count: int) -> None:
    vertices, faces = MESHES[mesh]
    moves = np.array([[0, 0, 0], [0.3, -0.2, 0.5]])
    result = solve(vertices, faces, HANDLES[:count], vertices[HANDLES[:count]] + moves[:, None])
    assert np.allclose(result, vertices + moves[:, None], atol=1e-4)


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("solve", [biharmonic, arap])
def test_handles_are_met_and_nothing_is_nan(solve, mesh: str) -> None:
    vertices, faces = MESHES[mesh]
    targets = vertices[HANDLES] + np.random.default_rng(0).normal(0, 0.3, (3, 4, 3))
    result = solve(vertices, faces, HANDLES, targets)
    assert result.shape == (3, len(vertices), 3)
    assert np.isfinite(result).all()
    assert np.abs(result[:, HANDLES] - targets).max() < 1e-9
    assert np.abs(result - vertices).max() < 5


@pytest.mark.parametrize("mesh", MESHES)
def test_arap_reproduces_a_rotation(mesh: str) -> None:
    vertices, faces = MESHES[mesh]
    turned = vertices @ turn(0.8).T
    result = arap(vertices, faces, HANDLES, turned[HANDLES][None], iterations=150)
    assert np.abs(result[0] - turned).max() < 2e-3 * np.ptp(vertices, axis=0).max()


def test_arap_s_result_does_not_depend_on_units_or_place() -> None:
    vertices, faces = ball()
    targets = vertices[HANDLES][None] + np.array([[[0.4, 0, 0], [0, 0, 0], [0, 0.2, 0], [0, 0, 0]]])
    once = arap(vertices, faces, HANDLES, targets)
    again = arap(vertices * 1e3 + 50, faces, HANDLES, targets * 1e3 + 50)
    assert np.allclose((again - 50) / 1e3, once, atol=1e-3)


def test_a_component_without_handles_follows_its_neighbour() -> None:
    vertices, faces = MESHES["troubled"]
    near = slice(len(ball()[0]), len(ball()[0]) + len(ball(1)[0]))
    weights = biharmonic_weights(vertices, faces, HANDLES)
    assert np.allclose(weights.sum(axis=1), 1)
    closest = np.linalg.norm(vertices[: len(ball()[0])] - [1.0, 0, 0], axis=1).argmin()
    assert np.allclose(weights[near].mean(axis=0), weights[closest], atol=0.2)
    assert np.allclose(weights[near], weights[closest], atol=0.5)


def test_impossible_requests_are_refused() -> None:
    vertices, faces = ball()
    for handles, targets in (([], np.zeros((1, 0, 3))), ([999], np.zeros((1, 1, 3))), ([1, 1], np.zeros((1, 2, 3)))):
        with pytest.raises(ValueError, match=r"handle|vertices"):
            biharmonic(vertices, faces, handles, targets)
    with pytest.raises(ValueError, match="shape"):
        arap(vertices, faces, [1], np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match="finite"):
        arap(vertices, faces, [1], np.full((1, 1, 3), np.nan))
    with pytest.raises(ValueError, match="radius"):
        ResidualSolver(vertices, faces, [1], radius=0)


SOLVERS = {name: ResidualSolver(*mesh, np.array([3, 7, 40, 100, 160])) for name, mesh in MESHES.items()}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(SOLVERS)), st.integers(0, 2**31), st.integers(1, 6))
def test_residuals_are_met(mesh: str, seed: int, frames: int) -> None:
    solver = SOLVERS[mesh]
    residuals = np.random.default_rng(seed).normal(size=(frames, 5, 3))
    moved = solver.solve(residuals)
    assert np.isfinite(moved).all()
    assert np.array_equal(moved[:, solver.handles], residuals)
    assert not solver.solve(0 * residuals).any()


def test_the_field_leads_to_the_handles_without_a_step() -> None:
    """The values written at the handles only remove rounding: the vertices beside them move nearly as far."""
    assert np.allclose(SOLVERS["ball"].table, SOLVERS["ball"].table.T, atol=1e-9)
    vertices, faces = ball(4)
    handles = np.array([3, 700, 1900])
    field = ResidualSolver(vertices, faces, handles).solve(np.ones((1, 3, 3)))[0]
    beside = np.unique(faces[np.isin(faces, handles).any(axis=1)])
    assert np.abs(field[beside] - 1).max() < 0.15


def test_the_field_is_linear_in_the_residuals_and_frames_are_independent() -> None:
    solver = SOLVERS["ball"]
    a, b = np.random.default_rng(1).normal(size=(2, 3, 5, 3))
    assert np.allclose(solver.solve(a + 2 * b), solver.solve(a) + 2 * solver.solve(b))
    assert np.allclose(solver.solve(a)[1:2], solver.solve(a[1:2]))


def test_a_residual_fades_with_the_radius() -> None:
    rod = trimesh.creation.capsule(height=10, radius=0.5, count=(24, 24)).subdivide().subdivide()
    vertices, faces = np.asarray(rod.vertices), np.asarray(rod.faces)
    tip = int(vertices[:, 2].argmax())
    along = (vertices[tip, 2] - vertices[:, 2]) / np.ptp(vertices, axis=0).max()
    weight = ResidualSolver(vertices, faces, [tip], radius=0.2).solve(np.ones((1, 1, 3)))[0, :, 0]
    assert weight.max() == pytest.approx(1.0)
    assert 0.2 < weight[np.abs(along - 0.2).argmin()] < 0.7
    assert abs(weight[along > 0.6]).max() < 0.1
    wide = ResidualSolver(vertices, faces, [tip], radius=0.8).solve(np.ones((1, 1, 3)))[0, :, 0]
    assert wide[along > 0.6].min() > weight[along > 0.6].max()


def test_a_pinned_handle_stays_while_its_neighbour_is_moved() -> None:
    vertices, faces = ball(3)
    pinned, moved = faces[0, :2]
    field = ResidualSolver(vertices, faces, [pinned, moved]).solve(np.array([[[0, 0, 0], [0, 0.1, 0]]]))
    assert np.array_equal(field[0, pinned], [0, 0, 0])
    assert np.array_equal(field[0, moved], [0, 0.1, 0])
    assert np.isfinite(field).all()


def test_without_handles_nothing_moves() -> None:
    vertices, faces = ball()
    assert not ResidualSolver(vertices, faces, []).solve(np.zeros((2, 0, 3))).any()


def test_large_meshes_are_solved_at_a_few_vertices(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, faces = ball(4)
    vertices = vertices * [1, 0.5, 0.3]
    handles = np.array([0, 5, 700, 1900])
    residuals = np.random.default_rng(0).normal(size=(2, 4, 3))
    exact = ResidualSolver(vertices, faces, handles).solve(residuals)
    exact_weights = biharmonic_weights(vertices, faces, handles)
    monkeypatch.setattr(operators, "DIRECT_VERTICES", 100)
    monkeypatch.setattr(operators, "_COARSE_VERTICES", 250)
    field = ResidualSolver(vertices, faces, handles).solve(residuals)
    assert np.array_equal(field[:, handles], residuals)
    assert np.abs(field - exact).max() < 0.05 * np.abs(residuals).max()
    weights = biharmonic_weights(vertices, faces, handles)
    assert np.allclose(weights.sum(axis=1), 1)
    assert np.abs(weights - exact_weights).max() < 0.05


def test_laplacian_has_the_constants_as_its_only_kernel() -> None:
    vertices, faces = MESHES["troubled"]
    operator = surface_operator(vertices, faces)
    values = np.linalg.eigvalsh(operator.laplacian.toarray())
    assert abs(values[0]) < 1e-9
    assert values[1] > 1e-6
    assert operator.mass.min() > 0
