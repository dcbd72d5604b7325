"""All available motions, shipped and the user's own, ready to be searched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch

from core.bank.bank_file import read_bank
from core.bank.borrowing import Borrowed, borrow
from core.bank.choosing import choose_windows
from core.bank.grounding import lead_by_feet
from core.bank.matching import BankEntry, Body, Match, match_body
from core.bank.search import Window, Wish, effort, find_windows, how_far, position_functional
from core.bank.shape import BankShape
from core.errors import DataError

CANDIDATES = 96  # windows that are transferred in full, for the seeds to choose from
_CHUNK = 1 << 18  # nodes times frames of windows transferred at a time


class MotionLibrary:
    """The bank's shapes with their motions, and the mirror image of each."""

    def __init__(self, shapes: Iterable[BankShape]) -> None:
        self.shapes = tuple(shapes)
        self.entries = [BankEntry(shape, side) for shape in self.shapes for side in (False, True)]

    @classmethod
    def load(cls, *paths: str | Path) -> MotionLibrary:
        """The library of several bank files; raises DataError for one that cannot be read."""
        return cls(shape for path in paths for shape in read_bank(path))

    @property
    def packs(self) -> dict[str, str]:
        """The pack of each shape by its name."""
        return {shape.name: shape.pack for shape in self.shapes}

    def check_names(self, names: Iterable[str]) -> None:
        """Raises DataError for the first that names no pack, model, author or clip."""
        known = {name for s in self.shapes for name in (s.name, s.pack, s.author, *map(s.clip_key, s.clips))}
        for name in names:
            if name not in known:
                near = get_close_matches(name, known, 1, 0.3)
                hint = f"is {near[0]!r} meant?" if near else "`m2v bank list` shows all."
                raise DataError(f"No motion is called {name!r}; {hint}")

    def without(self, names: Collection[str]) -> MotionLibrary:
        """The library without shapes whose name, pack or author is in `names`."""
        kept = MotionLibrary(())
        left = [not {s.name, s.pack, s.author}.isdisjoint(names) for s in self.shapes]
        kept.shapes = tuple(shape for shape, out in zip(self.shapes, left, strict=True) if not out)
        kept.entries = [entry for number, entry in enumerate(self.entries) if not left[number // 2]]
        return kept

    def match(self, body: Body, without: Collection[str] = ()) -> list[Match]:
        """The shapes most similar to a body. The result depends only on the body and `without`, so callers cache it."""
        return match_body(body, self.entries, without)


class Proposals:
    """The motions of the bank that fit one request, of which each seed takes one."""

    def __init__(self, body: Body, matches: Sequence[Match], wish: Wish) -> None:
        self.body, self.wish = body, wish
        self.windows = find_windows(body, matches, wish, position_functional(body), CANDIDATES)
        if not self.windows:
            return
        motions, sampled, poses = [], [], []
        step = max(1, _CHUNK // (wish.frames * len(body.nodes)))
        some = _spread_out(wish.frames)
        for first in range(0, len(self.windows), step):
            displacement = self._motions(self.windows[first : first + step]).positions - torch.from_numpy(body.nodes)
            motions.append(displacement.norm(dim=-1).mean(dim=(1, 2)).numpy())
            sampled.append(_sampled(displacement))
            poses.append(displacement[:, some].flatten(0, 1).numpy())
        motion = np.concatenate(motions)
        # Replaces the effort estimated from the centres of the parts by that of the whole body.
        energies = np.array([window.energy - window.effort for window in self.windows]) + effort(motion, *how_far(wish))
        self.windows = [
            replace(window, energy=float(energy)) for window, energy in zip(self.windows, energies, strict=True)
        ]
        self._distances = _distances(torch.cat(sampled)).numpy()
        self._usual = float(np.median(motion))
        self.poses = np.concatenate(poses)  # displacements [N, P, 3] of the nodes in some frames of all windows

    def of(self, seeds: Sequence[int]) -> tuple[list[Window], Borrowed]:
        """The windows of these seeds and the motions that they give the body."""
        energies = np.array([window.energy for window in self.windows])
        chosen = [self.windows[row] for row in choose_windows(energies, self._distances, self._usual, seeds)]
        # Computed again one by one: all candidates together would take a gigabyte for a long clip.
        return chosen, Borrowed(*map(torch.cat, zip(*(self._motions([window]) for window in chosen), strict=True)))

    def _motions(self, windows: Sequence[Window]) -> Borrowed:
        """The motions that windows give the body, moved by its feet."""
        borrowed = borrow(self.body, windows, self.wish)
        return borrowed._replace(positions=lead_by_feet(windows, self.wish, borrowed.positions))


def _spread_out(frames: int, most: int = 8) -> torch.Tensor:
    """An even choice of the frames after the first."""
    return torch.linspace(1, frames - 1, min(most, frames - 1)).round().long()


def _sampled(motions: torch.Tensor, nodes: int = 64) -> torch.Tensor:
    """Motions [K, T, P, 3] at some frames and nodes [K, n, 3]."""
    return motions[:, _spread_out(motions.shape[1]), :nodes].flatten(1, 2)


def _distances(flat: torch.Tensor) -> torch.Tensor:
    """Mean distance [K, K] between motions [K, n, 3]."""
    squared = flat.square().sum(dim=-1).T[:, :, None]
    inner = torch.einsum("knd,lnd->nkl", flat, flat)
    return (squared + squared.transpose(1, 2) - 2 * inner).clamp_min(0).sqrt().mean(dim=0)
