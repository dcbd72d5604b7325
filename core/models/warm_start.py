"""Geometric warm start: a prediction for every anchor from the handles alone, with its uncertainty.

A Gaussian process over the anchors and handles of one shape. Its covariance is smooth along a neighbourhood graph
(the inverse of a squared graph Laplacian, the discrete biharmonic kernel) with constant and linear terms added, so
that translation and turning extrapolate. Conditioned on the handles' tracks it gives, for each anchor and frame,

    mean [B, T, M, 3]         the interpolated displacement (linear in time where a handle is free),
    scale [B, T, M, 1]        its standard deviation: small beside a handle in a keyed frame, large far from them,
    noise_cholesky [B, M, M]  a square root of the anchors' correlation, to draw noise that is smooth over the shape.

The motion diffusion models (displacement - mean) / scale. An untrained model is then already a classical editor with
calibrated uncertainty, which training improves on. All lengths are in normalised space.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.models.deformation_priors import as_rigid_as_possible, common_motion, nearest_motion
from core.precision import distances, full_precision, where_float64_is
from core.shapes import Bool, Float

NEIGHBOURS = 5
# Prior standard deviations of displacement: of the whole shape, per unit of distance from the centre (turning
# and stretching), and of the parts against each other.
TRANSLATION = 0.20
LINEAR = 0.10
LOCAL = 0.10
STIFFNESS = 0.008  # screening of the Laplacian: larger lets distant parts move more independently
MEASUREMENT = 1e-6  # variance of a handle's target relative to LOCAL squared
TIME_SCALE = 4.0  # frames over which unconstrained motion decorrelates
CORRELATION_FRAMES = 6.0  # of the noise over time
SMALLEST_SCALE = 0.003


class HandleCondition(NamedTuple):
    """Handles of a batch, padded to K; frames are the moving frames 1..T-1 (frame 0 is rest by definition)."""

    positions: Tensor  # [B, K, 3] in frame 0
    displacements: Tensor  # [B, T, K, 3], only meaningful where `keyframe_mask` is true
    keyframe_mask: Tensor  # [B, T, K] bool
    present: Tensor  # [B, K] bool: False for padding
    variance: Tensor | None = None  # [B, K] of a displacement component where it was estimated; None: exact


class WarmStart(NamedTuple):
    mean: Tensor  # [B, T, M, 3]
    scale: Tensor  # [B, T, M, 1]
    noise_cholesky: Tensor  # [B, M, M]
    affinity: Tensor  # [B, M, M] prior correlation of the parts' motion at two anchors
    handle_affinity: Tensor  # [B, M, K] the same for an anchor and a handle, 0 for padding
    guesses: Tensor  # [B, T, M, G, 3] solutions of other classical methods, see `core.models.deformation_priors`

    def expand(self, seeds: int) -> WarmStart:
        """The warm start of one clip for several seeds, without copies."""
        return WarmStart(*(part.expand(seeds, *part.shape[1:]) for part in self))

    def repeat(self, times: int) -> WarmStart:
        """The whole batch several times in a row."""
        return WarmStart(*(part.repeat(times, *(1,) * (part.dim() - 1)) for part in self))


class FilledTracks(NamedTuple):
    displacements: Tensor  # [B, T, K, 3], linear in time between keyframes, constant after the last
    before: Tensor  # [B, T, K] frames since the last keyframe (frame 0 is one)
    after: Tensor  # [B, T, K] frames until the next keyframe; T if there is none


def fill_tracks(handles: HandleCondition) -> FilledTracks:
    """Interpolate every track in time; frame 0 is a keyframe with zero displacement."""
    batch, frames, count = handles.keyframe_mask.shape
    device = handles.keyframe_mask.device
    first = torch.ones(batch, 1, count, dtype=torch.bool, device=device)
    keyframe_mask = torch.cat([first, handles.keyframe_mask], dim=1)
    values = torch.cat([torch.zeros(batch, 1, count, 3, device=device), handles.displacements], dim=1)
    time = torch.arange(frames + 1, device=device)[None, :, None].expand_as(keyframe_mask)
    last = torch.where(keyframe_mask, time, -1).cummax(dim=1).values
    beyond = frames + 1
    following = torch.where(keyframe_mask, time, beyond).flip(1).cummin(dim=1).values.flip(1)
    open_end = following == beyond
    right = torch.where(open_end, last, following)
    span = (right - last).clamp_min(1)
    fraction = ((time - last) / span)[..., None]
    gather = lambda index: torch.gather(values, 1, index[..., None].expand(-1, -1, -1, 3))  # noqa: E731
    filled = torch.lerp(gather(last), gather(right), fraction)
    before = (time - last)[:, 1:].float()
    after = torch.where(open_end, torch.full_like(time, frames), following - time)[:, 1:].float()
    return FilledTracks(filled[:, 1:], before, after)


def track_uncertainty(tracks: FilledTracks) -> Float[Tensor, "B T K"]:
    """Uncertainty of a handle's own position: 0 at its keyframes, a bridge between them, rising to 1 after the last."""
    frames = tracks.before.shape[1]
    bridge = torch.where(
        tracks.after >= frames,
        tracks.before,
        tracks.before * tracks.after / (tracks.before + tracks.after).clamp_min(1),
    )
    return 1 - torch.exp(-bridge / TIME_SCALE)


class Prior(NamedTuple):
    covariance: Tensor  # [B, P, P] of one displacement component between the points of each shape
    local: Tensor  # [B, P, P] correlation of the parts' own motion, without the common translation and turning
    weight: Tensor  # [B, P, P] edge weights of the neighbourhood graph


def graph_weights(
    points: Float[Tensor, "B P 3"], valid: Bool[Tensor, "B P"], distance: Float[Tensor, "B P P"] | None = None
) -> Float[Tensor, "B P P"]:
    """Symmetric edge weights between near points; invalid points have none.

    `distance` is measured along the surface, by default straight.
    """
    count = points.shape[1]
    if distance is None:
        distance = distances(points, points)
    distance = distance.masked_fill(~(valid[:, :, None] & valid[:, None, :]), 1e3)
    near, _ = distance.topk(min(NEIGHBOURS + 1, count), dim=-1, largest=False)
    radius = near[..., -1:].clamp(1e-6, 10.0)
    linked = (distance <= radius) | (distance <= radius.transpose(-1, -2))
    spacing = near[..., 1 : NEIGHBOURS + 1].clamp_max(1.0).mean(dim=2) * valid
    bandwidth = (spacing.sum(dim=1) / valid.sum(dim=1).clamp_min(1))[:, None, None].clamp_min(1e-3)
    weight = 1.0 / ((distance / bandwidth).square() + 0.05) * linked + 1e-6
    weight = weight * (1 - torch.eye(count, device=points.device, dtype=points.dtype))
    weight = weight * (valid[:, :, None] & valid[:, None, :])
    return weight


def graph_prior(
    points: Float[Tensor, "B P 3"], valid: Bool[Tensor, "B P"], distance: Float[Tensor, "B P P"] | None = None
) -> Prior:
    """The prior described above, in double precision; `distance` is as for `graph_weights`."""
    count = points.shape[1]
    # In double precision: the kernel inverts a nearly singular Laplacian, and the matrix is small.
    points = points.double()
    weight = graph_weights(points, valid, None if distance is None else distance.double())
    degree = weight.sum(dim=-1)
    laplacian = torch.diag_embed(degree) - weight
    average = degree.sum(dim=-1) / valid.sum(dim=-1).clamp_min(1)
    screened = laplacian / average[:, None, None].clamp_min(1e-9)
    screened = screened + STIFFNESS * torch.eye(count, device=points.device, dtype=points.dtype)
    factor = torch.linalg.cholesky(screened)
    inverse = torch.cholesky_inverse(factor)
    local = inverse @ inverse
    deviation = local.diagonal(dim1=-2, dim2=-1).sqrt()
    local = local / (deviation[:, :, None] * deviation[:, None, :])
    linear = points @ points.transpose(-1, -2)
    return Prior(TRANSLATION**2 + LINEAR**2 * linear + LOCAL**2 * local, local, weight)


@full_precision
@where_float64_is
def warm_start(
    nodes: Float[Tensor, "B P 3"],
    count: int,
    handles: HandleCondition,
    tracks: FilledTracks | None = None,
    distance: Tensor | None = None,
) -> WarmStart:
    """Condition the prior on the handles (see above). Without handles the mean is zero.

    `nodes` are the graph's surface points, the more the better; the first `count` are the motion's anchors (M).
    `distance` [B, P + K, P + K] are surface distances between nodes and handles, in this order, if known; padding
    handles may be left out.
    """
    tracks = fill_tracks(handles) if tracks is None else tracks
    frames = handles.keyframe_mask.shape[1]
    present = handles.present
    size = nodes.shape[1]
    points = torch.cat([nodes, handles.positions], dim=1)
    valid = torch.cat([torch.ones_like(nodes[..., 0], dtype=torch.bool), present], dim=1)
    if distance is not None:
        free = points.shape[1] - distance.shape[1]
        distance = torch.nn.functional.pad(distance, (0, free, 0, free))
    graph = graph_prior(points, valid, distance)
    prior = graph.covariance
    anchor_prior = prior[:, :count, :count]
    pair = present[:, :, None] & present[:, None, :]
    eye = torch.eye(present.shape[1], device=nodes.device, dtype=prior.dtype)
    between = torch.where(pair, prior[:, size:, size:], eye) + MEASUREMENT * LOCAL**2 * eye
    if handles.variance is not None:
        between = between + torch.diag_embed(handles.variance.to(prior.dtype) * present)
    cross = prior[:, :, size:] * present[:, None, :]
    if present.shape[1]:
        root = torch.linalg.cholesky(between)
        every_weight = torch.cholesky_solve(cross.transpose(-1, -2), root).transpose(-1, -2)
    else:
        every_weight = cross
    weights, cross = every_weight[:, :count], cross[:, :count]
    known = tracks.displacements * present[:, None, :, None]
    every_mean = torch.einsum("bpk,btkd->btpd", every_weight.to(nodes.dtype), known)
    mean = every_mean[:, :, :count]

    posterior = anchor_prior - weights @ cross.transpose(-1, -2)
    prior_variance = anchor_prior.diagonal(dim1=-2, dim2=-1)
    variance = posterior.diagonal(dim1=-2, dim2=-1).clamp_min(0.0)
    loose = track_uncertainty(tracks)
    influence = weights.abs() + 1e-9 * present[:, None, :]
    share = influence / influence.sum(dim=-1, keepdim=True).clamp_min(1e-9)
    looseness = torch.einsum("bmk,btk->btm", share, loose.to(share) * present[:, None, :])
    looseness = torch.where(present.any(dim=-1)[:, None, None], looseness, torch.ones_like(looseness))
    time = torch.arange(1, frames + 1, device=nodes.device)
    growth = (1 - torch.exp(-time / TIME_SCALE))[None, :, None]
    total = growth * (variance[:, None] + looseness * (prior_variance - variance)[:, None])
    scale = total.clamp_min(0.0).sqrt().clamp_min(SMALLEST_SCALE)[..., None]

    average = looseness.mean(dim=(1, 2))[:, None, None]
    covariance = posterior + average * (anchor_prior - posterior)
    handle_affinity = (graph.local[:, :count, size:] * present[:, None, :]).to(nodes.dtype)
    weight = graph.weight.to(nodes.dtype)
    rigid = as_rigid_as_possible(points, weight, every_mean, known, present)[:, :, :count]
    guesses = [rigid, nearest_motion(known, handle_affinity), common_motion(known, present).expand_as(mean)]
    return WarmStart(
        mean,
        scale.to(nodes.dtype),
        correlation_root(covariance).to(nodes.dtype),
        graph.local[:, :count, :count].to(nodes.dtype),
        handle_affinity,
        torch.stack(guesses, dim=3),
    )


def correlation_root(covariance: Float[Tensor, "B M M"]) -> Float[Tensor, "B M M"]:
    """Lower Cholesky factor of the correlation matrix, with a little independent noise so that it is definite."""
    deviation = covariance.diagonal(dim1=-2, dim2=-1).clamp_min(1e-10).sqrt()
    correlation = covariance / (deviation[:, :, None] * deviation[:, None, :])
    eye = torch.eye(covariance.shape[-1], device=covariance.device, dtype=covariance.dtype)
    nugget = 0.05
    return torch.linalg.cholesky((1 - nugget) * (correlation + correlation.transpose(-1, -2)) / 2 + nugget * eye)


def temporal_root(frames: int) -> Float[Tensor, "T T"]:
    """Lower Cholesky factor of a squared-exponential correlation over frames.

    Measured residuals of the warm start stay correlated for most of a clip. Smoother noise costs some detail; rougher
    noise leaves jitter that only long training removes.
    """
    time = torch.arange(frames, dtype=torch.float64)
    correlation = torch.exp(-0.5 * ((time[:, None] - time[None, :]) / CORRELATION_FRAMES).square())
    root = torch.linalg.cholesky((1 - 2e-4) * correlation + 2e-4 * torch.eye(frames, dtype=torch.float64))
    return root.float()


@full_precision
def smooth_noise(
    white: Float[Tensor, "B T M C"], noise_cholesky: Float[Tensor, "B M M"], over_time: Float[Tensor, "T T"]
) -> Float[Tensor, "B T M C"]:
    """Give white noise the correlation of the warm start over anchors and of `temporal_root` over frames."""
    in_time = torch.einsum("ts,bsnc->btnc", over_time.to(white), white)
    return noise_cholesky[:, None] @ in_time
