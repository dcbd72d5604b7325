"""Learned stiffness: which edges of a shape's neighbourhood graph keep their length and angle, and which bend.

As-rigid-as-possible deformation bends a shape evenly; a real one bends at its joints. Its energy is the negative
logarithm of a likelihood: each edge, turned with its end's neighbourhood, is missed by a Gaussian residual whose
precision is the edge's weight. So the weights can be learned from tracked motion directly, edge by edge, without
solving anything: the network predicts each edge's expected squared residual, and the weight is divided by it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.config import StiffnessConfig
from core.geometry.rigid import polar_rotation
from core.models.layers import Attention, FeedForward, PointEmbedding, gather_rows
from core.precision import full_precision
from core.shapes import Float, Int

NEAREST = 10  # edges per point that are looked at; the graph links fewer
LARGEST = 5.0  # bound of a logarithmic flexibility
FAINT = 0.02  # affinities below this count as this
# Power of the flexibility that an edge is weakened by: 1 is the likelihood's own; chosen on unseen motions.
SHARPNESS = 1.5
FLOOR = 0.01  # squared relative residual that counts as none
RESIDUAL_CAP = 2.0


class EdgeStiffness(nn.Module):
    """Logarithmic flexibility of edges from the shape latents at their ends.

    Untrained it is 0 everywhere, which leaves the graph as it is.
    """

    def __init__(self, config: StiffnessConfig, channels: int) -> None:
        super().__init__()
        width, hidden = config.width, config.edge_width
        self.input = nn.Linear(channels, width)
        self.place = PointEmbedding(width)
        self.attentions = nn.ModuleList(Attention(width, config.head_dim) for _ in range(config.blocks))
        self.feed_forwards = nn.ModuleList(FeedForward(width, config.expansion) for _ in range(config.blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * config.blocks + 1))
        heads = max(1, width // config.head_dim)
        # From heads that see the whole shape to heads that look next door only.
        self.reaches = nn.ParameterList(nn.Parameter(torch.linspace(0.0, 6.0, heads)) for _ in range(config.blocks))
        self.sum_of_ends = nn.Linear(width, hidden)
        self.product_of_ends = nn.Linear(width, hidden)
        self.from_length = nn.Linear(2, hidden)
        self.output = nn.Linear(2 * hidden, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @full_precision
    def forward(
        self,
        latents: Float[Tensor, "B L Cs"],
        nodes: Float[Tensor, "B L 3"],
        affinity: Float[Tensor, "B P P"],
        points: Float[Tensor, "B P 3"],
    ) -> tuple[Float[Tensor, "B P k"], Int[Tensor, "B P k"]]:
        """Flexibility of the edges from each point to its nearest others, and these points' indices.

        `latents` are known at `nodes`, the first L of the `points`; the others are like the node next to them.
        """
        count = nodes.shape[1]
        x = self.input(latents) + self.place(nodes)
        near = affinity[:, :count, :count].clamp_min(FAINT).log()
        layers = zip(self.attentions, self.feed_forwards, self.reaches, strict=True)
        for number, (attention, feed_forward, reach) in enumerate(layers):
            x = x + attention(self.norms[2 * number](x), bias=reach[:, None, None] * near[:, None])
            x = x + feed_forward(self.norms[2 * number + 1](x))
        x = self.norms[-1](x)
        if points.shape[1] > count:
            x = torch.cat([x, gather_rows(x, torch.cdist(points[:, count:], nodes).argmin(dim=-1))], dim=1)
        length, index = nearest_others(points)
        ends = lambda values: gather_rows(values, index.flatten(1)).unflatten(1, index.shape[1:])  # noqa: E731
        total, product = self.sum_of_ends(x), self.product_of_ends(x)
        lengths = self.from_length(torch.stack([length, (length + 1e-3).log()], dim=-1))
        edge = torch.cat([total[:, :, None] + ends(total) + lengths, product[:, :, None] * ends(product)], dim=-1)
        return LARGEST * torch.tanh(self.output(nn.functional.silu(edge)).squeeze(-1) / LARGEST), index

    def stiffened(
        self,
        weight: Float[Tensor, "B P P"],
        latents: Float[Tensor, "B L Cs"],
        nodes: Float[Tensor, "B L 3"],
        affinity: Float[Tensor, "B P P"],
        points: Float[Tensor, "B P 3"],
    ) -> Float[Tensor, "B P P"]:
        """The graph's symmetric edge weights with flexible edges weakened and stiff ones strengthened."""
        flexibility, index = self(latents, nodes, affinity, points)
        once = torch.zeros_like(weight).scatter(2, index, flexibility.to(weight.dtype))
        known = torch.zeros_like(weight).scatter(2, index, 1.0)
        # An edge may be among the nearest of one of its ends only.
        both = (once + once.transpose(1, 2)) / (known + known.transpose(1, 2)).clamp_min(1.0)
        return weight * (-SHARPNESS * both).exp()


def nearest_others(points: Float[Tensor, "B P 3"]) -> tuple[Float[Tensor, "B P k"], Int[Tensor, "B P k"]]:
    """Distances and indices of each point's nearest other points."""
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distance = distance + 1e3 * torch.eye(points.shape[1], device=points.device)
    return distance.topk(min(NEAREST, points.shape[1] - 1), dim=-1, largest=False)


@full_precision
def flexing(
    nodes: Float[Tensor, "B P 3"],
    displacements: Float[Tensor, "B T P 3"],
    weight: Float[Tensor, "B P P"],
    index: Int[Tensor, "B P k"],
) -> Float[Tensor, "B P k"]:
    """How much a motion bends each edge: mean squared residual relative to the clip's own mean, so 1 on average.

    The residual is what is left of the edge after turning it with its end's neighbourhood, as a share of its length.
    """
    ends = index.flatten(1)
    edges = gather_rows(nodes, ends).unflatten(1, index.shape[1:]) - nodes[:, :, None]
    moved = nodes[:, None] + displacements
    theirs = torch.stack([gather_rows(frame, ends) for frame in moved.unbind(1)], dim=1)
    moved_edges = theirs.unflatten(2, index.shape[1:]) - moved[:, :, :, None]
    covariance = torch.einsum("bpk,btpkx,bpky->btpxy", weight.gather(2, index), moved_edges, edges)
    rotation = polar_rotation(covariance)
    residual = moved_edges - torch.einsum("btpxy,bpky->btpkx", rotation, edges)
    relative = residual.square().sum(dim=-1) / (edges.square().sum(dim=-1) + 1e-6)[:, None]
    bent = relative.clamp_max(RESIDUAL_CAP).mean(dim=1) + FLOOR
    return bent / bent.mean(dim=(1, 2), keepdim=True)


def stiffness_loss(flexibility: Float[Tensor, "B P k"], bent: Float[Tensor, "B P k"]) -> Float[Tensor, ""]:
    """Negative log-likelihood of squared residuals whose expectation is exp(flexibility)."""
    return (flexibility + bent * (-flexibility).exp()).mean()
