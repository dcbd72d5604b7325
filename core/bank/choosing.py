"""Chooses a window for each seed of a request so that together they come near any plausible true motion.

The candidates' energies give each a probability. Greedily, the next seed gets the window that brings the expected
distance of the truth from the nearest chosen motion down most (facility location; the greedy choice is within 1 - 1/e
of the best, Nemhauser et al. 1978). So seeds differ as much as motions in the bank do, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEMPERATURE = 2.0  # of the energies, fitted at 1; at 2 the best of eight seeds comes nearer, and seeds differ more
UNSERVED = 1.3  # distance, in units of a usual motion, that a motion counts for before anything near it is chosen
ROUND = 48  # seeds that share one draw of the candidates' order


def choose_windows(energies: NDArray[Any], distances: NDArray[Any], usual: float, seeds: Sequence[int]) -> list[int]:
    """Of K candidates the one for each seed. `distances` [K, K] between their motions, `usual` a usual motion's size.

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
        if gain.max() <= 0:  # everything is served: go on by likelihood
            gain = np.where(np.isfinite(gain), probability, -np.inf)
        chosen.append(int(gain.argmax()))
        nearest = np.minimum(nearest, distances[:, chosen[-1]])
    return chosen
