"""Handles that turn their surroundings.

A handle with turns or a region moves the nodes around it as a rigid piece. Between keys the piece follows the borrowed
rotation, corrected smoothly to match the turns at the keys.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.geometry.rigid import polar_rotation
from core.geometry.surroundings import Indices, carrying_nodes, hold_together, surrounding_nodes
from core.handle_paths import degrees_of_quaternion
from core.pipelines.exact_handles import continue_residuals
from core.pipelines.moving_body import HandleSeats, MovingBody
from core.quaternions import quaternions_of, rotation_matrices, turned_by
from core.sequence import HandleTracks, Normalization

Floats = NDArray[np.float64]


class TurnedHandles(NamedTuple):
    """The turned handles in normalised space: G of the K handles, each with its nodes."""

    rows: tuple[int, ...]  # [G] of the handles
    nodes: tuple[Indices, ...]  # [G]
    turns: Floats  # [G, T, 3, 3] from the rest pose
    keyframe_mask: NDArray[np.bool_]  # [G, T]

    @classmethod
    def of(
        cls, body: MovingBody, seats: HandleSeats, tracks: HandleTracks, normalization: Normalization
    ) -> TurnedHandles:
        quaternions, keyframe_mask = tracks.turns()
        rows = tuple(int(row) for row in np.flatnonzero(keyframe_mask.any(axis=1)))
        regions = {row: handle.region for row, handle in enumerate(tracks.handles) if len(handle.region)}
        carrying = {row: carrying_nodes(body.binding, region) for row, region in regions.items()}
        nodes = surrounding_nodes(body.nodes, body.body.weight, seats.shares, seats.places, rows, carrying=carrying)
        axes = normalization.rotation
        turns = axes @ rotation_matrices(quaternions[list(rows)]) @ axes.T
        return cls(rows, tuple(nodes), turns, keyframe_mask[list(rows)])

    @property
    def every_node(self) -> Indices:
        """[N] nodes of all groups in order."""
        return np.concatenate([np.zeros(0, np.int64), *self.nodes])

    def seats(self, body: MovingBody, seats: HandleSeats) -> HandleSeats:
        """The handles' seats, followed by one for each node of a piece."""
        index = self.every_node
        shares = np.zeros((len(index), seats.shares.shape[1]), np.float32)
        shares[np.arange(len(index)), index] = 1.0
        return HandleSeats(np.concatenate([seats.places, body.nodes[index]]), np.concatenate([seats.shares, shares]))

    def follow(self, rotations: Tensor, loop: bool) -> Floats:
        """Piece rotations [S, G, T, 3, 3] that match the keys, from node rotations [S, T, P, 3, 3]."""
        groups = [polar_rotation(rotations[:, :, torch.from_numpy(nodes)].mean(dim=2)) for nodes in self.nodes]
        led = np.stack([group.double().numpy() for group in groups], axis=1) if groups else np.zeros((0, 0, 0, 3, 3))
        result = np.empty_like(led)
        for seed, group in np.ndindex(*led.shape[:2]):
            result[seed, group] = _through_turns(led[seed, group], self.turns[group], self.keyframe_mask[group], loop)
        return result

    def paths(self, body: MovingBody, handles: Floats, places: NDArray[np.floating], turns: Floats) -> Floats:
        """Paths of the pieces' nodes [S, T, N, 3] with handles on paths [S, T, K, 3] that rest at `places` [K, 3]."""
        parts = []
        for group, (row, nodes) in enumerate(zip(self.rows, self.nodes, strict=True)):
            arms = (body.nodes[nodes] - places[row]).astype(np.float64)
            parts.append(handles[:, :, row, None] + np.einsum("stab,nb->stna", turns[:, group], arms))
        return np.concatenate([np.zeros((*handles.shape[:2], 0, 3)), *parts], axis=2)

    def of_nodes(self, turns: Floats) -> Floats:
        """Turns [S, T, N, 3, 3] of all nodes, from those of the groups [S, G, T, 3, 3]."""
        counts = [len(nodes) for nodes in self.nodes]
        return np.repeat(turns.swapaxes(1, 2), counts, axis=2)


def hold_regions(vertices: NDArray[np.float32], rest: NDArray[np.floating], tracks: HandleTracks) -> None:
    """Make the regions of handles exactly rigid in vertices [T, V, 3] of the source, in place."""
    quaternions, keyframe_mask = tracks.turns()
    for row, handle in enumerate(tracks.handles):
        if len(handle.region):
            turns = rotation_matrices(quaternions[row])
            hold_together(vertices, rest, handle.vertex, handle.region, turns, keyframe_mask[row])


def _through_turns(led: Floats, asked: Floats, keyframe_mask: NDArray[np.bool_], loop: bool) -> Floats:
    """Turns [T, 3, 3] corrected to be the `asked` ones in keyed frames, and in frame 0 that of the rest pose."""
    mask = keyframe_mask.copy()
    mask[0] = True
    asked = asked.copy()
    asked[0] = np.eye(3)
    apart = np.where(mask[:, None, None], asked @ led.swapaxes(1, 2), np.eye(3))
    residual = np.radians(degrees_of_quaternion(quaternions_of(apart)))[:, None]
    mask = mask[:, None]
    if loop:
        residual, mask = np.concatenate([residual, residual[:1]]), np.concatenate([mask, mask[:1]])
    corrected = turned_by(continue_residuals(residual, mask)[: len(led), 0]) @ led
    return np.where(keyframe_mask[:, None, None], asked, corrected)
