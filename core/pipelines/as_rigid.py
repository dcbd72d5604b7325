"""As-rigid-as-possible motion from handles, with random slow bending; no model and no bank.

Shapes unlike anything in the bank move this way. With many handles it is also a second opinion beside the borrowed
motion: each handle is left out once, and the motion that predicts it better gets more weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from core.bank.borrowing import Borrowed
from core.bank.search import AWAY
from core.geometry.farthest_points import farthest_point_indices
from core.geometry.rigid import RigidSurface, polar_rotation
from core.geometry.rigid_edges import turn
from core.pipelines.handle_posterior import follow_handles
from core.pipelines.living_motion import ENOUGH_HANDLES, handle_regression, through_keys
from core.pipelines.moving_body import HandleSeats, KeyedHandles, MovingBody, as_columns, from_columns

Doubles = NDArray[np.float64]

STEPS = 15
MARCHING = 4  # steps per frame, each frame starting from the one before; 6 do no better
LOOSE = 1e-4  # weight that holds nodes at their targets, of the mean degree, where handles alone decide
STAY = 0.03  # the same with one moving handle, which would drag the whole body along; falls with their number squared
MODES = 24  # smoothest modes of bending
SWAY = 0.5  # correlation time of the bending, seconds
BEND = 1.5  # root mean square bending, radians, for a handle that moves by the size of the body
LEAST_BEND, MOST_BEND = 0.03, 0.5
LEFT_OUT = 8  # at most this many handles are left out, one at a time
ASKED_FRAMES = 6  # frames in which a handle that is left out is predicted
TRIAL_STEPS = 8  # iterations when comparing motions; 15 choose the same
ALIKE = 0.07  # two nodes turn as one if their rotations differ by less than this share of the mean difference
HARDLY = 1e-3  # mean squared difference of rotations below which poses say nothing, radians squared
LEAST_ERROR = 1e-3  # of the size: smaller errors at a handle left out do not tell motions apart
STRAINED = 0.6  # misfit over length at which a link between loose parts keeps a quarter of its weight
LOOSENED = 2  # rounds of reweighting
LEAST_KEPT, SHORT = 1e-3, 0.03  # least share of a link's weight; shorter links count as this long
SHARPNESS = 8.0  # weights of two motions are their typical errors to minus this power


class Structure(NamedTuple):
    """What is assumed of a body that deforms as rigidly as possible."""

    alike: torch.Tensor | None = None  # [1, P, P] how much each pair of nodes turns as one
    loose: bool = False  # strained links between loose parts lose weight


def as_rigid(
    body: MovingBody,
    shares: NDArray[np.floating],
    places: NDArray[np.floating],
    paths: Doubles,
    hold: float = LOOSE,
    steps: int = STEPS,
    structure: Structure = Structure(),  # noqa: B008
) -> tuple[torch.Tensor, torch.Tensor]:
    """As-rigid-as-possible positions [B, T, P, 3] of the nodes and their rotations, handles exact in every frame.

    B sets of handles: `shares` [B, K, P] of the nodes, `places` [B, K, 3], `paths` [B, K, T, 3]. `hold` holds the nodes
    at rest; a `hold` of at most LOOSE, at a smooth interpolation of the handles. A limb that swings far can end up in a
    wrong minimum, bent backwards, so the iterations run twice, from that interpolation and from the frame before, and
    the motion with less energy is kept.
    """
    surface = body.held_by(hold)
    if structure.alike is not None:
        together = surface.together
        surface = surface._replace(
            together=structure.alike if together is None else torch.maximum(structure.alike, together)
        )
    surface = surface.with_handles(torch.from_numpy(shares).float(), torch.from_numpy(places).float())
    start = []
    for share, place, path in zip(shares, places, paths, strict=True):
        gain = handle_regression(body, HandleSeats(place, share))[0]
        turning, shift = _rigid_fit(place, path)
        whole = np.einsum("tab,pb->pta", turning, body.nodes) + shift
        start.append(whole + np.einsum("pk,kta->pta", gain, path - np.einsum("tab,kb->kta", turning, place) - shift))
    moved = torch.from_numpy(np.stack(start)).float()
    rest, wanted = (
        torch.from_numpy(body.nodes)[None, :, None].expand_as(moved[:, :, :1]),
        torch.from_numpy(paths).float(),
    )
    targets = moved if hold <= LOOSE else rest.expand_as(moved)
    motions = [surface.converge(moved, targets, wanted, steps)]
    if paths.shape[2] > 2:
        marched = _march(surface, rest, targets, wanted)
        motions.append(surface.converge(marched, targets, wanted, steps))
    energies = torch.stack([surface.energy(*motion).sum(dim=1) for motion in motions])
    least, sets = energies.argmin(dim=0), torch.arange(len(moved))
    moved, rotations = (torch.stack(both)[least, sets] for both in zip(*motions, strict=True))
    for _ in range(LOOSENED if structure.loose else 0):
        weight = _loosened(surface, _links_between_parts(body), moved, rotations)
        looser = RigidSurface.of(surface.rest.expand(len(moved), -1, -1), weight, hold)
        looser = looser._replace(together=surface.together)
        looser = looser.with_handles(surface.handles, torch.from_numpy(places).float())
        moved, rotations = looser.converge(moved, targets, wanted, steps)
    return moved.transpose(1, 2), rotations.transpose(1, 2)


def _links_between_parts(body: MovingBody) -> torch.Tensor:
    """The links [2, L] of the graph that join unconnected parts of the mesh, as pairs of nodes."""
    parts = body.node_component
    return torch.from_numpy(np.stack(np.nonzero((parts[:, None] != parts[None]) & (body.body.weight > 0))))


def _loosened(surface: RigidSurface, links: torch.Tensor, moved: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """The graph's weights [B, P, P], less for links that a motion [B, P, T, ...] strains (Geman and McClure 1987)."""
    first, second = links
    rest = surface.rest[:, first] - surface.rest[:, second]
    expected = 0.5 * (turn(rotations[:, first], rest) + turn(rotations[:, second], rest))
    misfit = (moved[:, first] - moved[:, second] - expected).norm(dim=-1).amax(dim=-1)
    strain = misfit / rest.norm(dim=-1).clamp_min(SHORT)
    weight = surface.weight.expand(len(moved), -1, -1).clone()
    weight[:, first, second] *= (1 + (strain / STRAINED).square()).pow(-2).clamp_min(LEAST_KEPT)
    return weight


def _march(surface: RigidSurface, moved: torch.Tensor, targets: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """As-rigid positions [B, P, T, 3], found frame by frame, each starting from the one before."""
    frames = []
    for target, want in zip(targets.split(1, dim=2), wanted.split(1, dim=2), strict=True):
        moved = surface.converge(moved, target, want, MARCHING)[0]
        frames.append(moved)
    return torch.cat(frames, dim=2)


def _rigid_fit(places: NDArray[np.floating], paths: Doubles) -> tuple[Doubles, Doubles]:
    """Rotations [T, 3, 3] and shifts [T, 3] that best fit `places` [K, 3] to `paths` [K, T, 3]; identity for K < 3."""
    frames = paths.shape[1]
    if len(places) < 3:
        return np.tile(np.eye(3), (frames, 1, 1)), np.zeros((frames, 3))
    middle, middles = places.mean(axis=0), paths.mean(axis=0)
    covariance = np.einsum("kta,kb->tab", paths - middles, places - middle)
    turning = polar_rotation(torch.from_numpy(covariance)).numpy().astype(np.float64)
    return turning, middles - turning @ middle


def handle_paths(handles: KeyedHandles) -> Doubles:
    """Smooth paths [K, T, 3] of handles from rest through their keys."""
    places = handles.seats.places.astype(np.float64)
    resting = np.broadcast_to(places, (1, handles.targets.shape[1], *places.shape))
    result: Doubles = through_keys(resting, handles)[0].swapaxes(0, 1)
    return result


def bending_motions(body: MovingBody, handles: KeyedHandles, fps: float, seeds: Sequence[int]) -> Borrowed:
    """A motion [S, T, P, ...] for every seed: as rigid as possible, bent at random where the body bends most easily.

    The bending starts from rest, is slow and smooth, and grows with how far the handles move. A seed always bends
    the same way.
    """
    seats, frames, rest = handles.seats, handles.targets.shape[1], torch.from_numpy(body.nodes)
    paths = handle_paths(handles)
    hold = STAY / max(handles.moving, 1) ** 2
    moved, rotations = as_rigid(body, seats.shares[None], seats.places[None], paths[None], hold)
    far = float(np.linalg.norm(paths - seats.places[:, None], axis=-1).max(initial=0.0))
    bend = float(np.clip(BEND * far, LEAST_BEND, MOST_BEND))
    modes, sway = _bending_modes(body), _sway(frames, fps)
    turned = []
    for seed in seeds:
        amounts = np.random.default_rng([seed, 0xBE4D]).standard_normal((frames - 1, len(modes), 3))
        field = np.zeros((frames, len(body.nodes), 3))
        field[1:] = bend * np.einsum("ts,smx,mp->tpx", sway, amounts, modes, optimize=True)
        turned.append(Rotation.from_rotvec(field.reshape(-1, 3)).as_matrix().reshape(*field.shape, 3))
    bent = torch.from_numpy(np.stack(turned)).float() @ rotations
    surface = body.held_by(hold)
    if surface.together is not None:  # rigid parts also bend as one
        mixed = (surface.together @ bent.movedim(2, 0).flatten(1)[None])[0]
        bent = polar_rotation(mixed.unflatten(1, (len(seeds), frames, 3, 3)).movedim(0, 2).contiguous())
    surface = surface.with_handles(torch.from_numpy(seats.shares)[None], torch.from_numpy(seats.places)[None])
    every = moved.expand(len(seeds), -1, -1, -1)
    wanted = torch.from_numpy(np.tile(paths, (1, len(seeds), 1))).float()[None]
    positions = surface.positions(as_columns(bent), as_columns(every), wanted)
    positions = from_columns(positions, len(seeds), frames).contiguous()
    positions[:, 0], bent[:, 0] = rest, torch.eye(3)
    return Borrowed(positions, bent.contiguous())


def _bending_modes(body: MovingBody) -> Doubles:
    """Smooth fields [M, P] on the nodes, larger the less they bend the body; their squares add up to 1 in the mean."""
    weight = body.body.weight.astype(np.float64)
    values, vectors = np.linalg.eigh(np.diag(weight.sum(axis=1)) - weight)
    usable = values > 1e-6 * values[-1]  # constant fields would turn whole pieces, which handles decide
    values, vectors = values[usable][:MODES], vectors[:, usable][:, :MODES]
    modes: Doubles = (vectors / values).T
    modes /= np.sqrt(np.square(modes).sum(axis=0).mean().clip(1e-12))
    return modes


def _sway(frames: int, fps: float) -> Doubles:
    """[T - 1, T - 1] matrix that turns white noise into slow noise that starts from zero in frame 0."""
    time = np.arange(frames) / (SWAY * fps)
    correlation = np.exp(-0.5 * np.square(time[:, None] - time[None]))
    from_rest = correlation[1:, 1:] - np.outer(correlation[1:, 0], correlation[0, 1:])
    result: Doubles = np.linalg.cholesky(from_rest + 1e-6 * np.eye(frames - 1))
    return result


def with_second_opinion(
    body: MovingBody, led: Borrowed, borrowed: Borrowed, poses: NDArray[np.floating], handles: KeyedHandles
) -> Borrowed:
    """The motions `led` [S, T, P, ...] blended with the as-rigid one, by how well each predicts handles left out.

    `borrowed` and `poses` are those given to `follow_handles`, which is tried again on all handles but one.
    """
    if handles.moving < ENOUGH_HANDLES:
        return led
    structures = [Structure(alike, loose) for loose in (False, True) for alike in (None, turning_alike(body, poses))]
    if not _links_between_parts(body).shape[1]:
        structures = structures[:2]
    best, share = as_rigid_share(left_out_errors(body, borrowed, poses, handles, structures))
    seats, paths = handles.seats, handle_paths(handles)
    moved, rotations = as_rigid(body, seats.shares[None], seats.places[None], paths[None], structure=structures[best])
    positions = led.positions + share * (moved - led.positions)
    turned = polar_rotation(led.rotations + share * (rotations - led.rotations))
    positions[:, 0], turned[:, 0] = torch.from_numpy(body.nodes), torch.eye(3)
    return Borrowed(positions, turned)


def as_rigid_share(errors: Doubles) -> tuple[int, float]:
    """The best as-rigid motion and its weight (0 to 1), from errors [M, K] at handles left out; the last is borrowed.

    Handles count alike, by the geometric mean: an end of a limb that swings far, of which the others say next to
    nothing, has an error many times that of the rest, and would decide alone in a sum.
    """
    typical = np.exp(np.log(errors.clip(LEAST_ERROR)).mean(axis=1))
    best = int(typical[:-1].argmin())
    return best, float(1 / (1 + (typical[best] / typical[-1]) ** SHARPNESS))


def left_out_errors(
    body: MovingBody,
    borrowed: Borrowed,
    poses: NDArray[np.floating],
    handles: KeyedHandles,
    structures: Sequence[Structure],
) -> Doubles:
    """How far handles left out one at a time [K] are from where the others put them, in units of the size.

    One row for as-rigid motion with each structure, the last one for borrowed motion.
    """
    seats, keyframe_mask = handles.seats, handles.keyframe_mask
    rows = np.flatnonzero(handles.distances.max(axis=1) > AWAY)
    if len(rows) > LEFT_OUT:
        rows = np.sort(rows[farthest_point_indices(torch.from_numpy(seats.places[rows])[None], LEFT_OUT)[0].numpy()])
    keyed = np.flatnonzero(keyframe_mask[:, 1:].any(axis=0)) + 1
    frames = np.r_[0, keyed[np.unique(np.linspace(0, len(keyed) - 1, ASKED_FRAMES).round().astype(int))]]
    paths = handle_paths(handles._replace(loop=False))[:, frames]
    mask = keyframe_mask[:, frames].copy()
    mask[:, 0] = True
    others = np.array([np.delete(np.arange(len(seats.places)), row) for row in rows])
    without = seats.shares[others], seats.places[others], paths[others]
    tried = [as_rigid(body, *without, steps=TRIAL_STEPS, structure=one)[0].numpy() for one in structures]
    mean = Borrowed(
        borrowed.positions[:, frames].mean(dim=0, keepdim=True),
        polar_rotation(borrowed.rotations[:, frames].mean(dim=0, keepdim=True)),
    )
    shares = seats.shares / seats.shares.sum(axis=1, keepdims=True).clip(1e-9)
    errors = np.zeros((len(structures) + 1, len(rows)))
    for number, (row, kept) in enumerate(zip(rows, others, strict=True)):
        some = KeyedHandles(seats.of(kept), paths[kept], np.ones_like(mask[kept]))
        ours = follow_handles(body, mean, poses, some).positions[0].numpy()
        asked = mask[row].copy()
        asked[0] = False
        for which, moved in enumerate((*(moved[number] for moved in tried), ours)):
            found = np.einsum("p,tpa->ta", shares[row], moved - body.nodes) + seats.places[row]
            if asked.any():
                errors[which, number] = np.linalg.norm(found - paths[row], axis=-1)[asked].mean()
    return errors


def turning_alike(body: MovingBody, poses: NDArray[np.floating]) -> torch.Tensor:
    """How much each pair of nodes turns as one in `poses` [N, P, 3] (displacements): [1, P, P] in 0..1."""
    moved = torch.from_numpy(poses).float() + torch.from_numpy(body.nodes)
    turned = body.surface(body.seats(np.zeros(0, np.int64)), False).rotations(moved.transpose(0, 1)[None])[0]
    apart = (3 - torch.einsum("pnij,qnij->pq", turned, turned) / len(poses)).clamp_min(0)
    told = apart.mean() / (apart.mean() + HARDLY)  # poses that turn next to nothing say little
    alike = told * torch.exp(-apart / (ALIKE * apart.mean()).clamp_min(1e-9))
    return alike.fill_diagonal_(1.0)[None]
