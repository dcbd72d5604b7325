"""The shape stage: denoiser of frame 0's latents with its conditioners (paper 3.2.1, 3.3).

With `conditions.observed_anchors`, latents sit on the observed points. They start from the autoencoder's encoding of
these points with estimated normals, and the denoiser models the difference. Each latent of the unseen part is paired
with a seen one and modelled as a displacement from it. Where a body of the bank was bent to the observation
(`shape_denoiser.borrowed`), the unseen latents sit on its surface instead and start from its encoding; the denoiser
models how the shape differs from it, and is told how well the body fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.config import Config
from core.errors import ConfigError
from core.geometry.farthest_points import farthest_point_indices
from core.models.conditioners import PointConditioner
from core.models.denoisers import Prepared, ShapeDenoiser
from core.models.layers import PointEmbedding, gather_rows, zero_linear
from core.models.local_attention import LocalAttention
from core.models.observation_conditioners import NOTHING_DENSE, add_dense_conditioners, with_tokens
from core.models.point_normals import FAR, estimate_normals
from core.models.shape_autoencoder import ShapeAutoencoder
from core.precision import distances
from core.shapes import Bool, Float, Int

SEEN_SCALE = 0.01  # standard deviation of a true position around an observed anchor
PAIRED_SCALE = 0.12  # of an unseen position around the seen one it is paired with
UNSEEN_SCALE = 0.3  # and around the centre where nothing is seen
BORROWED_SCALE = 0.08  # and around its place on a body that was bent to what is seen
TOKENS = 128  # points that become tokens; lookups around anchors use all points
NEIGHBOURS = 16
BODY_NEIGHBOURS = 8
BODY_FEATURES = 6  # beside those of the surface around an anchor, see `ShapeDiffusion._of_body`


class ShapeBody(NamedTuple):
    """The surfaces of bodies that were bent to observations, in normalised space."""

    points: Tensor  # [B, P, 3]
    normals: Tensor  # [B, P, 3], outward unit normals
    misfit: Tensor  # [B] as a share of the size; 0 is perfect
    present: Tensor  # [B] bool: False where no body fits


class ShapeObservation(NamedTuple):
    """What is known of frame 0, in normalised space."""

    points: Tensor  # [B, L, 3]
    present: Tensor  # [B, L] bool: False for padding
    anchors: Tensor  # [B, M, 3] observed points that latents sit on; where not seen, the points they are paired with
    seen: Tensor  # [B, M] bool
    dense: Mapping[str, Tensor] = NOTHING_DENSE  # [B, 1, ...] by its conditioner's name, as of ScanCondition
    guess: Tensor | None = None  # [B, M, Cs] latents of the observed points with estimated normals, see `guessed`
    body: ShapeBody | None = None

    @classmethod
    def of(
        cls,
        points: Float[Tensor, "B L 3"],
        present: Bool[Tensor, "B L"],
        latents: int,
        chosen: Int[Tensor, "B W"] | None,
        dense: Mapping[str, Tensor] = NOTHING_DENSE,
    ) -> ShapeObservation:
        """Place the first latents on the `chosen` points: the W <= `latents` farthest of those present."""
        anchors = points.new_zeros(len(points), latents, 3)
        seen = torch.zeros(len(points), latents, dtype=torch.bool, device=points.device)
        if chosen is not None:
            count = present.sum(dim=1, keepdim=True).clamp_max(chosen.shape[1])
            row = torch.arange(latents, device=points.device)[None]
            seen = row < count
            anchors = gather_rows(gather_rows(points, chosen), row % count.clamp_min(1)) * (count > 0)[..., None]
        return cls(points, present, anchors, seen, dense)

    @property
    def borrowed(self) -> Bool[Tensor, "B M"]:
        """Which latents sit on a body."""
        if self.body is None:
            return torch.zeros_like(self.seen)
        return ~self.seen & (self.body.present & self.seen.any(dim=1))[:, None]

    @torch.no_grad()
    def completed(self, body: ShapeBody) -> ShapeObservation:
        """The observation with its unseen latents on `body`, at points far from the seen ones and from each other."""
        told = self._replace(body=body)
        given = torch.where(self.seen[..., None], self.anchors, self.anchors[:, :1])
        chosen = farthest_point_indices(body.points, self.seen.shape[1], given=given)
        order = (~self.seen).cumsum(dim=1).sub(1).clamp_min(0)
        places = gather_rows(gather_rows(body.points, chosen), order)
        return told._replace(anchors=torch.where(told.borrowed[..., None], places, self.anchors))

    @torch.no_grad()
    def guessed(self, autoencoder: ShapeAutoencoder) -> ShapeObservation:
        """Adds the autoencoder's latents of the observed points, and of the body; zero for clips with no points."""
        normals = estimate_normals(self.points, self.present)
        visible = torch.where(self.present[..., None], self.points, FAR)
        latents, _ = autoencoder.encode(visible, self.anchors, normals)
        latents = latents * self.seen.any(dim=1)[:, None, None]
        if self.body is not None:
            of_body, _ = autoencoder.encode(self.body.points, self.anchors, self.body.normals)
            latents = torch.where(self.borrowed[..., None], of_body, latents)
        return self._replace(guess=latents)


class ShapePrepared(NamedTuple):
    """What all denoiser calls share, and the whitening of the latents under this condition."""

    network: Prepared
    mean: Tensor  # [B, M, Cs]
    scale: Tensor  # [B, M, Cs]

    def repeat(self, seeds: int) -> ShapePrepared:
        """The same condition for several seeds in one batch; needs a batch of 1."""
        return ShapePrepared(self.network.repeat(seeds), self.mean.repeat(seeds, 1, 1), self.scale.repeat(seeds, 1, 1))

    def whiten(self, latents: Float[Tensor, "B M Cs"]) -> Tensor:
        return (latents - self.mean) / self.scale

    def unwhiten(self, whitened: Float[Tensor, "B M Cs"]) -> Tensor:
        return whitened * self.scale + self.mean


class ShapeDiffusion(nn.Module):
    """Shape denoiser with its conditioners; latents are whitened per channel, positions by what is observed."""

    latent_mean: Tensor
    latent_std: Tensor
    guess_std: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, conditions = config.shape_denoiser.width, config.conditions
        self.anchored = conditions.observed_anchors
        if self.anchored and not config.shape.explicit_anchor:
            raise ConfigError("conditions.observed_anchors needs shape.explicit_anchor: true.")
        self.latents = config.shape.latents
        self.conditioner = PointConditioner(width, config.shape_denoiser.expansion)
        self.dense = add_dense_conditioners(self, conditions, width, 1)
        self.denoiser = ShapeDenoiser(config.shape_denoiser, config.shape.channels, self.anchored)
        self.borrows = config.shape_denoiser.borrowed
        if self.borrows and not (self.anchored and config.shape.normals):
            raise ConfigError("shape_denoiser.borrowed needs conditions.observed_anchors and shape.normals: true.")
        self.register_buffer("guess_std", torch.ones(config.shape.channels))
        if self.anchored:
            self.place = PointEmbedding(width)
            self.from_guess = nn.Linear(config.shape.channels, width)
            self.local = LocalAttention(NEIGHBOURS, width // 2)
            self.from_local = nn.Linear(width // 2, width)
            self.unseen = nn.Parameter(0.02 * torch.randn(width))
        if self.borrows:
            self.body_local = LocalAttention(BODY_NEIGHBOURS, width // 2, 3)
            self.from_body = zero_linear(width // 2 + BODY_FEATURES, width, bias=False)
        self.register_buffer("latent_mean", torch.zeros(config.shape.channels))
        self.register_buffer("latent_std", torch.ones(config.shape.channels))

    def prepare(self, observed: ShapeObservation) -> ShapePrepared:
        """Encode the observation once."""
        tokens = self.conditioner(observed.points[:, :TOKENS], observed.present[:, :TOKENS])
        for name, seen in observed.dense.items():
            if name in self.dense:
                tokens = with_tokens(tokens, self.get_submodule(name)(seen.float())[:, None])
        fixed = self._fixed(observed) if self.anchored else None
        borrowed = observed.borrowed[..., None] if self.borrows and observed.body is not None else None
        return ShapePrepared(self.denoiser.prepare(tokens, fixed, borrowed), *self._whitening(observed))

    def _fixed(self, observed: ShapeObservation) -> Float[Tensor, "B M C"]:
        seen = observed.seen[..., None]
        points = torch.where(observed.present[..., None], observed.points, FAR)
        known = self.place(observed.anchors) + self.from_local(self.local(observed.anchors, points))
        if observed.guess is not None:
            known = known + self.from_guess(observed.guess)
        if self.borrows and observed.body is not None:
            known = known + self._of_body(observed, observed.body)
        known = known * observed.seen.any(dim=1)[:, None, None]
        return torch.where(seen, known, known + self.unseen.to(known.dtype))

    def _of_body(self, observed: ShapeObservation, body: ShapeBody) -> Float[Tensor, "B M C"]:
        """What the body says around each anchor, and how far to trust it; zero without one."""
        assert observed.guess is not None, "latents on a body need a guess to start from"
        points = torch.where(observed.present[..., None], observed.points, FAR)
        to_body, nearest = distances(observed.anchors, body.points).min(dim=-1)
        normals = gather_rows(body.normals, nearest)
        alike = (observed.guess[..., 3:6] * normals).sum(dim=-1)  # estimated normals may point inwards
        to_seen = distances(observed.anchors, points).amin(dim=-1).clamp_max(1.0)
        misfit = ((body.misfit + 1e-3).log() + 5.0)[:, None].expand_as(alike)
        on_body = observed.borrowed.to(alike)
        figures = torch.stack([alike, 10 * to_body, 5 * to_seen, misfit, on_body, torch.ones_like(alike)], dim=-1)
        around = self.body_local(observed.anchors, body.points, body.normals)
        return self.from_body(torch.cat([around, figures.to(around.dtype)], dim=-1)) * body.present[:, None, None]

    def _whitening(self, observed: ShapeObservation) -> tuple[Tensor, Tensor]:
        batch, count = observed.seen.shape
        mean = self.latent_mean.expand(batch, count, -1)
        scale = self.latent_std.expand(batch, count, -1)
        if not self.anchored:
            return mean, scale
        assert observed.guess is not None, "latents on observed points need a guess to start from"
        seen = observed.seen[..., None]
        wide = torch.where(observed.seen.any(dim=1), PAIRED_SCALE, UNSEEN_SCALE)[:, None, None]
        place = torch.cat([observed.anchors, mean[..., 3:]], dim=-1)
        spread = torch.cat([wide.expand(-1, count, 3), scale[..., 3:]], dim=-1)
        near = self.guess_std.clone()
        near[:3] = SEEN_SCALE
        start = seen
        if self.borrows and observed.body is not None:
            borrowed = observed.borrowed[..., None]
            on_body = torch.cat([scale.new_full((batch, count, 3), BORROWED_SCALE), scale[..., 3:]], dim=-1)
            start, spread = seen | borrowed, torch.where(borrowed, on_body, spread)
        return torch.where(start, observed.guess, place), torch.where(seen, near, spread)
