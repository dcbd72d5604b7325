"""The motion decoder's affine head: local maps around anchors, blended at query points with learned weights.

An embedded deformation (Sumner et al. 2007) that finds a shape's parts from the motion itself. Anchors of one part keep
their mutual distances over all frames, so each anchor's map is fitted to those neighbours alone. The maps of a part
agree at its points, so the blend trusts maps that agree with the nearest ones. Both are exact for rigidly moving parts
without training; the network corrects maps and weights.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.geometry.rigid import polar_rotation
from core.models.layers import PointEmbedding, gather_rows
from core.precision import distances, full_precision
from core.shapes import Float, Int

TIGHT = 0.05  # relative change of two anchors' distance at which they count as different parts
AGREE = 0.2  # disagreement of two maps at a point, relative to its distance from the anchors, that lowers trust
NEAREST = 3  # maps that the others are compared with
FRAMES = 4  # at most, evenly spaced, to measure disagreement on


class LocalMaps(NamedTuple):
    """x -> linear x + constant for every anchor and frame."""

    linear: Tensor  # [B, T, M, 3, 3]
    constant: Tensor  # [B, T, M, 3]


class AffineHead(nn.Module):
    """Local maps from the trunk's tokens [B, T, M, width], and blend weights from the tokens' means over time."""

    def __init__(self, width: int, neighbours: int) -> None:
        super().__init__()
        self.neighbours = neighbours
        half = max(32, width // 2)
        self.from_gradient = nn.Linear(9, width)
        self.norm = nn.LayerNorm(width)
        self.to_correction = nn.Linear(width, 12)
        self.relative = PointEmbedding(half)
        self.from_token = nn.Linear(width, half, bias=False)
        self.from_agreement = nn.Linear(4, half)
        self.hidden = nn.Linear(half, half)
        self.pooled = nn.Linear(half, half)
        self.score = nn.Linear(half, 1)
        for layer in (self.to_correction, self.score):  # so that the untrained head is the classical one
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.log_agree = nn.Parameter(torch.tensor(math.log(AGREE)))

    @full_precision
    def fit_gradient(
        self, displacement: Float[Tensor, "B T M 3"], anchors: Float[Tensor, "B M 3"]
    ) -> Float[Tensor, "B T M 3 3"]:
        """The displacement's gradient at each anchor, fitted to the neighbours that keep their distance."""
        frames, count = displacement.shape[1:3]
        distance, index = distances(anchors, anchors).topk(min(self.neighbours + 1, count), dim=-1, largest=False)
        flat, shape = index.flatten(1), index.shape[1:]
        size = distance[..., -1:].clamp_min(1e-6)
        moved = (anchors[:, None] + displacement).transpose(1, 2).flatten(2)  # [B, M, T * 3]: frames go along
        edges = gather_rows(moved, flat).unflatten(1, shape) - moved[:, :, None]
        edges = edges.unflatten(-1, (frames, 3))
        stretch = ((edges.norm(dim=-1) - distance[..., None]) / size[..., None]).square().mean(dim=-1)  # [B, M, k]
        # Motions during sampling stretch everything, so only stretching more than the others counts.
        least = stretch[..., 1:].amin(dim=-1, keepdim=True) if shape[1] > 1 else 0.0
        weight = torch.exp(-2.0 * (distance / size).square() - stretch / (TIGHT**2 + least)).detach()
        offset = gather_rows(anchors, flat).unflatten(1, shape) - anchors[:, :, None]
        covariance = torch.einsum("bmktd,bmkg->btmdg", edges, weight[..., None] * offset)
        return differentiable_rotation(covariance) - torch.eye(3, device=anchors.device, dtype=anchors.dtype)

    @full_precision
    def maps(
        self,
        tokens: Float[Tensor, "B T M C"],
        displacement: Float[Tensor, "B T M 3"],
        fit: Float[Tensor, "B T M 3 3"],
        anchors: Float[Tensor, "B M 3"],
    ) -> LocalMaps:
        """The anchors' fitted maps, corrected by the network."""
        correction = self.to_correction(self.norm(tokens))
        gradient = fit + correction[..., 3:].unflatten(-1, (3, 3))
        moved = anchors[:, None] + displacement + 0.1 * correction[..., :3]
        linear = gradient + torch.eye(3, device=anchors.device, dtype=gradient.dtype)
        return LocalMaps(linear, moved - (linear @ anchors[:, None, :, :, None]).squeeze(-1))

    @full_precision
    def blend(
        self,
        maps: LocalMaps,
        tokens: Float[Tensor, "B M C"],
        anchors: Float[Tensor, "B M 3"],
        points: Float[Tensor, "B Q 3"],
        distance: Float[Tensor, "B Q M"] | None = None,
    ) -> Float[Tensor, "B T Q 3"]:
        """Positions of the points in every frame.

        `tokens` are means over time; `distance` is measured along the surface, by default straight.
        """
        frames, count = maps.constant.shape[1:3]
        weights = self.blend_weights(maps, tokens, anchors, points, distance)
        rows = torch.cat([maps.linear.flatten(-2), maps.constant], dim=-1)  # [B, T, M, 12]
        blended = weights @ rows.transpose(1, 2).reshape(len(rows), count, frames * 12)
        blended = blended.unflatten(-1, (frames, 12)).transpose(1, 2)  # [B, T, Q, 12]
        linear = blended[..., :9].unflatten(-1, (3, 3))
        return (linear @ points[:, None, :, :, None]).squeeze(-1) + blended[..., 9:]

    def blend_weights(
        self,
        maps: LocalMaps,
        tokens: Float[Tensor, "B M C"],
        anchors: Float[Tensor, "B M 3"],
        points: Float[Tensor, "B Q 3"],
        distance: Float[Tensor, "B Q M"] | None = None,
    ) -> Float[Tensor, "B Q M"]:
        """Convex weights of the nearest anchors, shared by all frames, so that smooth motions stay smooth."""
        near = min(self.neighbours, anchors.shape[1])
        every = distances(points, anchors) if distance is None else distance
        distance, index = every.topk(near, dim=-1, largest=False)
        flat, shape = index.flatten(1), index.shape[1:]
        squared = distance.square()
        farthest = squared[..., -1:].clamp_min(1e-8)
        # The last neighbour's weight fades to zero, which keeps weights continuous where neighbours change.
        nearness = -6.0 * squared / farthest + (1.0 - squared / farthest).clamp_min(1e-4).log()
        apart = self._disagreement(maps, points, distance, index)  # [B, Q, k, nearest]
        share = torch.softmax(nearness[..., : apart.shape[-1]], dim=-1)
        doubt = (apart * share[:, :, None]).sum(dim=-1)
        logits = nearness - doubt / (2 * self.log_agree).exp()
        offset = points[:, :, None] - gather_rows(anchors, flat).unflatten(1, shape)
        known = [(doubt + 1e-4).log(), (apart[..., 0] + 1e-4).log(), logits.clamp(-20.0, 5.0) / 5.0, distance * 10.0]
        features = gather_rows(self.from_token(tokens), flat).unflatten(1, shape) + self.relative(offset)
        features = self.hidden(nn.functional.silu(features + self.from_agreement(torch.stack(known, dim=-1))))
        features = features + self.pooled(features.mean(dim=2, keepdim=True))
        weights = torch.softmax(logits + self.score(nn.functional.silu(features)).squeeze(-1), dim=-1)
        everyone = torch.zeros(*shape[:1], anchors.shape[1], device=points.device, dtype=weights.dtype)
        return everyone.expand(len(points), -1, -1).scatter(-1, index, weights)

    def _disagreement(
        self, maps: LocalMaps, points: Tensor, distance: Tensor, index: Int[Tensor, "B Q k"]
    ) -> Float[Tensor, "B Q k n"]:
        """Mean squared distance between a point under each near anchor's map and under each of the nearest ones."""
        frames = maps.constant.shape[1]
        some = torch.linspace(0, frames - 1, min(frames, FRAMES), device=points.device).round().long()
        rows = torch.cat([maps.linear[:, some].flatten(-2), maps.constant[:, some]], dim=-1)
        rows = gather_rows(rows.transpose(1, 2).flatten(2), index.flatten(1)).unflatten(1, index.shape[1:])
        rows = rows.unflatten(-1, (len(some), 12))  # [B, Q, k, T, 12]
        linear = rows[..., :9].unflatten(-1, (3, 3))
        moved = (linear @ points[:, :, None, None, :, None]).squeeze(-1) + rows[..., 9:]
        nearest = min(NEAREST, index.shape[-1])
        apart = (moved[:, :, :, None] - moved[:, :, None, :nearest]).square().sum(dim=-1).mean(dim=-1)
        return apart / distance[..., nearest - 1, None, None].square().clamp_min(1e-8)


def differentiable_rotation(covariance: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """`polar_rotation` with its exact derivative; differentiating its iterations would lose precision.

    R + dR = R (I + [w]) with (tr(S) I - S) w = the axial vector of R^T dC, where S = R^T C is symmetric.
    """
    rotation = polar_rotation(covariance.detach())
    if not (torch.is_grad_enabled() and covariance.requires_grad):
        return rotation
    eye = torch.eye(3, device=covariance.device, dtype=covariance.dtype)
    turned = rotation.transpose(-1, -2) @ covariance
    stretch = turned.detach()
    stretch = (stretch + stretch.transpose(-1, -2)) / 2
    trace = stretch.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]
    skew = turned - turned.transpose(-1, -2)  # zero but for rounding: it is there for its derivative
    axial = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    system = trace * eye - stretch + 1e-4 * trace.abs().clamp_min(1e-12) * eye
    w = torch.linalg.solve(system, axial - axial.detach())
    zero = torch.zeros_like(w[..., 0])
    cross = torch.stack(
        [zero, -w[..., 2], w[..., 1], w[..., 2], zero, -w[..., 0], -w[..., 1], w[..., 0], zero], dim=-1
    ).unflatten(-1, (3, 3))
    return rotation @ (eye + cross)
