"""Turns borrowed motion into motion of this mesh: exact handles, planted feet, no stretching."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bank.borrowing import Borrowed
from core.bank.search import share_determined
from core.geometry.rigid import polar_rotation
from core.geometry.surroundings import TOUCHED
from core.models.time_smoothing import binomial_smooth
from core.models.warm_start import STIFFNESS, TIME_SCALE
from core.pipelines.exact_handles import continue_residuals
from core.pipelines.looping import closed_loop, smooth_seam
from core.pipelines.moving_body import HandleSeats, KeyedHandles, MovingBody, as_columns, from_columns
from core.pipelines.turned_handles import TurnedHandles

STANDING_HEIGHT = 0.02  # of the size: a foot this far above its rest height is in the air
STANDING_SPEED = 0.25  # of the size a second: a faster foot is not standing
RELEASE = 0.12  # seconds of blending from a foot's stand to its free path
CUSP_ROUNDS = 2
FEW = 3  # moving handles; the more there are beyond, the more handles override the planting of feet
PLANTING_STEPS = 5  # as-rigid steps with planted feet
STILL = 0.15  # weight of a still handle's information, relative to a moving one
SHARE_POWER = 0.7  # chosen on unseen identities whose packs were left out of the bank, like the next
EVEN = 2  # moving handles with which the estimate gets at most half of the weight
ENOUGH_HANDLES = 5  # moving handles from which on leaving one out tells how well the others predict it
COMPARED = 0.7  # share by which the estimate counts less where handles have compared the motions that lead it


def settle(
    body: MovingBody,
    borrowed: Borrowed,
    handles: KeyedHandles,
    fps: float,
    contacts: bool | NDArray[np.bool_] = True,
    turning: TurnedHandles | None = None,
) -> tuple[Borrowed, NDArray[np.float64]]:
    """Node motions [S, T, P, ...] on the rigid surface that follow the borrowed ones, meet the keys and stand.

    A handle follows its own borrowed path, corrected smoothly to pass through its keys, and turns its surroundings
    as in `turning`. `contacts`, one for all motions or each [S], keeps standing feet where they are. Also returns how
    far the handles of each motion were from their keys before, on average [S].
    """
    seats, loop = handles.seats, handles.loop
    missed = np.zeros(len(borrowed.positions))
    if loop:
        borrowed = closed_loop(borrowed)
    seeds, frames = borrowed.positions.shape[:2]
    turning = turning if turning is not None and turning.rows else None
    held = seats if turning is None else turning.seats(body, seats)
    surface = body.surface(held, False)

    positions, rotations = as_columns(borrowed.positions), as_columns(borrowed.rotations)
    paths, turned = None, None
    if len(seats.places):
        at_handles = surface.carried(positions, rotations)[:, : len(seats.places)]
        carried = from_columns(at_handles, seeds, frames).double().numpy()
        keyed = handles.keyframe_mask.T[1:]
        if keyed.any():
            apart = np.linalg.norm(carried - handles.targets.swapaxes(0, 1), axis=-1)[:, 1:]
            missed = apart[:, keyed].mean(axis=1)
        through = through_keys(carried, handles)
        if turning is not None:
            turns = turning.follow(borrowed.rotations, loop)
            through = np.concatenate([through, turning.paths(body, through, seats.places, turns)], axis=2)
            fixed = torch.from_numpy(turning.of_nodes(turns)).float()
            turned = torch.from_numpy(turning.every_node), as_columns(fixed)
        paths = as_columns(torch.from_numpy(through).float())
    moved, rotated = surface.settle(positions, positions, paths, rotations, turned=turned)
    moved, rotated = (from_columns(x, seeds, frames).contiguous() for x in (moved, rotated))
    standing = torch.from_numpy(np.flatnonzero(np.broadcast_to(contacts, seeds)))
    if len(standing) and len(body.feet):
        # Feet in the air keep the free solution, so that planting affects standing feet only.
        free = moved[standing]
        planted = plant_feet(body, free, held, fps, loop)
        overruled = max(handles.moving - FEW, 0) / FEW
        if overruled > 0:
            sure = torch.from_numpy(handle_certainty(body, handles)).sqrt()[None, :, :, None]
            planted = planted + min(overruled, 1.0) * sure * (free - planted)
        firm = body.surface(held, True)
        found = firm.settle(
            as_columns(free),
            as_columns(planted),
            None if paths is None else _columns_of(standing, paths, frames),
            _columns_of(standing, rotations, frames),
            steps=PLANTING_STEPS,
            turned=None if turned is None else (turned[0], _columns_of(standing, turned[1], frames)),
        )
        moved[standing], rotated[standing] = (from_columns(x, len(standing), frames) for x in found)
    moved[:, 0] = torch.from_numpy(body.nodes)
    rotated[:, 0] = torch.eye(3)
    settled = Borrowed(moved, rotated)
    return smooth_seam(settled) if loop else settled, missed


def _columns_of(motions: Tensor, columns: Tensor, frames: int) -> Tensor:
    """The columns of some `motions` [s] out of those of all [1, P, S T, ...]."""
    return as_columns(from_columns(columns, columns.shape[2] // frames, frames)[motions])


def handle_certainty(body: MovingBody, handles: KeyedHandles) -> NDArray[np.float32]:
    """How much of each node's motion [T, P] the handles alone determine, 0 to 1.

    It is the share of the prior variance that the handles explain (`handle_regression`), less between keys, where the
    handles themselves are uncertain. A handle that hardly moves, such as a pin, counts little, since it says little
    about the rest of the body.
    """
    if not len(handles.targets):
        return np.zeros((handles.targets.shape[1], len(body.nodes)), np.float32)
    gain, explained = handle_regression(body, handles.seats)
    influence = np.abs(gain) + 1e-9
    share = influence / influence.sum(axis=1, keepdims=True)
    moved = handles.distances.max(axis=1)
    telling = STILL + (1 - STILL) * np.clip(2 * moved / max(moved.max(), 1e-9), 0, 1)
    sure = certainty_in_time(handles.keyframe_mask) * telling[:, None]
    result: NDArray[np.float32] = (explained[None] * (sure.T @ share.T)).astype(np.float32)
    return result


def handle_regression(body: MovingBody, seats: HandleSeats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How each node moves with the handles [P, K], and the share of its variance that they explain [P].

    By a Gaussian process over the surface with the discrete biharmonic kernel of its graph.
    """
    kernel = biharmonic_kernel(body)
    shares = seats.shares.astype(np.float64)
    cross = kernel @ shares.T  # [P, K]
    among = shares @ cross + 1e-4 * np.eye(len(shares))
    gain = np.linalg.solve(among, cross.T).T.astype(np.float64)
    return gain, (gain * cross).sum(axis=1).clip(0, 1)


def biharmonic_kernel(body: MovingBody) -> NDArray[np.float64]:
    """Correlation [P, P] of smooth fields on the graph of nodes: the discrete biharmonic kernel, variances 1."""
    weight = body.body.weight.astype(np.float64)
    degree = weight.sum(axis=1)
    screened = (np.diag(degree) - weight) / degree.mean() + STIFFNESS * np.eye(len(degree))
    inverse = np.linalg.inv(screened)
    kernel = inverse @ inverse
    deviation = np.sqrt(np.diag(kernel))
    result: NDArray[np.float64] = kernel / (deviation[:, None] * deviation[None])
    return result


def estimate_share(certainty: NDArray[np.float32], moving: int) -> NDArray[np.float32]:
    """Weight of the denoiser's estimate against the borrowed motion, from how much the handles determine.

    One dragged point says so little that pure borrowed motion is closer to true motions and slides less; with more
    handles the estimate counts more. With enough moving handles to compare borrowed motion and as-rigid deformation,
    the better of the two is as good as the estimate where handles determine the body, so there it counts less.
    """
    most = share_determined(moving) * moving / (moving + EVEN)
    share = np.float32(most) * certainty ** np.float32(SHARE_POWER / max(moving, 1) ** 2)
    return share * (1 - np.float32(COMPARED) * certainty) if moving >= ENOUGH_HANDLES else share


def certainty_in_time(keyframe_mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Certainty of a handle's path [K, T]: 1 in frames with a key (frame 0 is one), less the farther from them."""
    frames = keyframe_mask.shape[1]
    time = np.arange(frames)
    result = np.ones(keyframe_mask.shape)
    for row, keyed in enumerate(keyframe_mask):
        known = np.flatnonzero(keyed | (time == 0))
        before = time - known[np.searchsorted(known, time, side="right") - 1]
        following = np.searchsorted(known, time, side="left")
        after = known[np.minimum(following, len(known) - 1)] - time
        bridge = np.where(following < len(known), before * after / np.maximum(before + after, 1), before)
        result[row] = np.exp(-bridge / TIME_SCALE)
    return result


def blend(borrowed: Borrowed, estimated: Borrowed, share: NDArray[np.float32]) -> Borrowed:
    """Blend borrowed (share 0) and estimated motion (share 1), per frame and node [T, P].

    The share has a cusp at every key, which would cause a jerk; it is smoothed over a few frames.
    """
    mix = torch.from_numpy(share)[None, :, :, None]
    for _ in range(CUSP_ROUNDS):
        mix = binomial_smooth(mix, resting=False)
    positions = borrowed.positions + mix * (estimated.positions - borrowed.positions)
    rotations = borrowed.rotations + mix[..., None] * (estimated.rotations - borrowed.rotations)
    return Borrowed(positions, polar_rotation(rotations))


def through_keys(paths: NDArray[np.float64], handles: KeyedHandles) -> NDArray[np.float64]:
    """Paths [S, T, K, 3] corrected to pass through the keys; in a loop the correction is 0 again at its start."""
    goal, mask = handles.targets.swapaxes(0, 1), handles.keyframe_mask.T.copy()  # [T, K, 3], [T, K]
    mask[0] = True
    result = paths.copy()
    for seed in range(len(paths)):
        residual = np.where(mask[..., None], goal - paths[seed], 0.0)
        residual[0] = 0.0
        result[seed] += continue_residuals(residual, mask, handles.loop)
    return result


def plant_feet(body: MovingBody, moved: Tensor, seats: HandleSeats, fps: float, loop: bool = False) -> Tensor:
    """Nodes [S, T, P, 3] with those of standing feet kept in place, and feet not below the ground."""
    feet = body.feet
    if len(seats.places):
        feet = feet[seats.shares[:, feet].max(axis=0) < TOUCHED]
    if not len(feet):
        return moved
    index = torch.from_numpy(feet)
    path = moved[:, :, index].numpy().copy()  # [S, T, F, 3]
    frames, first = path.shape[1], 0
    if loop:  # three rounds of the loop, of which the middle one is kept: a foot may stand through the seam
        path, first = np.concatenate([path, path, path], axis=1), frames
    rest = body.nodes[feet]
    speed = np.zeros(path.shape[:3])
    step = np.linalg.norm(np.diff(path[..., [0, 2]], axis=1), axis=-1) * fps
    speed[:, 1:], speed[:, 0] = step, step[:, 0] if step.shape[1] else 0.0
    speed[:, 1:-1] = np.minimum(step[:, 1:], step[:, :-1])
    standing = (path[..., 1] - rest[:, 1] < STANDING_HEIGHT) & (speed < STANDING_SPEED)
    fade = max(1, round(RELEASE * fps))
    corrections = np.zeros_like(path)
    for seed, foot in np.ndindex(path.shape[0], path.shape[2]):
        corrections[seed, :, foot] = _planting(path[seed, :, foot], standing[seed, :, foot], fade, first)
    path = (path + corrections)[:, first : first + frames]
    path[..., 1] = np.maximum(path[..., 1], np.minimum(rest[:, 1], path[..., 1].max(axis=1, keepdims=True)))
    result = moved.clone()
    result[:, :, index] = torch.from_numpy(path.astype(np.float32))
    return result


def _planting(path: NDArray[np.float64], standing: NDArray[np.bool_], fade: int, rest: int) -> NDArray[np.float64]:
    """Corrections [T, 3] that hold a foot at the start of each stand, fading in and out.

    In frame `rest`, and the same frame of every round, the body is at rest and needs no correction.
    """
    frames = len(path)
    result = np.zeros_like(path)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], standing, [False]]).astype(int)))
    known, values = [], []
    resting = np.arange(0, frames, rest or frames)
    for first, end in edges.reshape(-1, 2):
        if end - first < 2:
            continue
        within = resting[(resting >= first) & (resting < end)]
        place = path[within[0]] if len(within) else path[first:end].mean(axis=0)
        for frame in range(first, end):
            known.append(frame)
            values.append([place[0] - path[frame, 0], 0.0, place[2] - path[frame, 2]])
    if not known:
        return result
    for frame in resting.tolist():
        if frame not in known:
            known.append(frame)
            values.append([0.0, 0.0, 0.0])
    frames_known = np.array(known)
    around = sorted({max(0, f - fade) for f in known} | {min(frames - 1, f + fade) for f in known} | {0, frames - 1})
    zeros = [f for f in around if np.abs(frames_known - f).min() >= fade]
    times = np.concatenate([frames_known, zeros])
    amounts = np.concatenate([np.array(values), np.zeros((len(zeros), 3))])
    order = np.argsort(times, kind="stable")
    for axis in (0, 2):
        result[:, axis] = np.interp(np.arange(frames), times[order], amounts[order, axis])
    return result
