"""What runs on a GPU answers as on the CPU, within the tolerance of single precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.assets import asset_path
from core.bank.library import MotionLibrary
from core.config import load_config
from core.geometry.farthest_points import farthest_point_indices
from core.geometry.rigid import RigidSurface, polar_rotation
from core.models.diffusion_models import build_motion_diffusion
from core.models.part_descriptor import build_part_descriptor, describe_parts
from core.models.warm_start import HandleCondition, graph_weights, warm_start
from core.training.bank_tables import BankTables, match_bodies
from core.training.borrowed import Candidates, handle_shares, led_through, play

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA device", allow_module_level=True)
pytestmark = pytest.mark.cuda
GPU = torch.device("cuda")


def body(batch: int = 3, nodes: int = 128) -> tuple[Tensor, Tensor]:
    """Nodes [B, P, 3] of flattened ellipsoids and their outward normals."""
    directions = torch.nn.functional.normalize(torch.randn(batch, nodes, 3, generator=seeded()), dim=-1)
    radii = torch.tensor([0.2, 0.3, 0.5])
    return directions * radii, torch.nn.functional.normalize(directions / radii, dim=-1)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def handles(nodes: Tensor, frames: int = 16, count: int = 4) -> HandleCondition:
    moved = torch.linspace(0, 0.2, frames)[None, :, None, None] * torch.randn(
        len(nodes), 1, count, 3, generator=seeded()
    )
    present = torch.ones(len(nodes), count, dtype=torch.bool)
    present[0, -1] = False
    given = torch.ones(len(nodes), frames, count, dtype=torch.bool) & present[:, None]
    given[:, ::3] = False
    return HandleCondition(nodes[:, :count].clone(), moved * given[..., None], given, present)


def to_gpu(value):
    """Tensors, and tuples of them, on the GPU."""
    if isinstance(value, Tensor):
        return value.to(GPU)
    if isinstance(value, tuple):
        items = [to_gpu(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


def close(a: Tensor, b: Tensor, tolerance: float) -> None:
    assert torch.isfinite(b).all()
    torch.testing.assert_close(a, b.cpu(), atol=tolerance, rtol=tolerance)


def test_rotations() -> None:
    matrices = torch.randn(5000, 3, 3, generator=seeded())
    close(polar_rotation(matrices), polar_rotation(matrices.to(GPU)), 1e-3)


def test_farthest_points() -> None:
    points, _ = body(4, 600)
    assert torch.equal(farthest_point_indices(points, 64), farthest_point_indices(points.to(GPU), 64).cpu())


def test_the_rigid_surface_settles_alike() -> None:
    nodes, _ = body()
    condition = handles(nodes)
    targets = nodes[:, :, None] + 0.05 * torch.randn(3, 128, 16, 3, generator=seeded())
    goals = (condition.positions[:, None] + condition.displacements).transpose(1, 2)

    def settled(nodes: Tensor, condition: HandleCondition, targets: Tensor, goals: Tensor) -> Tensor:
        weight = graph_weights(nodes, torch.ones_like(nodes[..., 0], dtype=torch.bool))
        surface = RigidSurface.of(nodes, weight).with_handles(handle_shares(nodes, condition), condition.positions)
        return surface.settle(targets, targets, goals)[0]

    here = (nodes, condition, targets, goals)
    close(settled(*here), settled(*to_gpu(here)), 2e-4)


def test_the_warm_start() -> None:
    nodes, _ = body()
    condition = handles(nodes)
    cpu, gpu = warm_start(nodes, 64, condition), warm_start(nodes.to(GPU), 64, to_gpu(condition))
    for a, b in zip(cpu, gpu, strict=True):
        close(a, b, 2e-3)


def test_the_denoiser_of_the_preset() -> None:
    config = load_config("small")
    torch.manual_seed(0)
    model = build_motion_diffusion(config).eval()
    for parameter in model.parameters():  # output layers start at zero
        torch.nn.init.normal_(parameter, std=0.02)
    nodes, _ = body()
    latents = torch.randn(3, 128, config.shape.channels, generator=seeded())
    noise = torch.randn(3, 16, 64, 3, generator=seeded())
    guess = 0.1 * torch.randn(3, 16, 64, 3, generator=seeded())
    level = torch.tensor([0.1, 0.5, 0.7])

    @torch.no_grad()
    def answer(model, nodes, latents, noise, guess, level, condition):
        prepared, warm = model.prepare(latents, nodes, condition)
        everywhere = torch.ones(3, dtype=torch.bool, device=nodes.device)
        features = model.borrowed_features(warm, guess, torch.full((3,), 0.02, device=nodes.device), everywhere)
        return model.denoiser(noise, level, model.denoiser.with_borrowed(prepared, features))

    here = (nodes, latents, noise, guess, level, handles(nodes))
    first = answer(model, *here)
    close(first, answer(model.to(GPU), *to_gpu(here)), 5e-3)


def test_borrowed_motion() -> None:
    library = MotionLibrary.load(asset_path("bank", "motions.safetensors"))
    torch.manual_seed(0)
    network = build_part_descriptor(load_config("small"))
    nodes, normals = body()
    condition = handles(nodes)

    def found(device: torch.device):
        tables = BankTables(library, network, device)
        place = lambda x: to_gpu(x) if device.type == "cuda" else x  # noqa: E731
        points, outward, mine = place(nodes), place(normals), place(condition)
        weight = graph_weights(points, torch.ones_like(points[..., 0], dtype=torch.bool))
        # All but eight shapes barred: the draw is then the same on both.
        barred = torch.ones(3, len(tables.names), dtype=torch.bool, device=device)
        barred[:, :8] = False
        generator = torch.Generator(device=device).manual_seed(1)
        matches = match_bodies(tables, points, outward, weight, barred, generator)
        order = matches.entry.argsort(dim=1)[:, :2]
        windows = Candidates(
            order,
            tables.first[matches.entry.gather(1, order)] + 2,
            torch.full((3, 2), 0.5, device=device),
            torch.ones(3, 2, device=device),
            torch.zeros(3, 2, device=device),
        )
        rotation, path = play(tables, matches, windows, 16)
        return led_through(RigidSurface.of(points, weight), rotation, path, mine, handle_shares(points, mine))

    described = describe_parts(network, nodes, normals)
    close(described.descriptor, describe_parts(network.to(GPU), nodes.to(GPU), normals.to(GPU)).descriptor, 5e-3)
    cpu, gpu = found(torch.device("cpu")), found(GPU)
    close(cpu.displacements, gpu.displacements, 5e-3)
    close(cpu.missed, gpu.missed, 5e-3)
