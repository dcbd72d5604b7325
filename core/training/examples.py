"""Draws and prepares the example of each training step from seeds alone; several steps may share one.

Preparing a batch for the motion denoiser (drawing clips, encoding them, solving the warm start) costs more than its
forward and backward pass. An example may therefore serve `reuse` steps, spaced apart and each with fresh noise. Every
`reuse`-th step prepares a new one, so that the cost is even; a resumed run prepares the current ones again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from core.data.clips import ClipSource
from core.training.objectives import Objective

SPACING = 3  # new examples between two uses of one


class Draw(NamedTuple):
    """The arguments for an objective's loss."""

    example: Any  # from its `example`
    generator: torch.Generator  # for the noise of this step


def step_seed(run: int, step: int, block: int) -> int:
    """The seed of one block of clips (one process's share of an accumulation step), or of other draws."""
    return ((run * 1_000_003 + step) * 1_009 + block) % (2**63 - 1)


class Examples:
    """The examples of one process, which depend only on run seed, step and block."""

    def __init__(self, objective: Objective, source: ClipSource, batch: int, seed: int, device: torch.device) -> None:
        self._objective, self._source, self._batch, self._seed = objective, source, batch, seed
        self._device = device
        self._kept: dict[tuple[int, int], Any] = {}

    def at(self, step: int, block: int) -> Draw:
        """The example of a block of a step, with the generator of its noise."""
        turn, use = divmod(step, self._objective.reuse)
        number = turn - use * SPACING
        if number < 0:
            number = turn  # there is no older one yet
        if (number, block) not in self._kept:
            generator = self._generator(number, block)
            clips = self._objective.draw(self._source, self._batch, generator, "train")
            self._kept[number, block] = self._objective.example(clips, generator)
        example = self._kept[number, block]
        if turn - number == (self._objective.reuse - 1) * SPACING:
            del self._kept[number, block]
        return Draw(example, self._generator(step, 250 + block))

    def _generator(self, step: int, block: int) -> torch.Generator:
        return torch.Generator(device=self._device).manual_seed(step_seed(self._seed, step, block))
