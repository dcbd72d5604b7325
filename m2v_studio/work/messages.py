"""The messages between the window and the process with the model."""

from __future__ import annotations

import copyreg
from dataclasses import dataclass
from typing import Any

from core.geometry.drag_solve import DragSystem
from core.pipelines.request import Progress, ReconstructionOptions, ReconstructionSet, SampleSet, SamplingOptions
from core.sequence import Handle, HandleTracks, ScanSequence, SourceMesh


# Handles keep their keys in a read-only mapping, which pickle refuses; rebuild them from plain values.
def _reduce_handle(handle: Handle) -> tuple[Any, ...]:
    plain = dict(handle.keys), handle.hold, handle.pinned, handle.name, handle.pins, dict(handle.easing)
    return Handle, (handle.vertex, *plain, dict(handle.turns), handle.region)


copyreg.pickle(Handle, _reduce_handle)  # type: ignore[arg-type]


# ---- events, oldest first from poll() ---------------------------------------------------------------------


@dataclass(frozen=True)
class EngineReady:
    label: str


@dataclass(frozen=True)
class EngineFailed:
    message: str
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Progressed:
    request: int
    progress: Progress


@dataclass(frozen=True, eq=False)
class Finished:
    request: int
    samples: SampleSet | ReconstructionSet


@dataclass(frozen=True)
class Stopped:
    request: int


@dataclass(frozen=True)
class Failed:
    request: int
    message: str
    detail: str = ""


@dataclass(frozen=True, eq=False)
class DragReady:
    """The system that solves drags on the mesh with this number."""

    mesh: int
    system: DragSystem


@dataclass(frozen=True)
class FacingKnown:
    """The heading of the mesh with this number, in radians about Y from +Z in normalised space; None: not known."""

    mesh: int
    heading: float | None


Event = EngineReady | EngineFailed | DragReady | FacingKnown | Progressed | Finished | Stopped | Failed


Subject = SourceMesh | ScanSequence


@dataclass(frozen=True, eq=False)
class Animate:
    tracks: HandleTracks
    options: SamplingOptions


@dataclass(frozen=True, eq=False)
class Reconstruct:
    options: ReconstructionOptions


@dataclass(frozen=True, eq=False)
class Prepare:
    """Compute the system for drags on this mesh, and its heading."""

    mesh: int
    subject: SourceMesh


@dataclass(frozen=True, eq=False)
class Run:
    request: int
    subject: Subject | None  # None when it is that of the request before
    task: Animate | Reconstruct


@dataclass(frozen=True)
class Cancel:
    request: int
