"""Following a surface through scans: rigid motion, a bending tube, and a side that is never seen."""

import torch

from core.models.registration import register_scans, registered_handles, smoothed


def tube(count: int = 160, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    along = torch.rand(count, generator=generator) - 0.5
    angle = 6.2832 * torch.rand(count, generator=generator)
    return torch.stack([along, 0.08 * angle.cos(), 0.08 * angle.sin()], -1)


def bent(points: torch.Tensor, amount: float) -> torch.Tensor:
    """The tube bent into an arc."""
    radius = 1.0 / max(amount, 1e-6)
    angle = points[..., 0] / radius
    distance = radius + points[..., 1]
    return torch.stack([distance * angle.sin(), distance * angle.cos() - radius, points[..., 2]], -1)


def scans_of(move, frames: int = 8) -> torch.Tensor:
    """Other points of the same moving surface, in another order in every frame."""
    return torch.stack([move(tube(400, seed=10 + t), t) for t in range(1, frames + 1)])[None]


def error(nodes: torch.Tensor, move, frames: int = 8) -> tuple[float, float]:
    scans = scans_of(move, frames)
    found = register_scans(nodes[None], scans, torch.ones(scans.shape[:3], dtype=torch.bool))
    true = torch.stack([move(nodes, t) - nodes for t in range(1, frames + 1)])
    return float((found.displacements[0] - true).norm(dim=-1).mean()), float(true.norm(dim=-1).mean())


def test_it_follows_a_translation_and_a_bend() -> None:
    nodes = tube(96)
    shift = torch.tensor([0.0, 0.04, 0.02])  # along its axis a tube could slide unseen
    missed, moved = error(nodes, lambda points, t: points + t * shift)
    assert missed < 0.25 * moved
    missed, moved = error(nodes, lambda points, t: bent(points, 0.25 * t))
    assert missed < 0.65 * moved


def test_what_is_not_seen_has_no_confidence_and_no_handles() -> None:
    nodes = tube(96)
    scans = scans_of(lambda points, t: points, 4)
    present = scans[..., 0] > 0.1  # one end only
    found = register_scans(nodes[None], scans, present)
    far = nodes[:, 0] < -0.1
    assert float(found.confidence[0][:, far].max()) < 0.2
    assert float(found.confidence[0][:, nodes[:, 0] > 0.15].mean()) > 0.5
    handles = registered_handles(nodes[None], scans, present)
    assert bool(handles.present.any())
    assert float(handles.positions[0][handles.present[0]][:, 0].min()) > -0.1


def test_empty_scans_leave_the_surface_where_it_is() -> None:
    nodes = tube(64)[None]
    scans = torch.zeros(1, 3, 20, 3)
    found = register_scans(nodes, scans, torch.zeros(1, 3, 20, dtype=torch.bool))
    assert float(found.displacements.abs().max()) < 1e-3
    assert not bool(registered_handles(nodes, scans, torch.zeros(1, 3, 20, dtype=torch.bool)).present.any())


def test_smoothing_keeps_a_steady_motion_and_takes_noise_away() -> None:
    steady = torch.arange(1, 9)[None, :, None, None] * torch.tensor([0.1, 0.0, -0.05])
    assert torch.allclose(smoothed(steady), steady, atol=1e-6)
    noise = 0.01 * torch.randn(1, 8, 20, 3, generator=torch.Generator().manual_seed(0))
    rough = lambda x: float(x.diff(n=3, dim=1).norm(dim=-1).mean())  # noqa: E731
    assert rough(smoothed(steady + noise)) < 0.5 * rough(steady + noise)
    assert smoothed(steady[:, :1]).shape == (1, 1, 1, 3)
