"""The rigid surface: rotations given come out again, handles are met, lengths are kept."""

import tracemalloc

import numpy as np
import pytest
import torch

from core.geometry.binding import bind_vertices, carry_vertices, mesh_components
from core.geometry.rigid import RigidSurface, polar_rotation
from core.sequence import Normalization


def sheet() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = torch.meshgrid(torch.linspace(0, 1, 9), torch.linspace(0, 0.5, 5), indexing="ij")
    rest = torch.stack([x.flatten(), y.flatten(), 0.1 * (x * x).flatten()], -1)
    distance = torch.cdist(rest, rest)
    return rest[None], torch.where((distance < 0.2) & (distance > 0), 1.0, 0.0)[None]


def turned(angle: float) -> torch.Tensor:
    return torch.tensor(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], dtype=torch.float32
    )


def test_a_rigid_motion_is_found_and_solved_for_again():
    rest, weight = sheet()
    surface = RigidSurface.of(rest, weight)
    moved = (rest @ turned(0.7).T + torch.tensor([0.1, 0.2, 0.3]))[:, :, None]
    rotation = surface.rotations(moved)
    torch.testing.assert_close(rotation[0, :, 0], turned(0.7).expand(rest.shape[1], 3, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(surface.positions(rotation, moved), moved, atol=1e-4, rtol=0)


@pytest.mark.parametrize("handles", [1, 3, 8])
def test_handles_between_nodes_are_met_exactly(handles):
    rest, weight = sheet()
    shares = torch.zeros(1, handles, rest.shape[1])
    for row in range(handles):
        shares[0, row, 5 * row], shares[0, row, 5 * row + 1] = 0.7, 0.3
    places = shares @ rest + torch.tensor([0.0, 0.0, 0.05])
    surface = RigidSurface.of(rest, weight, 0.1, shares, places)
    goal = (places + torch.tensor([0.0, 0.1, 0.3]))[:, :, None].repeat(1, 1, 4, 1)
    goal[0, 0, 2] += 0.1
    start = rest[:, :, None].repeat(1, 1, 4, 1)
    moved, rotation = surface.settle(start, start, goal, steps=4)
    torch.testing.assert_close(surface.carried(moved, rotation), goal, atol=2e-5, rtol=0)


@pytest.mark.parametrize("parted", [0.003, 0.15])
def test_handles_that_contradict_each_other_tear_nothing(parted):
    """Two handles ride on nearly the same nodes, as on a toe that hangs on a shin, and are to be far apart."""
    rest, weight = sheet()
    shares = torch.zeros(1, 3, rest.shape[1])
    shares[0, 0, [7, 8]], shares[0, 1, [7, 8]] = torch.tensor([1.0, 0.0]), torch.tensor([1 - parted, parted])
    shares[0, 2, 40] = 1
    places = shares @ rest
    surface = RigidSurface.of(rest, weight).with_handles(shares, places)
    goals = places + torch.tensor([[[0.0, 0.1, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.2]]])
    start = rest[:, :, None]
    moved, rotation = surface.settle(start, start, goals[:, :, None], steps=20)
    assert surface.stretch(moved).max() < 1
    carried = surface.carried(moved, rotation)[0, :, 0]
    torch.testing.assert_close(carried[2], goals[0, 2], atol=1e-4, rtol=0)  # which rides on a node of its own
    torch.testing.assert_close(carried[:2].mean(dim=0), goals[0, :2].mean(dim=0), atol=0.02, rtol=0)


def test_nodes_of_a_piece_turn_as_one():
    rest, weight = sheet()
    piece = torch.zeros(rest.shape[1], dtype=torch.bool)
    piece[10:25] = True
    together = (piece[:, None] & piece[None]) | torch.eye(len(piece), dtype=torch.bool)
    surface = RigidSurface.of(rest, weight)._replace(together=together.float()[None])
    bent = rest + 0.2 * torch.sin(3 * rest[..., [2, 0, 1]])
    rotation = surface.rotations(bent[:, :, None])[0, :, 0]
    torch.testing.assert_close(rotation[piece], rotation[10].expand(15, 3, 3), atol=1e-5, rtol=0)
    assert (rotation[~piece] - rotation[10]).abs().amax(dim=(1, 2)).min() > 1e-3


def test_as_rigid_steps_take_strain_away():
    rest, weight = sheet()
    surface = RigidSurface.of(rest, weight, 1e-3)
    stretched = (rest * torch.tensor([1.6, 1.0, 1.0]))[:, :, None]
    settled, _ = surface.settle(stretched, stretched, steps=20)
    assert float(surface.stretch(settled).mean()) < 0.3 * float(surface.stretch(stretched).mean())


def test_energy_is_what_edges_differ_by_from_themselves_turned():
    surface, generator = RigidSurface.of(*sheet()), torch.Generator().manual_seed(0)
    moved = surface.rest[:, :, None] + 0.1 * torch.randn(1, surface.rest.shape[1], 3, 3, generator=generator)
    rotation = surface.rotations(moved)
    edges = moved[:, :, None] - moved[:, None]
    turned = torch.einsum("bptij,bpqj->bpqti", rotation, surface.rest[:, :, None] - surface.rest[:, None])
    expected = (surface.weight[..., None] * (edges - turned).square().sum(dim=-1)).sum(dim=(1, 2))
    torch.testing.assert_close(surface.energy(moved, rotation).float(), expected, rtol=1e-4, atol=1e-6)


def test_extrapolated_steps_come_further_than_plain_ones():
    rest, weight = sheet()
    seats = [0, 20, rest.shape[1] - 1]
    handles = torch.eye(rest.shape[1])[None, seats]
    surface = RigidSurface.of(rest, weight, 1e-4, handles, rest[:, seats])
    raised = (rest[:, seats] @ turned(1.2).T + torch.tensor([0.0, 0.3, 0.0]))[:, :, None]
    start = rest[:, :, None]
    far, _ = surface.settle(start, start, raised, steps=600)
    plain, _ = surface.settle(start, start, raised, steps=30)
    quick, rotation = surface.converge(start, start, raised, steps=30)
    assert (quick - far).norm() < 0.5 * (plain - far).norm()
    torch.testing.assert_close(surface.carried(quick, rotation), raised, atol=1e-4, rtol=0)


def test_polar_rotations_are_rotations():
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(200, 3, 3, generator=generator)
    found = polar_rotation(matrices)
    torch.testing.assert_close(found @ found.mT, torch.eye(3).expand(200, 3, 3), atol=1e-4, rtol=0)
    assert float(torch.linalg.det(found).min()) > 0.99


def test_bound_vertices_move_rigidly_with_their_nodes():
    random = np.random.default_rng(1)
    vertices, nodes = random.random((200, 3)), random.random((20, 3))
    weights = bind_vertices(vertices, nodes, None, np.zeros(200, int), np.zeros(20, int))
    np.testing.assert_allclose(np.asarray(weights.sum(axis=1)).ravel(), 1.0, atol=1e-6)
    rotation = turned(1.1).numpy()
    moved = carry_vertices(weights, vertices, nodes, (nodes @ rotation.T + 0.5)[None], np.tile(rotation, (1, 20, 1, 1)))
    np.testing.assert_allclose(moved[0], vertices @ rotation.T + 0.5, atol=1e-5)


def test_a_loose_part_moves_as_one_piece():
    random = np.random.default_rng(2)
    body = random.random((300, 3)) * [2, 1, 1]
    button = random.random((12, 3)) * 0.05 + [1.0, 1.02, 0.5]
    vertices = np.concatenate([body, button])
    components = np.repeat([0, 1], [300, 12])
    nodes = body[::15]
    distance = np.linalg.norm(nodes[:, None] - vertices[None], axis=-1)
    weights = bind_vertices(vertices, nodes, distance, components, np.zeros(len(nodes), int))
    rotations = np.stack([turned(angle).numpy() for angle in np.linspace(0, 1, len(nodes))])
    moved = carry_vertices(weights, vertices, nodes, np.einsum("pij,pj->pi", rotations, nodes)[None], rotations[None])
    rows = weights[300:].toarray()
    np.testing.assert_allclose(rows, np.tile(rows[0], (12, 1)), atol=1e-9)
    lengths = lambda points: np.linalg.norm(points[:, None] - points[None], axis=-1)  # noqa: E731
    np.testing.assert_allclose(lengths(moved[0, 300:]), lengths(button), atol=1e-6)  # though the body bends under it


def test_a_loose_part_with_a_node_of_its_own_goes_where_that_goes():
    """A shin with two nodes hangs on the body but swings by itself, and the screw in it, which has none, goes along."""
    random = np.random.default_rng(4)
    box = lambda size, at: random.random((40, 3)) * size + at  # noqa: E731
    body, shin, screw = box([1, 1, 1], [0, 0, 0]), box([0.1, 0.3, 0.1], [0.4, -0.31, 0]), box(0.02, [0.45, -0.2, 0.1])
    vertices, nodes = np.concatenate([body, shin, screw]), np.concatenate([body[::5], shin[:2]])
    distance = np.linalg.norm(nodes[:, None] - vertices[None], axis=-1)
    weights = bind_vertices(vertices, nodes, distance, np.repeat([0, 1, 2], 40), np.repeat([0, 1], [8, 2])).toarray()
    assert weights[40:80, 8:].max(axis=0).max() == 1 and weights[40:80, :8].sum() == 0
    np.testing.assert_array_equal(weights[80:], np.tile(weights[40], (40, 1)))
    np.testing.assert_array_equal(weights[40:80], np.tile(weights[40], (40, 1)))


def test_a_part_with_five_nodes_bends_with_them_as_a_whole_mesh_does():
    """A staff beside a body: its tip rides on the nodes at the tip, not on the mean of all five."""
    random = np.random.default_rng(5)
    staff = np.stack([np.zeros(50), np.linspace(0, 0.8, 50), np.zeros(50)], axis=-1)
    body = random.random((60, 3)) + np.array([0.1, 0, 0])
    vertices, nodes = np.concatenate([staff, body]), np.concatenate([staff[[2, 13, 25, 37, 47]], body[::5]])
    distance = np.linalg.norm(nodes[:, None] - vertices[None], axis=-1)
    owner = np.repeat([0, 1], [5, 12])
    weights = bind_vertices(vertices, nodes, distance, np.repeat([0, 1], [50, 60]), owner).toarray()
    assert weights[:50, 5:].sum() == 0 and weights[50:, :5].sum() == 0
    assert weights[2, 0] > 0.5 and weights[47, 4] > 0.5  # 0.2 for a mean
    assert weights[2, 4] == 0 and weights[47, 0] == 0


def test_a_finger_hangs_on_its_palm_though_the_thigh_is_near():
    random = np.random.default_rng(3)
    box = lambda size, at: random.random((40, 3)) * size + at  # noqa: E731
    arm, thigh = box([0.1, 1, 0.1], [0, 0, 0]), box([0.1, 1, 0.1], [0.2, -0.6, 0])
    palm, finger = box([0.1, 0.06, 0.1], [0, -0.065, 0]), box([0.1, 0.03, 0.1], [0.04, -0.1, 0])
    vertices = np.concatenate([arm, thigh, palm, finger])
    components = np.repeat([0, 1, 2, 3], 40)
    nodes = np.concatenate([arm[::8], thigh[::8]])
    distance = np.linalg.norm(nodes[:, None] - vertices[None], axis=-1)
    weights = bind_vertices(vertices, nodes, distance, components, np.repeat([0, 1], 5)).toarray()
    assert weights[80:, :5].sum() == pytest.approx(80) and weights[80:].max(axis=1).min() == 1
    straight = np.linalg.norm(finger[:, None] - np.concatenate([arm, thigh])[None], axis=-1).min(axis=0)
    assert straight[40:].min() < straight[:40].min()  # the thigh is nearer than the arm


def test_a_long_motion_of_many_vertices_takes_little_more_than_itself():
    random = np.random.default_rng(3)
    count, frames = 30_000, 120
    vertices, nodes = random.random((count, 3)), random.random((20, 3))
    weights = bind_vertices(vertices, nodes, None, np.zeros(count, int), np.zeros(20, int))
    rotations = np.stack([turned(angle).numpy() for angle in np.linspace(0, 1, frames)])[:, None].repeat(20, axis=1)
    moved = np.einsum("tpij,pj->tpi", rotations, nodes)
    units = Normalization(np.array([3.0, 2.0, 1.0]), 20.0, "z")
    tracemalloc.start()
    result = carry_vertices(weights, vertices, nodes, moved, rotations, units)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * result.nbytes
    expected = units.invert(np.einsum("tij,vj->tvi", rotations[::20, 0], vertices))
    np.testing.assert_allclose(result[::20], expected, atol=20 * 1e-5)


def test_components_are_counted():
    faces = np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6]])
    assert mesh_components(faces, 7).tolist() == [0, 0, 0, 0, 1, 1, 1]
