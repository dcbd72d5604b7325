"""The user's commands as pure functions State -> State; `history.Session` applies them with undo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.errors import HandleError
from core.pipelines.request import Quality
from core.sequence import MAX_FRAMES, MAX_TARGET_DISTANCE, MIN_FRAMES, Handle, SourceMesh
from m2v_studio.document.key_edits import stretched_handle
from m2v_studio.document.reference import Reference, ReferenceMotion
from m2v_studio.document.state import (
    MAX_STUDIO_SEEDS,
    ColorBy,
    Document,
    Layout,
    Notice,
    Results,
    State,
    frame_shown,
    why_not_play,
)
from m2v_studio.document.up_axis import mesh_notes

MAX_HANDLES = 64


# ---- source and handles -----------------------------------------------------------------------------------


def open_source(state: State, mesh: SourceMesh) -> State:
    """A new document on this mesh. It keeps the generation settings, but not the length and frame rate of scans."""
    document = replace(state.document, source=mesh, handles=(), scans=None, alignment=None)
    document = replace(document, reference=None, reference_motion=None)
    if state.document.scans is not None:
        document = replace(document, frames=Document.frames, fps=Document.fps)
    state = select_handle(state, None)
    view = replace(state.view, time=0.0, playing=False, layout="one", solo=0, color="none")
    return replace(
        state,
        document=document,
        view=view,
        results=None,
        removed=None,
        job=None,
        project="",
        message=" ".join((f"Opened {mesh.name}.", *mesh_notes(mesh))),
    )


def add_handle(state: State, vertex: int, pinned: bool = False) -> State:
    """Add a handle at a vertex and select it; one that is already there is selected, and pinned if asked.

    Scans have no handles.
    """
    document = state.document
    if document.source is None:
        return state
    for row, handle in enumerate(document.handles):
        if vertex == handle.vertex or vertex in handle.region:
            selected = select_handle(state, row)
            return set_pinned(selected, row, True) if pinned and not handle.pinned else selected
    if len(document.handles) >= MAX_HANDLES:
        raise HandleError(f"A motion can have at most {MAX_HANDLES} handles; delete one first.")
    handle = Handle(vertex=int(vertex), pinned=pinned, name=_free_name(document))
    changed = replace(document, handles=(*document.handles, handle))
    added = "Pinned" if pinned else "Added"
    return select_handle(replace(state, document=changed, message=f"{added} {handle.name}."), len(changed.handles) - 1)


def _free_name(document: Document) -> str:
    taken = {handle.name for handle in document.handles}
    return next(name for i in range(1, MAX_HANDLES + 2) if (name := f"handle {i}") not in taken)


def select_handle(state: State, row: int | None) -> State:
    return with_view(state, selected=row, key=None, rows=frozenset(), keys=frozenset())


def select_key(state: State, row: int, frame: int) -> State:
    return with_view(state, selected=row, key=frame, rows=frozenset(), keys=frozenset())


def rename_handle(state: State, row: int, name: str) -> State:
    name = " ".join(name.split())[:40]
    return with_handle(state, row, name=name) if name and name != state.document.handles[row].name else state


def set_pinned(state: State, row: int, pinned: bool) -> State:
    return with_handle(state, row, pinned=pinned)


def set_hold(state: State, row: int, hold: bool) -> State:
    return with_handle(state, row, hold=hold)


def delete_handle(state: State, row: int) -> State:
    handles = state.document.handles
    kept = handles[:row] + handles[row + 1 :]
    changed = replace(with_handles(state, kept), message=f"Deleted {handles[row].name}.")
    selected = min(row, len(kept) - 1) if kept else None
    return select_handle(changed, selected)


def with_handle(state: State, row: int, **changes: Any) -> State:
    handles = list(state.document.handles)
    handles[row] = replace(handles[row], **changes)
    return with_handles(state, handles)


def with_handles(state: State, handles: Iterable[Handle]) -> State:
    """Replace the document's handles; returns the same state if nothing changes."""
    new, old = tuple(handles), state.document.handles
    if len(new) == len(old) and all(a is b for a, b in zip(new, old, strict=True)):
        return state
    return replace(state, document=replace(state.document, handles=new))


# ---- keys -------------------------------------------------------------------------------------------------


def key_frame_for_drag(state: State) -> int:
    """The frame that a drag keys: the one shown; but for the rest pose the last frame, or in a loop the middle one."""
    frame, document = frame_shown(state), state.document
    if frame > 0:
        return frame
    return document.frames // 2 if document.loop else document.frames - 1  # a loop ends as it begins


def set_key(state: State, row: int, frame: int, position: ArrayLike) -> State:
    """Write a key [3] in source units; frame 0 is the rest pose and cannot have one. Unpins the handle."""
    handles = list(state.document.handles)
    handles[row] = keyed_handle(state.document, row, frame, position)
    return select_key(with_handles(state, handles), row, frame)


def keyed_handle(document: Document, row: int, frame: int, position: ArrayLike) -> Handle:
    """The handle, unpinned, with a key [3] in this frame, clamped to its reach. Raises HandleError for a bad key."""
    handle, target = document.handles[row], np.asarray(position, dtype=np.float64)
    if not 0 < frame < document.frames:
        raise HandleError(f"Frame {frame} cannot have a key; frames 1 to {document.frames - 1} can.")
    if not np.isfinite(target).all():
        raise HandleError(f"{handle.name} cannot be moved to {target.tolist()}; give finite numbers.")
    if document.source is not None:
        rest = document.source.vertices[handle.vertex]
        reach = 0.99 * MAX_TARGET_DISTANCE * document.source.size
        target = rest + np.clip(target - rest, -reach, reach)
    return replace(handle, keys={**handle.keys, frame: target}, pinned=False)


# ---- generation settings ----------------------------------------------------------------------------------


def set_frames(state: State, frames: int, began: Document | None = None) -> State:
    """Change the motion's length and stretch its keys with it, so that an end pose stays at the end. Not for scans.

    Keys are stretched from `began`, the document before the gesture (by default the present one). There is always at
    least one frame for each key.
    """
    document = state.document
    began = document if began is None else began
    most = max((sum(frame > 0 for frame in handle.keys) for handle in began.handles), default=0)
    frames = min(max(int(frames), MIN_FRAMES, most + 1), MAX_FRAMES)
    if frames == document.frames or document.scans is not None:
        return state
    scale = (frames - 1) / (began.frames - 1)
    handles = tuple(stretched_handle(handle, scale, frames) for handle in began.handles)
    time = float(round(state.view.time * (frames - 1) / (document.frames - 1)))
    view = replace(state.view, time=time, key=None, keys=frozenset())
    return replace(state, document=replace(document, frames=frames, handles=handles), view=view)


def set_fps(state: State, fps: float) -> State:
    return _setting(state, fps=float(min(max(fps, 1.0), 240.0)))


def set_seeds(state: State, seeds: int) -> State:
    return _setting(state, seeds=min(max(int(seeds), 1), MAX_STUDIO_SEEDS))


def set_seed(state: State, seed: int) -> State:
    return _setting(state, seed=min(max(int(seed), 0), 999_999))


def set_quality(state: State, quality: Quality) -> State:
    return _setting(state, quality=quality)


def set_behaviour(state: State, behaviour: str) -> State:
    return _setting(state, behaviour=behaviour)


def set_loop(state: State, loop: bool) -> State:
    return _setting(state, loop=loop)


def set_motions_off(state: State, without: tuple[str, ...]) -> State:
    """Borrow no motion from these packs, models and clips."""
    return _setting(state, without=tuple(sorted(set(without))))


def set_contacts(state: State, contacts: bool) -> State:
    return _setting(state, contacts=contacts)


def set_reference(state: State, reference: Reference | None) -> State:
    """Set the reference images beside the creature; None removes them."""
    return _setting(state, reference=reference)


def set_reference_motion(state: State, motion: ReferenceMotion | None, frames: int = 0) -> State:
    """Set or remove the reference motion. A document without handles takes its length, `frames`."""
    state = _setting(state, reference_motion=motion)
    if motion is not None and frames:
        state = say(state, f"{motion.clip.rsplit('|', 1)[-1]} runs behind the creature, in step with the timeline.")
    if motion is not None and frames and not state.document.handles and state.results is None:
        return set_frames(state, frames)
    return state


def _setting(state: State, **changes: Any) -> State:
    if all(getattr(state.document, name) == value for name, value in changes.items()):
        return state
    return replace(state, document=replace(state.document, **changes))


# ---- view -------------------------------------------------------------------------------------------------


def with_view(state: State, **changes: Any) -> State:
    return replace(state, view=replace(state.view, **changes))


def set_time(state: State, time: float) -> State:
    """Scrub; stops playback."""
    return with_view(state, time=float(min(max(time, 0.0), state.document.frames - 1)), playing=False, resume=False)


def hold_still(state: State) -> State:
    """Stop playback while the user drags; it goes on when the next draft is there."""
    return with_view(state, playing=False, resume=state.view.playing or state.view.resume)


def step_frame(state: State, by: int) -> State:
    """Step by whole frames, wrapping around when looping."""
    frames = state.document.frames
    frame = frame_shown(state) + by
    return set_time(state, frame % frames if state.view.loop else frame)


def toggle_play(state: State) -> State:
    if why_not_play(state):
        return with_view(state, playing=False, resume=False)
    at_end = not state.view.loop and frame_shown(state) == state.document.frames - 1
    playing = not state.view.playing
    time = 0.0 if playing and at_end else state.view.time
    watched = state.results is not None and (state.view.played or playing)
    return with_view(state, playing=playing, time=time, played=watched, resume=False)


def advance(state: State, seconds: float) -> State:
    """Move the playhead by wall-clock seconds at the document's frames per second and the chosen speed."""
    view, document = state.view, state.document
    if not view.playing:
        return state
    time = view.time + seconds * document.fps * view.speed
    if time < document.frames:
        return with_view(state, time=time)
    if view.loop:
        return with_view(state, time=time % document.frames, played=True)
    return with_view(state, time=float(document.frames - 1), playing=False, played=True)


def solo(state: State, row: int) -> State:
    """Show one result alone; rows that do not exist are ignored."""
    if state.results is None or not 0 <= row < len(state.results.samples.samples):
        return state
    return with_view(state, layout="one", solo=row)


def set_layout(state: State, layout: Layout) -> State:
    if layout != "one" and (state.results is None or len(state.results.samples.samples) < 2):
        return state
    return with_view(state, layout=layout)


def set_color(state: State, color: ColorBy) -> State:
    return with_view(state, color=color)


def notify(state: State, notice: Notice | None) -> State:
    return replace(state, notice=notice)


def say(state: State, message: str) -> State:
    return replace(state, message=message)


def set_busy(state: State, busy: str) -> State:
    return replace(state, busy=busy)


def engine_ready(state: State, label: str) -> State:
    return replace(state, engine="ready", engine_label=label)


def engine_failed(state: State, message: str) -> State:
    return replace(state, engine="failed", engine_label="no model", job=None, message=message)


def mark_saved(state: State, project: str, written: State) -> State:
    """`written` is the state that the file was made of."""
    saved = replace(state, saved=written.document, saved_results=written.results)
    return replace(saved, project=project, message=f"Saved {project}.")


def opened_project(document: Document, results: Results | None, project: str) -> State:
    """The state right after a project file was read."""
    return State(document=document, results=results, project=project, saved=document, saved_results=results)
