"""The document and everything else the window shows, as immutable values. No Polyscope, no torch.

`Document` is edited, undone and saved. `State` adds the rest: view, results, running job. Derived values are functions,
not fields.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.pipelines.request import Quality, ReconstructionOptions, ReconstructionSet, SampleSet, SamplingOptions
from core.sequence import Handle, HandleTracks, Normalization, SourceMesh
from m2v_studio.document.key_edits import effect_of
from m2v_studio.document.reference import Reference, ReferenceMotion
from m2v_studio.document.scan_document import WHOLE, OpenedScans, Shares, is_guessed, view_frame

Layout = Literal["one", "side", "overlay"]
ColorBy = Literal["none", "own", "stretch", "disagreement", "handle_error", "to_scan", "unseen", "truth_error"]
Step = Literal["open", "add_handle", "drag", "generate", "wait", "play", "export"]
Snap = Literal["none", "ground", "grid", "symmetry", "vertex"]
Engine = Literal["loading", "ready", "failed"]

MAX_STUDIO_SEEDS = 16
SPEEDS = (0.25, 0.5, 1.0, 2.0)


class Same:
    """Compares an object by identity. Unlike `id`, it keeps the object alive, so that its address is not reused."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@dataclass(frozen=True, eq=False)
class Document:
    """The undoable part: a mesh with its handles, or scans with their alignment, and the generation settings."""

    source: SourceMesh | None = None
    handles: tuple[Handle, ...] = ()
    scans: OpenedScans | None = None  # instead of a source
    alignment: Normalization | None = None  # the box of the whole shape in frame 0; set exactly when scans are
    box_shares: Shares = WHOLE  # the sides of the box that scans are cut by, of the alignment's scale
    frames: int = 17
    fps: float = 24.0
    seeds: int = 4
    seed: int = 0
    quality: Quality = "normal"
    behaviour: str = ""  # requested behaviour; empty: any
    loop: bool = False  # the last frame flows into the first
    contacts: bool = True  # standing feet do not slide
    without: tuple[str, ...] = ()  # motions of the bank that are switched off: packs, models, clips
    resolution: int = 128  # iso-surface cells along a side
    one_shape: bool = False
    other_bodies: tuple[str, ...] = ()  # bodies of the bank excluded from completing the scans
    reference: Reference | None = None  # images beside the creature
    reference_motion: ReferenceMotion | None = None  # behind the creature


@dataclass(frozen=True)
class View:
    """The view's state; never undone."""

    time: float = 0.0  # frames; the frame shown is its whole part
    playing: bool = False
    resume: bool = False  # playback was stopped only by a drag, so the next draft plays again
    loop: bool = True
    speed: float = 1.0
    selected: int | None = None  # index into Document.handles
    key: int | None = None  # frame of the selected key of the selected handle
    rows: frozenset[int] = frozenset()  # further chosen handles; `selection` says which of them exist
    keys: frozenset[tuple[int, int]] = frozenset()  # further chosen keys, by row and frame
    layout: Layout = "one"
    solo: int = 0  # row in the results
    color: ColorBy = "none"
    gizmo: bool = False
    ring: bool = True  # around the chosen handle, to turn it
    snap: Snap = "none"  # what a handle snaps to while it is dragged
    points: bool = True  # the measured points, with or without meshes
    played: bool = False  # the newest full results have been watched


@dataclass(frozen=True)
class Mark:
    """A user's notes on a result. Starred results survive a new generation."""

    star: bool = False
    name: str = ""
    older: bool = False  # kept from an edit before the one that the other results belong to


@dataclass(frozen=True, eq=False)
class Results:
    """Samples and the edit they belong to; they are stale once the document has changed.

    `truth_error` holds, for each sample made from scans whose true surface is known, the distance [T, V] of its
    vertices from it, as a fraction of the longest side; None until it is computed.
    """

    samples: SampleSet | ReconstructionSet
    key: Hashable
    quality: Quality
    truth_error: tuple[NDArray[np.float32], ...] | None = None
    marks: tuple[Mark, ...] = ()  # one for each sample, or none at all


@dataclass(frozen=True, eq=False)
class Job:
    """A running generation. `preview` [T, V, 3] is the first seed so far, in the units of the opened file."""

    request: int
    key: Hashable
    quality: Quality
    seeds: int
    done: int = 0
    total: int = 0
    message: str = "Starting"
    preview: NDArray[np.float32] | None = None
    preview_faces: NDArray[np.int32] | None = None  # None: the source mesh's own
    body: str = ""  # name of the bank's body that is being fitted to scans and shown as the preview


@dataclass(frozen=True, eq=False)
class DraggedPose:
    """The dragged pose, shown until the draft of the whole motion arrives."""

    figure: str  # the grabbed one
    frame: int
    track: NDArray[np.float32]  # [1, V, 3] in the units of the opened file
    handles: tuple[Handle, ...]  # the handles it was made for; it is outdated when they change


@dataclass(frozen=True)
class Notice:
    """An error shown in a dialog: what went wrong in one sentence, with details for a report."""

    title: str
    message: str
    detail: str = ""


@dataclass(frozen=True, eq=False)
class State:
    document: Document = field(default_factory=Document)
    view: View = field(default_factory=View)
    results: Results | None = None
    removed: Results | None = None  # the results before some were deleted
    job: Job | None = None
    pose: DraggedPose | None = None
    engine: Engine = "loading"
    engine_label: str = "loading the model"
    notice: Notice | None = None
    busy: str = ""  # what a background file task is doing
    message: str = ""  # the last thing that was done, for the status line
    project: str = ""  # path of the project file, empty before the first save
    saved: Document | None = None  # the document as it is on disk
    saved_results: Results | None = None  # the results that are on disk with it


def frame_shown(state: State) -> int:
    """The whole frame under the playhead."""
    return min(max(int(state.view.time + 1e-6), 0), state.document.frames - 1)


def shown_pose(state: State) -> DraggedPose | None:
    """The dragged pose of the frame under the playhead; None once handles or playhead have changed."""
    pose = state.pose
    current = pose is not None and pose.handles is state.document.handles and pose.frame == frame_shown(state)
    return pose if current else None


def usable_handles(document: Document) -> tuple[Handle, ...]:
    """Handles that constrain the motion: pinned, pinned for a while, or with a key after the rest pose."""
    return tuple(h for h in document.handles if h.pinned or h.pins or any(frame > 0 for frame in h.keys))


def tracks(document: Document) -> HandleTracks:
    """The handle tracks for the pipeline."""
    return HandleTracks(usable_handles(document), frames=document.frames, fps=document.fps)


def sampling(document: Document) -> SamplingOptions:
    return SamplingOptions(
        seeds=document.seeds,
        seed=document.seed,
        quality=document.quality,
        behaviour=document.behaviour,
        loop=document.loop,
        contacts=document.contacts,
        without=document.without,
    )


@lru_cache(maxsize=4)  # called many times per frame on the same immutable document
def edit_key(document: Document) -> Hashable:
    """Equal for two documents that request the same motion, even with other seeds or another quality."""
    if document.scans is not None and document.alignment is not None:
        place = document.alignment
        box = (place.center.tobytes(), place.scale, place.up_axis)
        settings = (document.resolution, document.one_shape, document.other_bodies)
        return (Same(document.scans), box, settings)
    handles = tuple(effect_of(handle) for handle in usable_handles(document))
    wishes = (document.behaviour, document.loop, document.contacts, document.without)
    return (Same(document.source), handles, document.frames, wishes)


def is_stale(state: State) -> bool:
    """True when the results belong to an older edit."""
    return state.results is not None and state.results.key != edit_key(state.document)


def is_open(document: Document) -> bool:
    """True when there is a mesh or scans to work on."""
    return document.source is not None or document.scans is not None


def is_unsaved(state: State) -> bool:
    """True when the document or generated results are not on disk; drafts do not count."""
    if not is_open(state.document):
        return False
    made = state.results is not None and (state.results.quality != "draft" or state.document.quality == "draft")
    return state.document is not state.saved or (made and state.results is not state.saved_results)


def is_worth_keeping(state: State) -> bool:
    """True when there is work to lose: handles, an alignment set by hand, or meshes made from scans."""
    document = state.document
    if not is_unsaved(state):
        return False
    if document.scans is None or document.alignment is None:
        return bool(document.handles)
    return state.results is not None or not is_guessed(document.scans, document.alignment, document.box_shares)


def has_moved_handle(document: Document) -> bool:
    return any(not h.pinned and any(frame > 0 for frame in h.keys) for h in document.handles)


def is_generating(state: State) -> bool:
    """True while Generate runs; automatic drafts do not count."""
    return state.job is not None and (state.job.quality != "draft" or state.document.scans is not None)


def next_step(state: State) -> Step:
    """The suggested next step, whose control is highlighted."""
    document = state.document
    if not is_open(document):
        return "open"
    if document.scans is None:
        if not document.handles or all(h.pinned for h in document.handles):
            return "add_handle"
        if not has_moved_handle(document):
            return "drag"
    if is_generating(state):
        return "wait"
    results = state.results
    asked_for_drafts = document.quality == "draft"
    only_draft = document.scans is None and results is not None and results.quality == "draft"
    if results is None or is_stale(state) or (only_draft and not asked_for_drafts):
        return "generate"
    return "export" if state.view.played or state.view.playing else "play"


def why_not_generate(state: State) -> str:
    """Empty when Generate can be pressed, else what is missing."""
    if not is_open(state.document):
        return "Open a mesh or scans first."
    if state.document.scans is None and not has_moved_handle(state.document):
        return "Click the creature to add a handle and drag it somewhere first."
    if state.engine == "failed":
        return "The model could not be loaded; see the message in the status line."
    return ""


def why_not_results(state: State) -> str:
    """Empty when there is something to play, compare and export."""
    return "" if state.results is not None else "Generate a motion first."


def why_not_rig(state: State) -> str:
    """Empty when a rig can be made: there are results, or a mesh that motions of the bank can be carried over to."""
    return "" if state.document.source is not None else why_not_results(state)


def why_not_play(state: State) -> str:
    """Empty when something moves: results, a reference, or the scans themselves."""
    scans = state.document.scans
    moves = state.document.reference_motion is not None or (scans is not None and scans.sequence.frames > 1)
    return "" if moves else why_not_results(state)


def reconstruction(document: Document) -> ReconstructionOptions:
    """The options for the reconstruction pipeline."""
    return ReconstructionOptions(
        sampling=replace(sampling(document), without=document.other_bodies),
        normalization=document.alignment,
        resolution=document.resolution,
        one_shape=document.one_shape,
    )


def view_normalization(document: Document) -> Normalization | None:
    """The map from the opened file's units to the view's; None when nothing is open."""
    if document.scans is not None and document.alignment is not None:
        return view_frame(document.scans.guess, document.alignment.up_axis)
    return None if document.source is None else normalization(document.source)


def view_key(document: Document) -> Hashable:
    """Changes when the view has to be built anew: for another file, or scans with another up axis."""
    up = None if document.alignment is None else document.alignment.up_axis
    return (Same(document.source), Same(document.scans), up)


def is_box_shown(state: State) -> bool:
    """The box of normalised space is shown until there are meshes, and while it is being moved."""
    waiting = state.results is None and state.job is None
    return state.document.scans is not None and (waiting or state.view.gizmo)


def normalization(source: SourceMesh) -> Normalization:
    return Normalization.of(source.vertices, source.up_axis)


def shown_samples(state: State) -> tuple[int, ...]:
    """Rows of the results that are visible."""
    if state.results is None:
        return ()
    count = len(state.results.samples.samples)
    if state.view.layout == "one":
        return (min(state.view.solo, count - 1),)
    return tuple(range(count))
