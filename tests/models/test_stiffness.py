"""Stiffness of a shape's graph: a hinge is found where a motion bends, and makes the rigid guess bend there."""

from __future__ import annotations

import torch

from core.config import StiffnessConfig
from core.models.stiffness import EdgeStiffness, flexing, nearest_others, stiffness_loss
from core.models.warm_start import HandleCondition, graph_prior, warm_start

CONFIG = StiffnessConfig(blocks=1, width=32, head_dim=16, edge_width=16)


def hinge(angles: tuple[float, ...] = (0.4, 0.8, 1.2)) -> tuple[torch.Tensor, torch.Tensor]:
    """A bar along x whose half beyond x = 0 turns about z: nodes [1, 96, 3] and displacements [1, T, 96, 3]."""
    generator = torch.Generator().manual_seed(0)
    nodes = (torch.rand(96, 3, generator=generator) - 0.5) * torch.tensor([1.0, 0.12, 0.12])
    frames = []
    for angle in map(torch.tensor, angles):
        turn = torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1.0]])
        frames.append(torch.where(nodes[:, :1] > 0, nodes @ turn.T, nodes) - nodes)
    return nodes[None], torch.stack(frames)[None]


def graph(nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    prior = graph_prior(nodes, torch.ones(nodes.shape[:2], dtype=torch.bool))
    return prior.weight.float(), prior.local.float()


def crossing(nodes: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    beyond = nodes[0, :, 0] > 0
    return beyond[:, None] != beyond[index[0]]


def test_untrained_the_graph_stays_as_it_is() -> None:
    nodes, _ = hinge()
    weight, affinity = graph(nodes)
    network = EdgeStiffness(CONFIG, 10)
    assert torch.allclose(network.stiffened(weight, torch.randn(1, 96, 10), nodes, affinity, nodes), weight)


def test_weights_stay_symmetric_and_points_without_latents_take_those_next_to_them() -> None:
    torch.manual_seed(0)
    nodes, _ = hinge()
    points = torch.cat([nodes, nodes[:, :5] + 0.01], dim=1)
    weight, affinity = graph(points)
    network = EdgeStiffness(CONFIG, 10)
    torch.nn.init.normal_(network.output.weight)
    found = network.stiffened(weight, torch.randn(1, 96, 10), nodes, affinity, points)
    assert torch.allclose(found, found.transpose(1, 2), rtol=1e-4)
    assert not torch.allclose(found, weight, rtol=0.1)
    assert (found >= 0).all()


def test_a_hinge_bends_where_it_is_and_a_rigid_motion_nowhere() -> None:
    nodes, moved = hinge()
    weight, _ = graph(nodes)
    _, index = nearest_others(nodes)
    bent = flexing(nodes, moved, weight, index)
    across = crossing(nodes, index)
    assert bent[0][across].mean() > 5 * bent[0][~across].mean()
    assert torch.isclose(bent.mean(), torch.tensor(1.0), atol=1e-4)
    shifted = flexing(nodes, torch.full_like(moved, 0.3), weight, index)
    assert (shifted - 1).abs().mean() < 0.01, "nothing bends, so everything is alike"


def test_the_loss_is_least_at_the_logarithm_of_what_bends() -> None:
    bent = torch.rand(1, 20, 4) + 0.1
    best = stiffness_loss(bent.log(), bent)
    assert best < stiffness_loss(bent.log() + 0.2, bent)
    assert best < stiffness_loss(bent.log() - 0.2, bent)


def test_a_learned_hinge_makes_the_rigid_guess_better() -> None:
    torch.manual_seed(0)
    nodes, moved = hinge()
    weight, affinity = graph(nodes)
    latents = torch.cat([nodes, torch.randn(1, 96, 7)], dim=-1)
    network = EdgeStiffness(CONFIG, 10)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(60):
        flexibility, index = network(latents, nodes, affinity, nodes)
        loss = stiffness_loss(flexibility, flexing(nodes, moved, weight, index))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    order = nodes[0, :, 0].argsort()
    ends = torch.cat([order[:6], order[-6:]])
    present = torch.ones(1, len(ends), dtype=torch.bool)
    keyframe_mask = present[:, None].expand(-1, moved.shape[1], -1)
    handles = HandleCondition(nodes[:, ends], moved[:, :, ends], keyframe_mask, present)

    def stiffen(weight: torch.Tensor, affinity: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        return network.stiffened(weight, latents, nodes, affinity, points).detach()

    errors = [
        (warm_start(nodes, 96, handles, stiffen=change).guesses[..., 0, :] - moved).norm(dim=-1).mean()
        for change in (None, stiffen)
    ]
    assert errors[1] < 0.97 * errors[0]
