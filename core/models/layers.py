"""Building blocks of every network here: point embedding, attention, GEGLU, adaptive layer norm."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.shapes import Bool, Float

KeysValues = tuple[Tensor, Tensor]
SHORT = 4  # longest sequence for `short_attention`


class PointEmbedding(nn.Module):
    """Sines and cosines of 8 octaves per axis with the point itself, then a linear layer (paper Eq. 2)."""

    OCTAVES = 8
    FEATURES = 2 * 3 * OCTAVES + 3
    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(self.FEATURES, width)
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(self.OCTAVES), persistent=False)

    def forward(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch C"]:
        phases = (points[..., None] * self.frequencies).flatten(-2)
        return self.linear(torch.cat([points, phases.sin(), phases.cos()], dim=-1))


class Attention(nn.Module):
    """Multi-head attention; keys and values of a fixed context can be computed once and passed again."""

    def __init__(self, width: int, head_dim: int) -> None:
        super().__init__()
        self.heads = max(1, width // head_dim)
        inner = self.heads * head_dim
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(width, 2 * inner, bias=False)
        self.output = nn.Linear(inner, width)

    def keys_values(self, context: Float[Tensor, "*batch L C"]) -> KeysValues:
        """Keys and values [..., heads, L, head_dim] of a context, to be reused over many calls."""
        keys, values = self.key_value(context).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(
        self,
        x: Float[Tensor, "*batch N C"],
        keys_values: KeysValues | None = None,
        mask: Bool[Tensor, "*batch L"] | None = None,
        bias: Float[Tensor, "*#batch heads N L"] | None = None,
    ) -> Float[Tensor, "*batch N C"]:
        """Attend from x to `keys_values` (to x itself when None); `mask` is True where a token may be seen.

        `bias` is added to the scores before the softmax.
        """
        keys, values = self.keys_values(x) if keys_values is None else keys_values
        queries = self._split(self.query(x))
        if bias is not None:
            scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1]) + bias
            if mask is not None:
                scores = scores.masked_fill(~mask[..., None, None, :], -torch.inf)
            attended = scores.softmax(dim=-1) @ values
        elif mask is None and keys.shape[-2] <= SHORT:
            attended = short_attention(queries, keys, values)
        else:
            visible = None if mask is None else mask[..., None, None, :]
            attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible)
        return self.output(attended.transpose(-3, -2).flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


def short_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention over a handful of tokens by broadcasting.

    Time attention has thousands of sequences of two or four tokens, where calls of fused kernels cost more than the
    arithmetic.
    """
    scores = (queries[..., :, None, :] * keys[..., None, :, :]).sum(dim=-1) / math.sqrt(queries.shape[-1])
    return (scores.softmax(dim=-1)[..., None] * values[..., None, :, :]).sum(dim=-2)


class FeedForward(nn.Module):
    """GEGLU: half of the hidden channels gate the other half."""

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, 2 * expansion * width)
        self.output = nn.Linear(expansion * width, width)

    def forward(self, x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch C"]:
        value, gate = self.hidden(x).chunk(2, dim=-1)
        return self.output(value * F.gelu(gate))


class SelfAttentionLayer(nn.Module):
    """Pre-norm self-attention and feed-forward, both residual."""

    def __init__(self, width: int, head_dim: int, expansion: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, head_dim)
        self.norm_feed_forward = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, expansion)

    def forward(self, x: Float[Tensor, "*batch N C"]) -> Float[Tensor, "*batch N C"]:
        x = x + self.attention(self.norm_attention(x))
        return x + self.feed_forward(self.norm_feed_forward(x))


class CrossAttentionLayer(nn.Module):
    """Pre-norm cross-attention (one head, as published) and an optional feed-forward, both residual."""

    def __init__(self, width: int, expansion: int, feed_forward: bool = True, residual: bool = True) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(width)
        self.attention = Attention(width, width)
        self.residual = residual
        self.norm_feed_forward = nn.LayerNorm(width) if feed_forward else None
        self.feed_forward = FeedForward(width, expansion) if feed_forward else None

    def keys_values(self, context: Float[Tensor, "*batch L C"]) -> KeysValues:
        return self.attention.keys_values(self.norm_context(context))

    def forward(
        self, x: Float[Tensor, "*batch N C"], keys_values: KeysValues, mask: Bool[Tensor, "*batch L"] | None = None
    ) -> Float[Tensor, "*batch N C"]:
        attended = self.attention(self.norm_query(x), keys_values, mask)
        x = x + attended if self.residual else attended
        if self.feed_forward is not None and self.norm_feed_forward is not None:
            x = x + self.feed_forward(self.norm_feed_forward(x))
        return x


class AdaptiveLayerNorm(nn.Module):
    """Layer norm whose scale and shift come from the noise embedding; starts as a plain layer norm."""

    def __init__(self, width: int, embedding_width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(embedding_width, 2 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Float[Tensor, "B *rest C"], embedding: Float[Tensor, "B E"]) -> Float[Tensor, "B *rest C"]:
        scale, shift = self.modulation(embedding).chunk(2, dim=-1)
        middle = (1,) * (x.dim() - 2)
        scale = scale.view(scale.shape[0], *middle, -1)
        shift = shift.view(shift.shape[0], *middle, -1)
        return F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift


class NoiseEmbedding(nn.Module):
    """Sinusoidal embedding of c_noise = log(sigma) / 4 and two SiLU layers."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.features = features
        self.first = nn.Linear(features, width)
        self.second = nn.Linear(width, width)

    def forward(self, noise_level: Float[Tensor, " B"]) -> Float[Tensor, "B C"]:
        embedded = sinusoidal(noise_level * 1000.0, self.features)
        return F.silu(self.second(F.silu(self.first(embedded))))


def sinusoidal(values: Float[Tensor, "*batch"], features: int, longest: float = 10_000.0) -> Float[Tensor, "*batch C"]:
    """Cosines and sines of `values` at `features // 2` frequencies from 1 down to 1 / longest."""
    half = features // 2
    frequencies = torch.exp(-math.log(longest) * torch.arange(half, device=values.device) / half)
    phases = values[..., None].float() * frequencies
    return torch.cat([phases.cos(), phases.sin()], dim=-1)


class DiagonalGaussian:
    """Mean and log-variance of a latent set; the KL divergence to a unit normal is a mean per element."""

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        self.mean = mean
        self.log_variance = log_variance.clamp(-30.0, 20.0)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(self.mean.shape, device=self.mean.device, dtype=self.mean.dtype, generator=generator)
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def kl(self) -> Tensor:
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1.0 - self.log_variance).mean()


def zero_linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """A linear layer that begins with zero output."""
    layer = nn.Linear(inputs, outputs, bias)
    for weight in layer.parameters():
        nn.init.zeros_(weight)
    return layer


def gather_rows(values: Float[Tensor, "*batch N C"], index: Tensor) -> Tensor:
    """Rows of `values` [..., N, C] at `index` [..., M] (leading axes equal) -> [..., M, C]."""
    return torch.gather(values, -2, index[..., None].expand(*index.shape, values.shape[-1]))
