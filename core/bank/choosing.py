"""Chooses a window for each seed of a request so that together they come near any plausible true motion.

A candidate's energy gives its probability. The next seed gets the window that most reduces the expected distance of the
true motion from the nearest chosen one (facility location; this greedy choice is within 1 - 1/e of the best, Nemhauser
et al. 1978). So seeds differ as much as the plausible motions of the bank do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEMPERATURE = 2.0  # of the energies, which were fitted at 1; at 2 the best of eight seeds is better, seeds differ more
UNSERVED = 1.3  # initial distance of each motion from the chosen ones, in units of a usual motion
ROUND = 48  # seeds that share one order of the candidates


def choose_windows(energies: NDArray[Any], distances: NDArray[Any], usual: float, seeds: Sequence[int]) -> list[int]:
    """The row chosen for each seed, from K energies, `distances` [K, K] of their motions, and a `usual` motion's size.

    A seed's candidate depends on the seed alone. Beyond the first `ROUND` seeds the energies are perturbed, so that
    other windows come first.
    """
    orders: dict[int, list[int]] = {}
    for seed in seeds:
        turn = seed % (1 << 63) // ROUND
        need = max(s % ROUND for s in seeds if s % (1 << 63) // ROUND == turn) + 1
        if turn not in orders:
            noise = np.random.default_rng(turn).gumbel(size=len(energies)) if turn else 0.0
            orders[turn] = _greedy(energies / TEMPERATURE - noise, distances / max(usual, 1e-9), need)
    return [orders[seed % (1 << 63) // ROUND][seed % ROUND % len(energies)] for seed in seeds]


def _greedy(energies: NDArray[Any], distances: NDArray[Any], count: int) -> list[int]:
    probability = np.exp(energies.min() - energies)
    probability /= probability.sum()
    nearest = np.full(len(energies), UNSERVED)
    chosen: list[int] = []
    for _ in range(min(count, len(energies))):
        gain = probability @ np.clip(nearest[:, None] - distances, 0, None)
        gain[chosen] = -np.inf
        if gain.max() <= 0:  # nothing is gained by any: go on by probability
            gain = np.where(np.isfinite(gain), probability, -np.inf)
        chosen.append(int(gain.argmax()))
        nearest = np.minimum(nearest, distances[:, chosen[-1]])
    return chosen
