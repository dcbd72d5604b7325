"""Counter-based randomness: a seed always gives the same creature or motion, whatever batch it is drawn in."""

from __future__ import annotations

import torch
from torch import Tensor

COLUMNS = 96  # uniforms per seed, more than any kind uses


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MIX_A = _signed(0xBF58476D1CE4E5B9)
_MIX_B = _signed(0x94D049BB133111EB)


def _shift(value: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)


def hash_int64(value: Tensor) -> Tensor:
    """The splitmix64 finaliser on int64 (two's complement wrap-around)."""
    value = value + _GOLDEN
    value = (value ^ _shift(value, 30)) * _MIX_A
    value = (value ^ _shift(value, 27)) * _MIX_B
    return value ^ _shift(value, 31)


def uniforms(seeds: Tensor, salt: int, columns: int = COLUMNS) -> Tensor:
    """Uniform numbers in [0, 1), float32 [n, columns], from int64 seeds [n]."""
    base = hash_int64(hash_int64(seeds.long()) + salt)
    counter = torch.arange(columns, device=seeds.device)
    bits = _shift(hash_int64(base[:, None] ^ hash_int64(counter)[None]), 40)  # 24 bits: exact in float32
    return bits.to(torch.float32) / (1 << 24)


class SeededDraw:
    """Random numbers [n] from a table of uniforms, one column after the other."""

    def __init__(self, table: Tensor) -> None:
        self.table = table
        self.count = table.shape[0]
        self.device = table.device
        self._next = 0

    def unit(self) -> Tensor:
        column = self.table[:, self._next]
        self._next += 1
        return column

    def between(self, low: float, high: float) -> Tensor:
        return low + (high - low) * self.unit()

    def log_between(self, low: float, high: float) -> Tensor:
        return low * (high / low) ** self.unit()

    def chance(self, probability: float) -> Tensor:
        return self.unit() < probability

    def sign(self) -> Tensor:
        return torch.where(self.unit() < 0.5, -1.0, 1.0)

    def pick(self, options: int) -> Tensor:
        return (self.unit() * options).long().clamp(max=options - 1)

    def choice(self, values: list[float]) -> Tensor:
        return torch.tensor(values, device=self.device)[self.pick(len(values))]
