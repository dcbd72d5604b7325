"""Fits the weights by which windows of the bank are chosen, on clips with known motion.

    python -m core.experiments.fit_choice RIGS --clips 2

Every clip gives several requests: one handle where it moves most, one anywhere, five in the last frame, three full
tracks. Its own pack is left out of the bank, and authors held out for evaluation are not used. The weights maximise the
likelihood of the true motions under a mixture of Gaussians around the motion borrowed from each window.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import igl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.bank.behaviours import behaviour_of
from core.bank.borrowing import borrow
from core.bank.grounding import lead_by_feet
from core.bank.matching import Match
from core.bank.search import (
    FAR,
    STILLEST,
    PreparedWish,
    Window,
    energy_of,
    log_motion,
    position_functional,
    window_terms,
)
from core.data.rig_files import UNSEEN_AUTHORS, clip_author, rig_files
from core.errors import DataError, M2VError
from core.evaluation.evaluation_clips import ClipName, EvaluationClip, evenly, load
from core.evaluation.fair_bank import without_own_pack
from core.evaluation.handles import handle_vertices
from core.io.gltf.clip_reader import clip_frames
from core.io.gltf.scene import GltfScene
from core.pipelines.animate import Animator
from core.pipelines.living_motion import through_keys
from core.pipelines.moving_body import KeyedHandles, MovingBody, as_columns, from_columns, wish_for

NAMES = (
    "missed", "missed x log keys", "missed by far", "log amplitude", "pose", "unlike", "log motion", "slow", "fast"
)  # fmt: skip
PENALTIES = torch.tensor([True, True, True, False, True, True, False, False, False])  # weights that must not reward
WIDTH = 0.3  # standard deviation of the mixture's Gaussians, over the true mean motion
FLOOR = 0.006  # likelihood of a true motion far from all windows
LIKELY, OTHERS = 60, 40  # windows per request: likely ones, and random ones that represent the rest
NEIGHBOURS = 0.2  # share of the windows without a neighbouring window
STEPS = 500
SHRINKAGE = 1e-3  # penalty on squared weights, with terms in units of their deviation


@dataclass(frozen=True)
class Evidence:
    """The windows of one request."""

    terms: Tensor  # [C, 9] in the order of `NAMES`
    distance: Tensor  # [C] distance of the borrowed motions from the truth, over the true mean motion
    count: Tensor  # [C] how many windows each represents
    pack: str


def requests(clip: EvaluationClip, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], list[int]]]:
    """Requests for a clip: handle vertices [K], and the frames in which they are keyed."""
    moved = np.linalg.norm(clip.vertices - clip.vertices[:1], axis=-1)
    farthest, last = moved.max(axis=0), len(moved) - 1
    vertex = int(farthest.argmax())
    yield np.array([vertex]), [int(moved[:, vertex].argmax())]
    vertex = int(rng.choice(np.flatnonzero(farthest > 0.4 * farthest.max())))
    yield np.array([vertex]), [int(moved[:, vertex].argmax())]
    if rng.integers(2):
        yield handle_vertices(clip.vertices[0], 3), list(range(1, last + 1))
    else:
        yield handle_vertices(clip.vertices[0], 5), [last]


def node_tracks(body: MovingBody, clip: EvaluationClip) -> NDArray[np.float32]:
    """Positions of a body's nodes through a clip [T, P, 3]."""
    rest, faces = clip.vertices[0], clip.faces.astype(np.int64)
    nodes = body.nodes.astype(np.float64)
    face = igl.point_mesh_squared_distance(nodes, rest, faces)[1]
    corners = faces[face]
    share = igl.barycentric_coordinates(nodes, *(np.ascontiguousarray(rest[corners[:, i]]) for i in range(3)))
    return np.einsum("pc,tpcx->tpx", share, clip.vertices[:, corners]).astype(np.float32)


def evidence(
    body: MovingBody,
    matches: list[Match],
    clip: EvaluationClip,
    vertices: NDArray[np.int64],
    frames: list[int],
    pack: str,
    rng: np.random.Generator,
) -> Evidence:
    """Energy terms of some windows for one request, and their distances from the truth."""
    mask = np.zeros((len(vertices), len(clip.vertices)), dtype=bool)
    mask[:, [0, *frames]] = True
    handles = KeyedHandles(body.seats(vertices), clip.vertices[:, vertices].swapaxes(0, 1), mask)
    wish = wish_for(handles, clip.fps)
    prepared = PreparedWish.of(body.body, wish, position_functional(body.body))
    rows, places, energies = [], [], []
    for number, match in enumerate(matches):
        for terms in window_terms(match, prepared):
            log_keys = np.log(max(len(prepared.keys), 1))
            ones = np.ones(len(terms.missed))
            columns = (
                terms.missed, log_keys * terms.missed, np.maximum(terms.missed - FAR, 0), np.log(terms.amplitude),
                terms.pose, match.cost * ones, ones, (terms.speed < 1) * ones, (terms.speed > 1) * ones
            )  # fmt: skip
            keep = np.flatnonzero(terms.possible)
            rows.append(np.stack(columns, axis=1)[keep])
            energies.append(energy_of(terms, match.cost, prepared)[keep])
            places += [(number, int(row), terms.speed, float(terms.amplitude[row])) for row in keep]
    table, order = np.concatenate(rows), np.argsort(np.concatenate(energies))
    likely = order[: 6 * LIKELY : 6]
    rest = np.setdiff1d(order, order[: 6 * LIKELY])
    some = rng.choice(rest, min(OTHERS, len(rest)), replace=False)
    chosen = np.concatenate([likely, some])
    count = np.r_[np.ones(len(likely)), np.full(len(some), NEIGHBOURS * len(rest) / max(len(some), 1))]
    windows = []
    for number, row, speed, amplitude in (places[index] for index in chosen):
        entry = matches[number].entry
        clip_row, frame = int(entry.clip[row]), float(entry.frame[row])
        windows.append(Window(matches[number], clip_row, frame, speed, amplitude, 0.0, 0.0))
    motions = borrow(body.body, windows, wish)
    positions = lead_by_feet(windows, wish, motions.positions)
    effort = (positions - torch.from_numpy(body.nodes)).norm(dim=-1).mean(dim=(1, 2)).numpy()
    table = table[chosen]
    table[:, NAMES.index("log motion")] = np.maximum(log_motion(effort, prepared.size), STILLEST)
    surface, turned = body.surface(handles.seats, False), as_columns(motions.rotations)
    carried = from_columns(surface.carried(as_columns(positions), turned), *positions.shape[:2])
    goals = as_columns(torch.from_numpy(through_keys(carried.double().numpy(), handles)).float())
    met = from_columns(surface.meet(as_columns(positions), turned, goals), *positions.shape[:2])
    truth = torch.from_numpy(node_tracks(body, clip))
    usual = (truth[1:] - truth[:1]).norm(dim=-1).mean()
    distance = (met - truth)[:, 1:].norm(dim=-1).mean(dim=(1, 2)) / usual
    return Evidence(torch.from_numpy(table).float(), distance, torch.from_numpy(count).float(), pack)


def gather(animator: Animator, rigs: Path, clips: int) -> list[Evidence]:
    """Evidence of all requests for up to `clips` clips of every rig. Raises DataError for a model without a bank."""
    result: list[Evidence] = []
    if animator.library is None:
        raise DataError(
            "These weights lack a bank of motions or a part descriptor, so there is nothing to choose from."
        )
    packs = {shape.name: shape.pack for shape in animator.library.shapes}
    for path in rig_files(rigs):
        if clip_author(path.stem) in UNSEEN_AUTHORS:
            continue
        found = GltfScene(path).clips
        usable = [number for number, clip in enumerate(found) if clip_frames(clip) >= 17]
        for number in dict.fromkeys(evenly(usable, clips)):
            name = ClipName(f"{path.stem}/{number}", "rigs", behaviour_of(found[number].name), "", str(path), number)
            clip = load(name)
            if clip is None:
                continue
            body = animator.body_of(clip.mesh)
            with without_own_pack(animator, name):
                matches = animator.library.match(body.body)
            rng = np.random.default_rng(zlib.crc32(name.key.encode()))
            for vertices, frames in requests(clip, rng):
                pack = packs.get(path.stem, path.stem)
                result.append(evidence(body, matches, clip, vertices, frames, pack, rng))
            print(f"{len(result)} requests, last of {name.key}", flush=True)
    return result


def fit(evidence: list[Evidence]) -> tuple[Tensor, float]:
    """Weights [9] of the terms, and their mean negative log-likelihood."""
    most = max(len(one.distance) for one in evidence)
    pad = lambda x, value: torch.nn.functional.pad(x, (0, 0) * (x.dim() - 1) + (0, most - len(x)), value=value)  # noqa: E731
    terms = torch.stack([pad(one.terms, 0.0) for one in evidence])
    log_count = torch.stack([pad(one.count.log(), -torch.inf) for one in evidence])
    kernel = torch.stack([(-0.5 * (pad(one.distance, 99.0) / WIDTH).square()).exp() + FLOOR for one in evidence]).log()
    deviation = terms.flatten(0, 1).std(dim=0).clamp_min(1e-6)
    raw = torch.full((len(NAMES),), 0.1, requires_grad=True)
    optimiser = torch.optim.Adam([raw], lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        weights = torch.where(PENALTIES, torch.nn.functional.softplus(5 * raw) / 5, raw)
        share = (log_count - terms @ (weights / deviation)).log_softmax(dim=1)
        loss = -(share + kernel).logsumexp(dim=1).mean()
        optimiser.zero_grad()
        (loss + SHRINKAGE * weights.square().sum()).backward()
        optimiser.step()
        schedule.step()
    return (weights / deviation).detach(), float(loss.detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rigs", type=Path)
    parser.add_argument("--clips", type=int, default=2, help="of every rig")
    options = parser.parse_args()
    try:
        with torch.inference_mode():
            found = gather(Animator.load("small"), options.rigs, options.clips)
    except M2VError as error:
        parser.error(str(error))
    if not found:
        parser.error(f"No clip in {options.rigs} moves enough to be learned from; give the folder of all rigs.")
    weights, loss = fit([Evidence(e.terms.clone(), e.distance.clone(), e.count.clone(), e.pack) for e in found])
    print(f"{len(found)} requests, mean negative log-likelihood {loss:.3f}")
    for name, weight in zip(NAMES, weights.tolist(), strict=True):
        print(f"{name:20s} {weight:8.2f}")


if __name__ == "__main__":
    main()
