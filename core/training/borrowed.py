"""Borrows motions of the bank for batches of training clips, on the training device, as a guess for the denoiser.

`core.bank.search` searches all windows for one request; here a few random ones are scored for every clip by the same
energy, so that they are about as good as those that a seed gets. Clips never borrow from their own rig, and half of
them not from its pack either.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from core.bank.bank_file import STORED_FPS
from core.bank.choosing import TEMPERATURE
from core.bank.search import (
    ALIKE,
    AMPLITUDE,
    ASTRAY,
    AWAY,
    EFFORT,
    FAR,
    LARGER,
    MISSED,
    MISSED_BY_MANY,
    POSE,
    RELIEF,
    SLACK,
    SPEEDS,
    STILLEST,
    UNUSUAL,
    USUAL_MOTION,
    USUAL_SPREAD,
)
from core.geometry.rigid import RigidSurface, polar_rotation
from core.models.warm_start import FilledTracks, HandleCondition, fill_tracks, graph_weights
from core.precision import distances, full_precision
from core.shapes import Float
from core.training.bank_tables import BankTables, Matches, gumbel_noise, match_bodies, uniform

STARTS = 40  # random windows of each shape
KEYS = 4  # frames at which handles are compared
SETTLING = 2  # as-rigid steps after the handles are met
RIDES_ON = 4  # nodes that carry a handle
CLIPS_AT_ONCE = 256  # limits the memory


class BorrowedGuess(NamedTuple):
    """Motions borrowed for each of B clips, one per window, which meet the handles as rigidly as possible."""

    displacements: Tensor  # [B, S, T, P, 3] of the nodes in the moving frames
    missed: Tensor  # [B, S] mean distance of the handles from their tracks before that


class Candidates(NamedTuple):
    """Windows of the bank for each of B clips: shape, first row, rows per frame, amplitude and energy."""

    shape: Tensor  # [B, C] number among the clip's shapes
    row: Tensor  # [B, C]
    step: Tensor  # [B, C]
    amplitude: Tensor  # [B, C]
    energy: Tensor  # [B, C]

    def at(self, index: Tensor) -> Candidates:
        return Candidates(*(part.gather(1, index) for part in self))


@torch.no_grad()
@full_precision
def borrowed_guesses(
    tables: BankTables,
    nodes: Float[Tensor, "B P 3"],
    normals: Float[Tensor, "B P 3"],
    handles: HandleCondition,
    fps: Float[Tensor, " B"],
    barred: Tensor,
    windows: int,
    generator: torch.Generator,
) -> BorrowedGuess:
    """`windows` different motions for every clip, corrected to meet its handles; in normalised space.

    `barred` [B, entries] says which shapes of the bank a clip must not borrow from.
    """
    parts = []
    for first in range(0, len(nodes), CLIPS_AT_ONCE):
        some = slice(first, first + CLIPS_AT_ONCE)
        mine = HandleCondition(
            handles.positions[some], handles.displacements[some], handles.keyframe_mask[some], handles.present[some]
        )
        parts.append(_guesses(tables, nodes[some], normals[some], mine, fps[some], barred[some], windows, generator))
    return BorrowedGuess(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _guesses(
    tables: BankTables,
    nodes: Tensor,
    normals: Tensor,
    handles: HandleCondition,
    fps: Tensor,
    barred: Tensor,
    windows: int,
    generator: torch.Generator,
) -> BorrowedGuess:
    weight = graph_weights(nodes, torch.ones_like(nodes[..., 0], dtype=torch.bool))
    matches = match_bodies(tables, nodes, normals, weight, barred, generator)
    shares = handle_shares(nodes, handles)
    surface = RigidSurface.of(nodes, weight)
    candidates = draw_candidates(tables, matches, nodes, weight, handles, shares, fps, generator)
    gumbel = gumbel_noise(generator, candidates.energy.shape)
    chosen = (gumbel - candidates.energy / TEMPERATURE).topk(windows, dim=1).indices
    frames = handles.keyframe_mask.shape[1]
    rotation, path = play(tables, matches, candidates.at(chosen), frames)
    return led_through(surface, rotation, path, handles, shares)


def handle_shares(nodes: Tensor, handles: HandleCondition) -> Tensor:
    """Weights [B, K, P] of the nodes that carry each handle; 0 for absent handles."""
    distance = distances(handles.positions, nodes)
    near = distance.topk(min(RIDES_ON + 1, nodes.shape[1]), dim=2, largest=False)
    reach = near.values[..., -1:].clamp_min(1e-6)
    share = (1 - near.values / reach).clamp_min(0).square() + 1e-6
    share = share / share.sum(dim=2, keepdim=True) * handles.present[..., None]
    return torch.zeros_like(distance).scatter_(2, near.indices, share)


def draw_candidates(
    tables: BankTables,
    matches: Matches,
    nodes: Tensor,
    weight: Tensor,
    handles: HandleCondition,
    shares: Tensor,
    fps: Tensor,
    generator: torch.Generator,
) -> Candidates:
    """Random windows of every clip's shapes with the energies of `core.bank.search`."""
    batch, frames, count = handles.keyframe_mask.shape
    mask = handles.keyframe_mask & handles.present[:, None]
    # Frames with keys come first; a few may repeat, and without keys none counts.
    order = uniform(generator, (batch, frames)) - 2.0 * mask.any(dim=2)
    ranked = order.argsort(dim=1)
    known = mask.any(dim=2).sum(dim=1).clamp_min(1)
    pick = torch.arange(KEYS, device=nodes.device)[None] % known[:, None]
    frame = ranked.gather(1, pick.clamp_max(frames - 1))  # [B, F]
    wide = frame[:, :, None, None].expand(-1, -1, count, 3)
    goal = handles.displacements.gather(1, wide)  # [B, F, K, 3]
    keyed = mask.gather(1, wide[..., 0]).float()  # [B, F, K]
    away = handles.displacements.norm(dim=-1) * mask  # [B, T, K]
    size = away.flatten(1).amax(dim=1)
    determined = ((away > AWAY).any(dim=1).sum(dim=1) - 1).clamp(0, 2) / 2  # as `share_determined`

    entries = matches.entry.shape[1]
    u = uniform(generator, (batch, entries * STARTS))
    shape = torch.arange(entries, device=nodes.device).repeat_interleave(STARTS).expand(batch, -1)
    entry = matches.entry.gather(1, shape)
    row = tables.first[entry] + (u * tables.count[entry]).long().clamp_max(tables.count[entry] - 1)
    speeds = torch.tensor(list(SPEEDS), device=nodes.device)
    rarity = torch.tensor(list(SPEEDS.values()), device=nodes.device)
    drawn = (uniform(generator, (batch, entries * STARTS)) * len(SPEEDS)).long().clamp_max(len(SPEEDS) - 1)
    step = speeds[drawn] * (STORED_FPS / fps)[:, None]

    rows = tables.rows_after(row[..., None], (frame + 1)[:, None] * step[..., None])  # [B, C, F]
    levers = _levers(nodes, weight, handles.positions, shares)  # [B, K, P, 3]
    turned = torch.einsum("bkpa,beca->bekpc", levers, matches.turn)
    by_part = torch.einsum("bepj,bekpc->bekjc", matches.parts, turned)  # [B, E, K, J, 3]
    mass = matches.parts.mean(dim=2)  # [B, E, J]
    energy, amplitude = [], []
    span = float(frames)
    for number in range(entries):  # one shape at a time, since the gathered rotations are large
        mine = slice(number * STARTS, (number + 1) * STARTS)
        lever, light, base_row = by_part[:, number], mass[:, number], row[:, mine]
        start = tables.rotations[base_row].to(nodes)  # [B, C, J, 3, 3]
        begun = torch.einsum("bcjxa,bkjx->bckja", start, lever)
        agreement = torch.einsum("bcjxy,bjxy->bc", start, matches.pose[:, number])
        then = tables.rotations[rows[:, mine]].to(nodes)  # [B, C, F, J, 3, 3]
        moved = torch.einsum("bcfjxa,bckja->bcfkx", then, begun) - lever.sum(dim=2)[:, None, None]
        middle = torch.einsum("bcjx,bj->bcx", tables.places[base_row], light)
        later = torch.einsum("bcfjx,bj->bcfx", tables.places[rows[:, mine]], light)
        moved = moved + (later - middle[:, :, None])[:, :, :, None]
        wanted = torch.einsum("bfka,bxa->bfkx", goal, matches.turn[:, number])[:, None]
        use = keyed[:, None, ..., None]
        along = (moved * wanted * use).sum(dim=(2, 3, 4))
        scale = (along / ((moved.square() * use).sum(dim=(2, 3, 4)) + 1e-9)).clamp(*AMPLITUDE)
        scale = torch.where((size > 0)[:, None], scale, torch.ones_like(scale))
        missed = ((scale[..., None, None, None] * moved - wanted).square() * use).sum(dim=(2, 3, 4))
        pairs = keyed.sum(dim=(1, 2)).clamp_min(1)[:, None]
        # The best sampled pose approximates the shape's best one.
        one = POSE * (agreement.amax(dim=1, keepdim=True) - agreement) + ALIKE * matches.cost[:, number, None]
        missed = (missed / pairs).sqrt() / (size + SLACK)[:, None]
        missing = (MISSED + MISSED_BY_MANY * pairs.log()) * missed + ASTRAY * (missed - FAR).clamp_min(0)
        one = one + torch.where((size > 0)[:, None], missing, torch.zeros_like(missing))
        one = one + LARGER * scale.log() + rarity[drawn[:, mine]]
        motion = torch.zeros_like(one)
        for part in (1 / 3, 2 / 3, 1.0):
            place = tables.places[tables.rows_after(base_row, part * span * step[:, mine])]
            far = (place - tables.places[base_row]).norm(dim=-1)
            motion = motion + torch.einsum("bcj,bj->bc", far, light) / 3
        one = one + _effort(scale * motion, size[:, None], determined[:, None])
        energy.append(one)
        amplitude.append(scale)
    return Candidates(shape, row, step, torch.cat(amplitude, dim=1), torch.cat(energy, dim=1))


def _levers(nodes: Tensor, weight: Tensor, places: Tensor, shares: Tensor) -> Tensor:
    """[B, K, P, 3]: handle k lies at the nodes' mean plus the sum over n of (rotation n) @ lever[k, n]."""
    degree = weight.sum(dim=-1)
    mean = torch.full_like(weight, 1 / weight.shape[-1]).double()
    laplacian = torch.diag_embed(degree.double()) - weight.double()
    inverse = (torch.linalg.inv(laplacian + mean) - mean).to(nodes)
    rows = shares @ inverse  # [B, K, P]
    own = rows[..., None] * (degree[..., None] * nodes - weight @ nodes)[:, None]
    spread = torch.einsum("bki,bin,bia->bkna", rows, weight, nodes)
    others = spread - (rows @ weight)[..., None] * nodes[:, None]
    offsets = shares[..., None] * (places[:, :, None] - nodes[:, None])
    return 0.5 * (own + others) + offsets


def _effort(motion: Tensor, size: Tensor, determined: Tensor) -> Tensor:
    beside = ((motion + 0.01 * size.clamp_min(0.05)) / size.clamp_min(1e-6)).log().clamp_min(STILLEST)
    beside = EFFORT * (1 - RELIEF * determined) * beside
    alone = UNUSUAL * (((motion + 0.0005).log() - USUAL_MOTION) / USUAL_SPREAD).square()
    return torch.where(size > 0, beside, alone)


def play(tables: BankTables, matches: Matches, windows: Candidates, frames: int) -> tuple[Tensor, Tensor]:
    """Rotations [B, S, T + 1, P, 3, 3] of the bodies' nodes and the path [B, S, T + 1, 3] of their mean."""
    device = windows.row.device
    entry = windows.shape[..., None, None, None]
    parts = matches.parts.gather(1, entry.squeeze(-1).expand(-1, -1, *matches.parts.shape[2:]))  # [B, S, P, J]
    turn = matches.turn.gather(1, entry.squeeze(-1).expand(-1, -1, 3, 3))
    when = torch.arange(frames + 1, device=device) * windows.step[..., None]  # [B, S, T + 1]
    before = tables.rows_after(windows.row[..., None], when.floor())
    after = tables.rows_after(windows.row[..., None], when.floor() + 1)
    share = (when - when.floor())[..., None, None]
    places = torch.lerp(tables.places[before], tables.places[after], share)
    rotations = torch.lerp(
        tables.rotations[before].to(share), tables.rotations[after].to(share), share[..., None]
    )  # [B, S, T + 1, J, 3, 3]
    by_node = torch.einsum("bspj,bstjxy->bstpxy", parts, rotations)
    by_node = torch.einsum("bsxa,bstpxy,bsyc->bstpac", turn, by_node, turn)
    absolute = polar_rotation(by_node)
    relative = absolute @ absolute[:, :, :1].transpose(-1, -2)
    eye, amplitude = torch.eye(3, device=device), windows.amplitude[..., None, None]
    rotation = polar_rotation(eye + amplitude[..., None, None] * (relative - eye))
    path = torch.einsum("bsj,bstjx->bstx", parts.mean(dim=2), places)
    path = torch.einsum("bstx,bsxa->bsta", path - path[:, :, :1], turn) * amplitude
    return rotation, path


def led_through(
    surface: RigidSurface, rotation: Tensor, path: Tensor, handles: HandleCondition, shares: Tensor
) -> BorrowedGuess:
    """Motions of the bodies from borrowed rotations and paths, corrected smoothly to meet the handles."""
    batch, windows, times = rotation.shape[:3]
    columns = lambda x: x.movedim(3, 1).flatten(2, 3)  # noqa: E731  [B, S, T + 1, P, ...] -> [B, P, S (T + 1), ...]
    floating = RigidSurface.floating(surface.rest, surface.weight)
    turned = columns(rotation)
    moved = floating.positions(turned, torch.zeros_like(turned[..., 0]))
    middle = surface.rest.mean(dim=1)[:, None, None] + path  # [B, S, T + 1, 3]
    moved = moved - moved.mean(dim=1, keepdim=True) + middle.flatten(1, 2)[:, None]
    if not bool(handles.present.any()):
        free = moved.unflatten(2, (windows, times)).movedim(1, 3)
        return BorrowedGuess((free - surface.rest[:, None, None])[:, :, 1:], path.new_zeros(batch, windows))
    held = surface.with_handles(shares, handles.positions)
    carried = held.carried(moved, turned).unflatten(2, (windows, times)).permute(0, 2, 3, 1, 4)  # [B, S, T + 1, K, 3]
    own = carried[:, :, 1:] - handles.positions[:, None, None]
    mask = handles.keyframe_mask & handles.present[:, None]
    residual = torch.where(mask[:, None, ..., None], handles.displacements[:, None] - own, torch.zeros_like(own))
    each = HandleCondition(
        handles.positions.repeat_interleave(windows, 0),
        residual.flatten(0, 1),
        mask.repeat_interleave(windows, 0),
        handles.present.repeat_interleave(windows, 0),
    )
    filled: FilledTracks = fill_tracks(each)
    target = carried.clone()
    target[:, :, 1:] += filled.displacements.unflatten(0, (batch, windows))
    goals = target.permute(0, 3, 1, 2, 4).flatten(2, 3)  # [B, K, S (T + 1), 3]
    settled, _ = held.settle(moved, moved, goals, turned, steps=SETTLING)
    missed = residual.norm(dim=-1).sum(dim=(2, 3)) / mask.sum(dim=(1, 2)).clamp_min(1)[:, None]
    motion = settled.unflatten(2, (windows, times)).movedim(1, 3) - surface.rest[:, None, None]
    return BorrowedGuess(motion[:, :, 1:].contiguous(), missed)
