"""`m2v evaluate parts`: are nodes matched with the same part of other models, and are headings right?

Protocol: rigs by authors held out of training are matched with the bank's models by other authors, at rest and in poses
of their clips, in four headings that the methods do not know. A match is right (more is better) where both nodes belong
to the same limb, or to the same part, on the same side, by the names of their joints. Nodes count only if their joints'
names say a part of the body that the other model has too. Each method is judged on the five models it finds most
similar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from core.bank.bank_file import read_bank
from core.bank.matching import NORMAL, PLACE, BankEntry, yaw
from core.bank.parts import CLASSES, LIMBS, MIRRORED, class_weights, side_or_spine_heading
from core.bank.read_rig import read_rig
from core.bank.shape import BankShape, quaternion_matrices
from core.bank.user_bank import shipped_bank
from core.data.rig_files import UNSEEN_AUTHORS, clip_author, rig_files
from core.errors import DataError
from core.evaluation.reporting import OnProgress, Report, machine, origin, page, rows_table, write_report
from core.pipelines.part_descriptions import PartDescriptions

MODELS = 5  # most similar ones, on which a method is judged
POSES = 3  # of clips, beside the rest pose
QUARTERS = tuple(np.pi / 2 * turn for turn in range(4))
NAMED = 0.3  # least share of joints with a telling name in a node's weights
WITHIN = 30.0  # degrees
ABOUT = __doc__.split("\n\n")[1].replace("\n", " ").strip() if __doc__ else ""
MEASURES = ("limb and side", "part and side")
METHODS = {
    "as the program matches": (2.0, PLACE, NORMAL),
    "descriptors alone": (2.0, 0.0, 0.0),
    "nearest place in the box, four headings tried": (0.0, PLACE, 0.0),
}


_LIMB_NAMES = sorted({(LIMBS.get(part, part), side) for part, side in CLASSES})
_LIMB = np.array([_LIMB_NAMES.index((LIMBS.get(part, part), side)) for part, side in CLASSES])  # of each class


class _Look(NamedTuple):
    """A rig in one pose, facing one way."""

    points: NDArray
    normals: NDArray
    forward: float | None  # true heading, an angle about Y from +Z; None where joint names do not tell


def evaluate_parts(
    describe: PartDescriptions,
    rigs: Sequence[BankShape],
    bank: Sequence[BankShape],
    out: Path,
    model: Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
    raw: Path | None = None,
) -> dict[str, Any]:
    """Match every rig with the models of `bank` by other authors; write the report `out` (JSON, .md beside it).

    Raises DataError where no joint of the rigs has a telling name, or the bank has no model by another author.
    """
    authors = {rig.author for rig in rigs}
    others = [describe.described(shape) for shape in bank if shape.author not in authors]
    named = [shape for shape in others if (_names(shape, False) >= 0).mean() > 0.5]
    entries = [BankEntry(shape, side) for shape in named for side in (False, True)]
    rigs = [rig for rig in rigs if class_weights(rig.part_names).any()]
    if not rigs or not entries:
        raise DataError("Rigs with named joints by at least two authors are needed; give other rigs.")
    names = [_names(entry.shape, entry.reflected) for entry in entries]
    rows: list[dict[str, Any]] = []
    for number, rig in enumerate(rigs):
        own = _names(rig, False)
        for look in _looks(rig):
            descriptors, heading = describe(look.points, look.normals)
            row: dict[str, Any] = {"clip": rig.name}
            if look.forward is not None:
                off = np.rad2deg(np.abs((heading - look.forward + np.pi) % (2 * np.pi) - np.pi))
                row["heading_error"] = float(off)
            for method, weights in METHODS.items():
                row[method] = _score(look, descriptors, heading, own, entries, names, weights)
            rows.append(row)
        if on_progress is not None:
            on_progress(number + 1, len(rigs), rig.name)
    report = {
        "protocol": "parts",
        "settings": {"models": MODELS, "poses": 1 + POSES, "headings": len(QUARTERS), "authors": sorted(authors)},
        "model": dict(model or {}),
        "machine": machine(),
        "summary": {"every rig": _summary(rows)}
        | {rig.name: _summary([row for row in rows if row["clip"] == rig.name]) for rig in rigs},
        "clips": rows,
    }
    write_report(out, report, page("Parts", ABOUT, origin(report), *parts_tables(report)), raw)
    return report


def left_out_rigs(rigs: str | Path | None = None) -> tuple[list[BankShape], list[BankShape]]:
    """Shapes by authors held out of training, from a folder of rigs or the shipped bank; and the shipped bank."""
    bank = read_bank(shipped_bank())
    if rigs is None:
        return [shape for shape in bank if shape.author in UNSEEN_AUTHORS], bank
    paths = [path for path in rig_files(rigs) if clip_author(path.stem) in UNSEEN_AUTHORS]
    return [read_rig(path) for path in paths], bank


def parts_tables(report: Report) -> list[str]:
    """The tables of a report: all rigs together, then each rig."""
    summary = report["summary"]
    whole = summary["every rig"]
    methods = [[method, *(f"{100 * whole[method][measure]:.1f}%" for measure in MEASURES)] for method in METHODS]
    rigs = [
        [
            name,
            *(f"{100 * figures[method][MEASURES[0]]:.1f}%" for method in METHODS),
            "/" if figures["heading"] is None else f"{100 * figures['heading']:.0f}%",
        ]
        for name, figures in summary.items()
    ]
    return [
        rows_table(["Nodes matched rightly ↑, by", *MEASURES], methods),
        rows_table(["Limb and side ↑, by rig", *METHODS, f"heading within {WITHIN:.0f}°"], rigs),
    ]


def _looks(rig: BankShape) -> Iterator[_Look]:
    """The rig at rest and in the middle frame of some clips, each in four headings."""
    weights = rig.weights()
    picks = np.linspace(0, len(rig.clips) - 1, min(POSES, len(rig.clips))).round().astype(int)
    poses = [rig.nodes] + [rig.posed(rig.clips[pick], [rig.clips[pick].frames // 2])[0] for pick in picks]
    for number, points in enumerate(poses):
        normals = rig.normals
        if number:
            clip = rig.clips[picks[number - 1]]
            turns = quaternion_matrices(clip.quaternions[clip.frames // 2])
            normals = np.einsum("nj,jab,nb->na", weights, turns, rig.normals, optimize=True)
            normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
        forward = side_or_spine_heading(rig.part_names, points, weights)
        for angle in QUARTERS:
            turn = yaw(angle).T
            ahead = None if forward is None else float(np.arctan2(forward[0], forward[2])) + angle
            yield _Look(points @ turn, normals @ turn, ahead)


def _names(shape: BankShape, reflected: bool) -> NDArray[np.int64]:
    """The part class [N] of each node, -1 where its joints' names do not tell; `reflected` swaps left and right."""
    labels = shape.weights() @ class_weights(shape.part_names)
    if reflected:
        labels = labels[:, MIRRORED]
    labels[:, [part == "prop" for part, _ in CLASSES]] = 0  # what a hand holds is not part of the body
    return np.where(labels.sum(axis=1) > NAMED, labels.argmax(axis=1), -1)


def _score(
    look: _Look,
    descriptors: NDArray,
    heading: float,
    own: NDArray[np.int64],
    entries: Sequence[BankEntry],
    names: Sequence[NDArray[np.int64]],
    weights: tuple[float, float, float],
) -> dict[str, float]:
    """{measure: fraction of nodes matched rightly}, mean over the most similar models."""
    by_descriptor, by_place, by_normal = weights
    # Without descriptors the heading is unknown, so all four are tried.
    headings = (heading,) if by_descriptor else QUARTERS
    boxes = [_boxed(look.points @ yaw(angle)) for angle in headings]
    normals = look.normals @ yaw(heading)
    found = []
    for entry, theirs in zip(entries, names, strict=True):
        fixed = by_descriptor * (1.0 - descriptors @ entry.descriptors.T)
        fixed = fixed + by_normal * (1.0 - normals @ entry.normals.T)
        costs = [fixed + by_place * cdist(box, entry.box, "sqeuclidean") for box in boxes]
        alike = [float(cost.min(axis=1).mean() + cost.min(axis=0).mean()) for cost in costs]
        best = int(np.argmin(alike))
        found.append((alike[best], theirs, costs[best].argmin(axis=1)))
    found.sort(key=lambda row: row[0])
    shares: dict[str, list[float]] = {measure: [] for measure in MEASURES}
    for _, theirs, match in found[:MODELS]:
        matched = theirs[match]
        for measure, group in zip(MEASURES, (_LIMB, np.arange(len(CLASSES))), strict=True):
            # A part that the other model lacks cannot be matched.
            counted = (own >= 0) & (matched >= 0) & np.isin(group[own], group[theirs[theirs >= 0]])
            if counted.any():
                shares[measure].append(float((group[matched] == group[own])[counted].mean()))
    return {measure: float(np.mean(values)) if values else 0.0 for measure, values in shares.items()}


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    errors = [row["heading_error"] for row in rows if "heading_error" in row]
    means = {
        method: {measure: float(np.mean([row[method][measure] for row in rows])) for measure in MEASURES}
        for method in METHODS
    }
    heading = float(np.mean([error < WITHIN for error in errors])) if errors else None
    return means | {"heading": heading, "median heading error": float(np.median(errors)) if errors else None}


def _boxed(points: NDArray) -> NDArray:
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - low) / (high - low).clip(1e-3) - 0.5
