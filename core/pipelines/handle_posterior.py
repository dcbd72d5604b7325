"""Borrowed motions conditioned on several handles: an error that handles share is an error of the body.

A motion's error is modelled as Gaussian with three parts: differences of the poses of other windows that fit the
request, smooth fields on the surface, and rigid motion of the whole body. Their scales are those that make the handles'
errors likeliest (type II maximum likelihood), so that a handle on its tail does not turn a swimming fish, but a falling
one. Frames are independent; the handles' errors are continued between keys beforehand.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from core.bank.borrowing import Borrowed
from core.geometry.farthest_points import farthest_point_indices
from core.geometry.rigid import polar_rotation
from core.pipelines.living_motion import biharmonic_kernel, through_keys
from core.pipelines.looping import closed_loop
from core.pipelines.moving_body import HandleSeats, KeyedHandles, MovingBody

Doubles = NDArray[np.float64]

MOST_HANDLES = 16  # more say hardly anything new about a body of 128 nodes
SMOOTH = 0.1  # variance of smooth fields, in units of that of the poses
NOISE = 0.15  # deviation of each handle's independent error, in units of how far the handles are to move
POSED = (0.1, 0.3, 1.0, 3.0)  # scales of the poses' deviation that are compared
RIGID = (0.0, 0.1, 0.3, 1.0)  # the same for shifts of the body, in units of how far the handles are to move
TURN = 0.5  # radians that a rigid motion of scale 1 turns by
ROUNDS = 2  # of linearising the rigid motion again
WEIGHED = 8  # frames in which the scales are compared
BELIEF = 0.5  # share of the borrowed rotations; the rest are those of the conditioned positions


class _Spread(NamedTuple):
    """Covariance of a body's errors at scale 1: among handles [3K, 3K], and of nodes with handles [3P, 3K]."""

    among: Doubles
    across: Doubles


def follow_handles(
    body: MovingBody, borrowed: Borrowed, poses: NDArray[np.floating], handles: KeyedHandles
) -> Borrowed:
    """The likeliest motions [S, T, P, ...] under the keys.

    `poses` [N, P, 3] are displacements of the nodes in windows that fit the request. Motions with one moving handle are
    returned unchanged, since it says too little about the rest of the body. Handles are met nearly, not exactly.
    """
    if handles.moving < 2:
        return borrowed
    if handles.loop:
        borrowed = closed_loop(borrowed)
    handles = handles.of(_representative(handles.seats))
    seats = handles.seats
    rest = body.nodes.astype(np.float64)
    moved = borrowed.positions.double().numpy()
    shares = seats.shares / seats.shares.sum(axis=1, keepdims=True).clip(1e-9)
    carried = np.einsum("kp,stpa->stka", shares, moved - rest, optimize=True) + seats.places
    missing = through_keys(carried, handles) - carried
    missing = missing.reshape(*missing.shape[:2], -1)  # [S, T, 3K]
    far = float(np.sqrt(np.square(carried + missing.reshape(carried.shape) - seats.places)[:, 1:].sum(axis=-1).mean()))
    noise = np.square(NOISE * max(far, 1e-6)) * np.eye(missing.shape[-1])
    spread = _spread(body, poses, shares)
    centres = moved.mean(axis=2)
    some = np.unique(np.linspace(1, moved.shape[1] - 1, min(WEIGHED, moved.shape[1] - 1)).round().astype(int))
    lever = _rigid_lever(carried - centres[:, :, None], far)
    posed, rigid = _likeliest_scales(missing[:, some], spread.among, lever[:, some], noise)

    among, across = np.square(posed) * spread.among + noise, np.square(posed) * spread.across
    turned = np.broadcast_to(np.eye(3), (*moved.shape[:2], 3, 3))
    places = carried
    for number in range(ROUNDS + 1 if rigid else 1):
        lever = rigid * _rigid_lever(places - centres[:, :, None], far)
        told_by = np.linalg.solve(among + lever @ lever.swapaxes(-1, -2), missing[..., None])[..., 0]
        shift, turn = _rigid_motion(rigid, far, lever, told_by)
        last = number == (ROUNDS if rigid else 0)
        if last:
            moved = moved + (told_by @ across.T).reshape(moved.shape)
        moved = _turned(moved, turn, centres, shift)
        before, places = places, _turned(places, turn, centres, shift)
        missing = missing - (places - before).reshape(missing.shape)
        centres, turned = centres + shift, turn @ turned
    moved[:, 0] = rest
    positions = torch.from_numpy(moved).float()
    return Borrowed(positions, _rotations(body, positions, torch.from_numpy(turned).float(), borrowed.rotations))


def _representative(seats: HandleSeats) -> NDArray[np.int64]:
    """Rows of the handles to condition on: all, or an even choice over the body if there are many."""
    if len(seats.places) <= MOST_HANDLES:
        return np.arange(len(seats.places))
    chosen = farthest_point_indices(torch.from_numpy(seats.places)[None], MOST_HANDLES)[0].numpy()
    result: NDArray[np.int64] = np.sort(chosen)
    return result


def _spread(body: MovingBody, poses: NDArray[np.floating], shares: NDArray[np.floating]) -> _Spread:
    flat = poses.reshape(len(poses), -1).astype(np.float64)
    flat = (flat - flat.mean(axis=0)) / np.sqrt(len(flat))
    at_handles = np.einsum("kp,npa->nka", shares, flat.reshape(poses.shape), optimize=True).reshape(len(flat), -1)
    kernel = biharmonic_kernel(body) @ shares.T * (SMOOTH * np.square(flat).sum(axis=0).mean())
    every = np.eye(3)
    return _Spread(
        at_handles.T @ at_handles + np.kron(shares @ kernel, every), flat.T @ at_handles + np.kron(kernel, every)
    )


def _rigid_lever(arms: Doubles, far: float) -> Doubles:
    """How handles, at `arms` [S, T, K, 3] from the centre, move [S, T, 3K, 6] with shifts and turns of scale 1."""
    x, y, z = np.moveaxis(arms, -1, 0)
    none = np.zeros_like(x)
    turning = np.stack([np.stack([none, z, -y], -1), np.stack([-z, none, x], -1), np.stack([y, -x, none], -1)], axis=-2)
    shifting = np.broadcast_to(far * np.eye(3), turning.shape)
    return np.concatenate([shifting, TURN * turning], axis=-1).reshape(*arms.shape[:2], -1, 6)


def _likeliest_scales(missing: Doubles, among: Doubles, lever: Doubles, noise: Doubles) -> tuple[float, float]:
    """Scales of the poses and of the rigid motion under which the handles' errors [S, T, 3K] are likeliest."""
    rigid_motion = lever @ lever.swapaxes(-1, -2)
    best, result = np.inf, (1.0, 0.0)
    for rigid, posed in itertools.product(RIGID, POSED):
        covariance = np.square(rigid) * rigid_motion + np.square(posed) * among + noise
        solved = np.linalg.solve(covariance, missing[..., None])[..., 0]
        unlikely = float(((missing * solved).sum(axis=-1) + np.linalg.slogdet(covariance)[1]).mean())
        if unlikely < best:
            best, result = unlikely, (posed, rigid)
    return result


def _rigid_motion(scale: float, far: float, lever: Doubles, told_by: Doubles) -> tuple[Doubles, Doubles]:
    """The body's likeliest shift [S, T, 3] and rotation [S, T, 3, 3]; none in frame 0."""
    amount = scale * (lever.swapaxes(-1, -2) @ told_by[..., None])[..., 0]
    amount[:, 0] = 0
    turn = Rotation.from_rotvec(TURN * amount[..., 3:].reshape(-1, 3)).as_matrix()
    return far * amount[..., :3], turn.reshape(*amount.shape[:2], 3, 3)


def _turned(points: Doubles, turn: Doubles, centres: Doubles, shift: Doubles) -> Doubles:
    """Points [S, T, N, 3] turned about `centres` [S, T, 3] and shifted."""
    middle = centres[:, :, None]
    result: Doubles = np.einsum("stab,stnb->stna", turn, points - middle) + middle + shift[:, :, None]
    return result


def _rotations(body: MovingBody, positions: torch.Tensor, turned: torch.Tensor, borrowed: torch.Tensor) -> torch.Tensor:
    """Rotations of the nodes, a mean of those of the positions and the borrowed ones, `turned` with the body."""
    own = body.rotations(positions)
    result = polar_rotation(own + BELIEF * (turned[:, :, None] @ borrowed - own))
    result[:, 0] = torch.eye(3)
    return result.contiguous()
