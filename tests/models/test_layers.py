"""Layers: the short cut of attention is the same attention, and masked tokens are not seen."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from core.models.layers import Attention, gather_rows, short_attention


def test_short_attention_equals_the_fused_kernel() -> None:
    queries, keys, values = (torch.randn(5, 2, 3, 8) for _ in range(3))
    expected = F.scaled_dot_product_attention(queries, keys, values)
    assert torch.allclose(short_attention(queries, keys, values), expected, atol=1e-5)


def test_masked_tokens_are_not_seen() -> None:
    attention = Attention(16, 8)
    x, context = torch.randn(2, 4, 16), torch.randn(2, 6, 16)
    mask = torch.tensor([[True] * 3 + [False] * 3] * 2)
    seen = attention(x, attention.keys_values(context), mask)
    changed = context.clone()
    changed[:, 3:] = 99.0
    assert torch.allclose(seen, attention(x, attention.keys_values(changed), mask), atol=1e-5)
    assert torch.allclose(seen, attention(x, attention.keys_values(context[:, :3])), atol=1e-5)


def test_gather_rows() -> None:
    values = torch.arange(12.0).view(1, 4, 3)
    assert gather_rows(values, torch.tensor([[2, 0]])).tolist() == [[[6, 7, 8], [0, 1, 2]]]
