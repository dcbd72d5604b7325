"""Tracks a surface through scans without correspondences, frame by frame, as rigidly as possible.

The classical half of reconstruction (non-rigid ICP on a neighbourhood graph, after Li et al. 2008). Its result becomes
handles with a variance for the motion diffusion: seen parts are followed, hidden ones are left to the prior.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.models.deformation_priors import ArapSystem
from core.models.time_smoothing import binomial_smooth
from core.models.warm_start import HandleCondition, graph_weights
from core.precision import distances
from core.shapes import Bool, Float

NODES = 128  # nodes that are tracked
ITERATIONS = 4
HOLD = 0.3  # weight of a matched node's target, in units of the mean degree of the graph
LOOSE = 1e-3  # weight of every node's predicted position, in the same units
REACH = (0.10, 0.05)  # distance at which a match's weight is e^-1, in the first and in the last iteration
HANDLES = 32  # nodes that become handles
CONFIDENT = 0.35  # from this confidence on, a node counts as observed
DEVIATION = 0.02  # standard deviation of a displacement component from the truth, measured on visible nodes
VELOCITY = 0.7  # share of the last frame's displacement that the next one starts with


class Registration(NamedTuple):
    displacements: Tensor  # [B, T, P, 3] of the nodes from frame 0
    confidence: Tensor  # [B, T, P] in 0..1: how well the node's neighbourhood is observed in that frame


def register_scans(
    nodes: Float[Tensor, "B P 3"], scans: Float[Tensor, "B T L 3"], present: Bool[Tensor, "B T L"]
) -> Registration:
    """Follow `nodes`, surface points of frame 0, through the scans of the moving frames 1..T."""
    with torch.autocast(nodes.device.type, enabled=False):
        nodes, scans = nodes.float(), scans.float()
        valid = torch.ones_like(nodes[..., 0], dtype=torch.bool)
        weight = graph_weights(nodes, valid).float()
        degree = weight.sum(dim=-1).mean(dim=-1, keepdim=True)
        current, previous = nodes, nodes
        displacements, confidences = [], []
        for frame in range(scans.shape[1]):
            start = current + VELOCITY * (current - previous)
            previous = current
            current, confidence = _follow(nodes, weight, degree, start, scans[:, frame], present[:, frame])
            displacements.append(current - nodes)
            confidences.append(confidence)
        return Registration(smoothed(torch.stack(displacements, dim=1)), torch.stack(confidences, dim=1))


def smoothed(displacements: Float[Tensor, "B T P 3"]) -> Float[Tensor, "B T P 3"]:
    """Displacements averaged over five frames by binomial weights, which removes matching noise; 0 in frame 0."""
    return binomial_smooth(binomial_smooth(displacements))


def registered_handles(
    nodes: Float[Tensor, "B P 3"], scans: Float[Tensor, "B T L 3"], present: Bool[Tensor, "B T L"]
) -> HandleCondition:
    """Handles at the first NODES visible nodes, with their registered displacements."""
    nodes = nodes[:, :NODES]
    return handles_of(nodes, register_scans(nodes, scans, present))


def handles_of(
    nodes: Float[Tensor, "B P 3"],
    found: Registration,
    handles: int = HANDLES,
    often: float = 0.3,
    deviation: float = DEVIATION,
) -> HandleCondition:
    """At most `handles` handles at nodes that are observed in more than the share `often` of the frames.

    Nodes are taken in order (farthest points first). A frame that does not show a node still keys its handle, where its
    neighbours carried it: a handle that comes and goes would shake the whole shape.
    """
    seen = (found.confidence > CONFIDENT).float().mean(dim=1) > often
    count = min(handles, nodes.shape[1])
    chosen = (~seen).to(torch.int64).argsort(dim=1, stable=True)[:, :count]  # [B, K]
    shown = seen.gather(1, chosen)
    frames = found.displacements.shape[1]
    keyframe_mask = shown[:, None].expand(-1, frames, -1)
    displacements = found.displacements.gather(2, chosen[:, None, :, None].expand(-1, frames, -1, 3))
    positions = nodes.gather(1, chosen[..., None].expand(-1, -1, 3))
    variance = torch.full_like(positions[..., 0], deviation**2)
    return HandleCondition(positions, displacements * keyframe_mask[..., None], keyframe_mask, shown, variance)


def confidence_of(
    nodes: Float[Tensor, "B P 3"],
    displacements: Float[Tensor, "B T P 3"],
    scans: Float[Tensor, "B T L 3"],
    present: Bool[Tensor, "B T L"],
) -> Float[Tensor, "B T P"]:
    """How well each node's neighbourhood is observed in each frame under this motion, in 0..1."""
    frames = range(scans.shape[1])
    near = [match(nodes + displacements[:, t], scans[:, t], present[:, t], REACH[1])[1] for t in frames]
    return torch.stack(near, dim=1)


def _follow(
    rest: Tensor, weight: Tensor, degree: Tensor, start: Tensor, scan: Tensor, present: Tensor
) -> tuple[Tensor, Tensor]:
    """Positions [B, P, 3] of the nodes in one frame, and the confidence [B, P] of each."""
    target, confidence = match(start, scan, present, REACH[0])
    pull, loose = HOLD * confidence, LOOSE
    system = ArapSystem.of(rest, weight, (pull + loose) * degree)
    current = start[:, :, None]
    for step in range(ITERATIONS):
        if step:
            reach = REACH[0] + (REACH[1] - REACH[0]) * step / (ITERATIONS - 1)
            target, now = match(current[:, :, 0], scan, present, reach)
            share = (now / confidence.clamp_min(1e-6)).clamp_max(1.0)[..., None]
            target = torch.lerp(current[:, :, 0], target, share)
        goal = (pull[..., None] * target + loose * start) / (pull + loose)[..., None]
        current = system.step(current, goal[:, :, None])
    return current[:, :, 0], match(current[:, :, 0], scan, present, REACH[1])[1]


def match(nodes: Tensor, scan: Tensor, present: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Targets [B, P, 3] of the nodes and their confidence [B, P].

    A scan point pulls only the node nearest to it, so that nodes of the hidden side, which are never nearest, are not
    pulled through the shape.
    """
    batch, count, _ = nodes.shape
    distance = distances(scan, nodes)  # [B, L, P]
    nearest, index = distance.min(dim=-1)
    pull = torch.exp(-(nearest / reach).square()) * present
    flat = index[..., None].expand(-1, -1, 3)
    total = torch.zeros(batch, count, device=nodes.device).scatter_add(1, index, pull)
    mean = torch.zeros_like(nodes).scatter_add(1, flat, scan * pull[..., None])
    mean = mean / total.clamp_min(1e-6)[..., None]
    return torch.where(total[..., None] > 1e-3, mean, nodes), total / (total + 0.5)
