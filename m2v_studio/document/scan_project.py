"""Scans in project files: their path and alignment, and the reconstructed meshes. Scans themselves are not stored, as
recordings can be very large.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.pipelines.request import QUALITIES, Quality, Reconstruction, ReconstructionOptions, ReconstructionSet
from core.sequence import MeshSequence, Normalization
from m2v_studio.document.result_commands import MAX_NAME, mark_of
from m2v_studio.document.scan_document import WHOLE, Corners, Reading, checked_alignment, shares_of
from m2v_studio.document.scan_files import read_scan_document
from m2v_studio.document.state import (
    MAX_STUDIO_SEEDS,
    Document,
    Mark,
    Results,
    State,
    edit_key,
    is_stale,
    reconstruction,
)

SETTINGS = ("fps", "seeds", "seed", "quality", "resolution", "one_shape", "other_bodies")
_PER_SAMPLE = ("fit", "scan_distance", "disagreement")
STALE = ("an older edit",)


def scans_json(state: State) -> dict[str, Any]:
    """The part of project.json with the scans' path, their alignment and the generation settings."""
    document = state.document
    assert document.scans is not None and document.alignment is not None
    return {
        "scans": {
            "path": str(Path(document.scans.path).resolve()),
            "name": document.scans.name,
            "alignment": _place_json(document.alignment),
            "box_shares": document.box_shares,
            **asdict(document.scans.reading),
        },
        **{name: getattr(document, name) for name in SETTINGS},
        "results": None if state.results is None else _results_json(state, state.results),
    }


def _reading(raw: dict[str, Any]) -> Reading:
    box, scale = raw.get("box"), raw.get("depth_scale")
    corners = None if box is None else cast(Corners, tuple(float(side) for side in box))
    return Reading(corners, str(raw.get("mask", "")), None if scale is None else float(scale))


def scans_document(description: dict[str, Any], project: Path) -> Document:
    """Read the scans again and align them as saved; raises DataError when they are gone or have changed too much."""
    raw = description["scans"]
    saved = Path(str(raw["path"]))
    # They may have moved together with the project.
    places = (saved, project.parent / saved.name)
    found = next((path for path in places if path.exists()), None)
    if found is None:
        raise DataError(
            f"The scans of this project, {saved}, are missing; restore them, or put them beside the project."
        )
    scans = read_scan_document(found, _reading(raw))
    place = raw["alignment"]
    if description["quality"] not in QUALITIES:
        raise ValueError(f"unknown quality {description['quality']!r}")
    document = Document(
        scans=scans,
        alignment=checked_alignment(scans.guess, place["center"], float(place["scale"]), str(place["up_axis"])),
        box_shares=shares_of(raw.get("box_shares", WHOLE))[1],
        frames=scans.sequence.frames,
        fps=float(description["fps"]),
        seeds=min(max(int(description["seeds"]), 1), MAX_STUDIO_SEEDS),
        seed=int(description["seed"]),
        quality=cast(Quality, description["quality"]),
        resolution=int(description["resolution"]),
        one_shape=bool(description["one_shape"]),
        other_bodies=tuple(str(name) for name in description.get("other_bodies", ())),
    )
    options: ReconstructionOptions = reconstruction(document)
    options.validate()
    return document


def reconstruction_arrays(results: Results) -> dict[str, NDArray]:
    """The arrays to store: the meshes of all seeds with their measurements."""
    samples = results.samples
    assert isinstance(samples, ReconstructionSet)
    arrays: dict[str, NDArray] = {}
    for index, sample in enumerate(samples.samples):
        arrays[f"sample{index}"], arrays[f"faces{index}"] = sample.sequence.vertices, sample.sequence.faces
        for name in _PER_SAMPLE:
            arrays[f"{name}{index}"] = getattr(sample, name)
    return arrays


def reconstruction_results(
    description: dict[str, Any], arrays: dict[str, NDArray], document: Document
) -> Results | None:
    """The saved meshes; raises ValueError or MeshError when they do not fit together."""
    raw = description["results"]
    if raw is None:
        return None
    samples = []
    for index, seed in enumerate(raw["seeds"]):
        sequence = MeshSequence(
            arrays[f"sample{index}"], arrays[f"faces{index}"], fps=float(raw["fps"]), name=str(raw["name"])
        )
        measured = {name: arrays[f"{name}{index}"].astype(np.float32) for name in _PER_SAMPLE}
        shape = sequence.vertices.shape[:2]
        if measured["fit"].shape != shape[:1] or any(measured[name].shape != shape for name in _PER_SAMPLE[1:]):
            raise ValueError("a result does not fit its measurements")
        bodies = raw.get("bodies", ())
        body = str(bodies[index]) if index < len(bodies) else ""
        samples.append(Reconstruction(int(seed), sequence, **measured, body=body))
    if not samples or raw["quality"] not in QUALITIES:
        raise ValueError("the results are incomplete")
    place = raw["normalization"]
    normalization = Normalization(np.array(place["center"], dtype=np.float64), float(place["scale"]), place["up_axis"])
    made = ReconstructionSet(
        tuple(samples), normalization, float(raw["seconds"]), str(raw["preset"]), str(raw["device"])
    )
    given = raw.get("marks", ())
    marks = tuple(mark_from(entry) for entry in given) if len(given) == len(samples) else ()
    key = STALE if raw["stale"] else edit_key(document)
    return Results(made, key, cast(Quality, raw["quality"]), marks=marks)


def mark_from(entry: dict[str, Any]) -> Mark:
    """The notes on a result; none in older projects."""
    star, older = bool(entry.get("star", False)), bool(entry.get("older", False))
    return Mark(star, str(entry.get("name", ""))[:MAX_NAME], older)


def run_json(state: State, results: Results) -> dict[str, Any]:
    """How results were made, and whether the document has changed since."""
    samples = results.samples
    return {
        "stale": is_stale(state),
        "quality": results.quality,
        "seconds": samples.seconds,
        "preset": samples.preset,
        "device": samples.device,
    }


def _results_json(state: State, results: Results) -> dict[str, Any]:
    samples = results.samples
    assert isinstance(samples, ReconstructionSet)
    first = samples.samples[0].sequence
    return {
        **run_json(state, results),
        "fps": first.fps,
        "name": first.name,
        "normalization": _place_json(samples.normalization),
        "seeds": [sample.seed for sample in samples.samples],
        "bodies": [sample.body for sample in samples.samples],
        "marks": [asdict(mark_of(results, row)) for row in range(len(samples.samples))],
    }


def _place_json(place: Normalization) -> dict[str, Any]:
    return {"center": [float(value) for value in place.center], "scale": float(place.scale), "up_axis": place.up_axis}
