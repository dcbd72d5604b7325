"""Observations for diffusion training, simulated on the fly: what the shape stage and the motion stage get to see.

A kind of observation is drawn per block of clips, so that a block's tensors need little padding:
`tracked` sparse points with noise (of the motion stage, often those above a plane only), `scans` one-sided depth or a
half body without correspondence, `voxels`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core.config import Config, TaskConfig
from core.data.observations import (
    Observation,
    above_plane,
    depth_scan,
    half_body,
    surface_voxels,
    tracked_points,
)
from core.errors import ConfigError
from core.geometry.farthest_points import farthest_present_indices
from core.models.layers import gather_rows
from core.models.observation_conditioners import ScanCondition
from core.models.registration import registered_handles
from core.models.shape_diffusion import ShapeObservation
from core.models.warm_start import HandleCondition
from core.sequence import BOX_SIDE

OBSERVED_KINDS = ("tracked", "scans", "voxels")
KINDS = ("handles", "stiffness", *OBSERVED_KINDS)
NOISE = (0.0005, 0.01)  # standard deviation of a measured point, log-uniform
HALF_TRACKED = 0.5  # of tracked clips of the motion stage are cut by a plane
SCANS = (0.55, 0.3, 0.15)  # shares of one-sided scans, half bodies, and whole ones
CELLS = 32


def draw_kind(tasks: TaskConfig, generator: torch.Generator, prefix: str = "") -> str:
    """One of KINDS by the shares in the configuration, whose fields have that prefix (those missing count 0)."""
    shares = torch.tensor([float(getattr(tasks, prefix + kind, 0.0)) for kind in KINDS], device=generator.device)
    if not bool(shares.sum() > 0):
        raise ConfigError(f"All shares tasks.{prefix}... are 0; give at least one kind of observation a share.")
    return KINDS[int(torch.multinomial(shares, 1, generator=generator))]


def noise_levels(batch: int, generator: torch.Generator) -> Tensor:
    """Standard deviations [B] of the points' noise."""
    low, high = (math.log(value) for value in NOISE)
    return (low + (high - low) * torch.rand(batch, device=generator.device, generator=generator)).exp()


def scan_of(
    points: Tensor, normals: Tensor, count: int, generator: torch.Generator, whole: bool = False
) -> Observation:
    """A scan of points [B, T, N, 3]: one-sided, cut in half or, where `whole` is allowed, complete."""
    sigma = noise_levels(len(points), generator)
    shares = torch.tensor(SCANS, device=generator.device)[: 3 if whole else 2]
    which = int(torch.multinomial(shares, 1, generator=generator))
    if which == 0:
        return depth_scan(points, normals, count, generator, sigma)
    return (half_body if which == 1 else tracked_points)(points, count, sigma, generator)


def quantised(points: Tensor) -> Tensor:
    """The centres of the voxels that points fall into."""
    return ((points / BOX_SIDE + 0.5) * CELLS).floor().add(0.5) / CELLS * BOX_SIDE - BOX_SIDE / 2


def shape_observation(
    kind: str, points: Tensor, normals: Tensor, config: Config, generator: torch.Generator
) -> ShapeObservation:
    """What the shape stage sees of frame 0, from surface points [B, 1, N, 3] and normals [B, N, 3]."""
    batch, latents = len(points), config.shape.latents
    rest, count = points[:, 0], config.tasks.shape_points
    if kind == "voxels":
        observed = rest[:, torch.randperm(rest.shape[1], device=rest.device, generator=generator)[:count]]
        observed, present = quantised(observed), torch.ones(batch, count, dtype=torch.bool, device=rest.device)
        dense = {"voxels": surface_voxels(points, normals)}
        chosen = farthest_present_indices(observed, present, min(latents, count))
        return ShapeObservation.of(observed, present, latents, chosen, dense)
    if kind == "scans":
        scan = scan_of(points, normals, count, generator)
        fewest, most = max(1, latents * 3 // 8), max(1, latents * 5 // 8)
        wanted = int(torch.randint(fewest, most + 1, (), device=rest.device, generator=generator))
    else:
        scan = tracked_points(points, count, noise_levels(batch, generator), generator)
        fewest = config.tasks.fewest_points
        kept = (fewest * (count / fewest) ** torch.rand(batch, 1, device=rest.device, generator=generator)).ceil()
        whole = torch.rand(batch, 1, device=rest.device, generator=generator) < 0.5
        row = torch.arange(count, device=rest.device)[None]
        scan = Observation(scan.points, scan.present & (whole | (row < kept))[:, None])
        wanted = min(latents, count)
    observed, present = scan.points[:, 0], scan.present[:, 0]
    return ShapeObservation.of(observed, present, latents, farthest_present_indices(observed, present, wanted))


def motion_observation(
    kind: str,
    points: Tensor,
    normals: Tensor,
    nodes: Tensor,
    anchors: Tensor,
    config: Config,
    generator: torch.Generator,
) -> tuple[HandleCondition, ScanCondition | None]:
    """What the motion stage sees of all frames: estimated handles, and the raw observation.

    points [B, 1 + T, N, 3] with normals [B, N, 3] of frame 0 are what sensors look at; nodes [B, P, 3] lie on the
    surface of frame 0, the first ones being the motion's anchors, whose rows in the clip's tracks are not seen here.
    For `tracked`, anchors [B, M] are the rows of `points` that the motion's anchors are.
    """
    batch, frames = points.shape[0], points.shape[1] - 1
    count = config.tasks.scan_points
    if kind == "tracked":
        sigma = noise_levels(batch, generator) * 0.5
        noise = torch.randn(batch, frames + 1, anchors.shape[1], 3, device=points.device, generator=generator)
        tracks = gather_rows(points, anchors[:, None].expand(-1, frames + 1, -1)) + noise * sigma[:, None, None, None]
        half = torch.rand(batch, 1, device=points.device, generator=generator) < HALF_TRACKED
        return tracked_handles(tracks, sigma, ~half | above_plane(tracks[:, 0], generator)), None
    dense = {}
    if kind == "voxels":
        picked = torch.randperm(points.shape[2], device=points.device, generator=generator)[:count]
        seen = quantised(points[:, 1:, picked])
        present = torch.ones(seen.shape[:3], dtype=torch.bool, device=points.device)
        dense = {"voxels": surface_voxels(points, normals)}
    else:
        scan = scan_of(points, normals, count, generator, whole=True)
        seen, present = scan.points[:, 1:], scan.present[:, 1:]
    handles = registered_handles(nodes, seen, present)
    return handles, ScanCondition(seen, present, dense)


def tracked_handles(tracks: Tensor, sigma: Tensor, present: Tensor) -> HandleCondition:
    """Handles at observed tracks [B, 1 + T, K, 3] with noise sigma [B], known in every frame where present [B, K]."""
    _, frames, count, _ = tracks.shape
    return HandleCondition(
        tracks[:, 0],
        tracks[:, 1:] - tracks[:, :1],
        present[:, None].expand(-1, frames - 1, -1),
        present,
        2 * sigma.square()[:, None].expand(-1, count),
    )
