"""Commands for scans: pure functions State -> State."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from m2v_studio.document import commands
from m2v_studio.document.scan_document import WHOLE, OpenedScans, checked_alignment, same_alignment, shares_of
from m2v_studio.document.state import Results, State
from m2v_studio.document.words import counted

RESOLUTIONS = (32, 64, 128, 256)


def open_scans(state: State, scans: OpenedScans) -> State:
    """A new document on these scans with the guessed alignment; seeds and quality are kept."""
    sequence = scans.sequence
    document = replace(
        state.document,
        source=None,
        handles=(),
        scans=scans,
        alignment=scans.guess,
        box_shares=WHOLE,
        frames=sequence.frames,
        fps=sequence.fps,
    )
    state = replace(commands.select_handle(state, None), results=None, removed=None, job=None)
    view = replace(state.view, time=0.0, playing=False, layout="one", solo=0, color="none", gizmo=False)
    skipped = f" {' '.join(sequence.notes)}" if sequence.notes else ""
    message = f"Opened {scans.name}: {counted(sequence.frames, 'scan')}.{skipped}"
    return replace(state, document=document, view=view, project="", message=message)


def reread_scans(state: State, scans: OpenedScans) -> State:
    """Replace the scans by the same ones read with other settings; the box stays unless their size has changed."""
    before_this, now = state.document.scans, state.document.alignment
    if before_this is None or now is None:
        return state
    if scans.reading.depth_scale != before_this.reading.depth_scale:
        document = replace(state.document, scans=scans, alignment=scans.guess)
        how = f"Depth is read with {depth_units(scans.reading.depth_scale)}."
        return replace(state, document=document, message=f"{how} The shape measures about {scans.guess.scale:.3g}.")
    place = checked_alignment(scans.guess, now.center, now.scale, now.up_axis)
    document = replace(state.document, scans=scans, alignment=place)
    left = int(scans.point_counts().sum())
    before = int(before_this.point_counts().sum())
    return replace(state, document=document, message=f"{left:,} points are used instead of {before:,}.")


def depth_units(scale: float | None) -> str:
    """How depth maps are read, in words; `scale` is their units per metre."""
    return "the units that were recognised" if scale is None else f"{scale:,.6g} units per metre"


def set_alignment(
    state: State,
    center: ArrayLike | None = None,
    scale: float | None = None,
    up_axis: str | None = None,
    sides: ArrayLike | None = None,
) -> State:
    """Move, resize or turn the box that holds the whole shape in frame 0; None leaves a value as it is.

    `scale` is its longest side. `sides` [3] are all three, along the axes of the file; the longest of them becomes the
    scale. Raises DataError for numbers that are not finite.
    """
    document = state.document
    scans, now = document.scans, document.alignment
    if scans is None or now is None:
        return state
    shares = document.box_shares
    if sides is not None:
        scale, shares = shares_of(sides)
    wanted = checked_alignment(
        scans.guess,
        now.center if center is None else center,
        now.scale if scale is None else scale,
        now.up_axis if up_axis is None else up_axis,
    )
    if same_alignment(wanted, now) and shares == document.box_shares:
        return state
    return replace(state, document=replace(document, alignment=wanted, box_shares=shares))


def reset_alignment(state: State) -> State:
    """Back to the guess."""
    scans = state.document.scans
    if scans is None:
        return state
    guess = scans.guess
    return set_alignment(state, guess.center, None, guess.up_axis, np.full(3, guess.scale))


def set_resolution(state: State, resolution: int) -> State:
    if resolution == state.document.resolution or resolution not in RESOLUTIONS:
        return state
    return replace(state, document=replace(state.document, resolution=resolution))


def set_one_shape(state: State, one_shape: bool) -> State:
    if one_shape == state.document.one_shape:
        return state
    return replace(state, document=replace(state.document, one_shape=one_shape))


def ask_for_another_body(state: State, body: str) -> State:
    """Exclude this body, besides those excluded before, from completing the scans; "": allow all again."""
    others = tuple(dict.fromkeys((*state.document.other_bodies, body))) if body else ()
    return replace(state, document=replace(state.document, other_bodies=others))


def set_truth_error(state: State, results: Results, errors: tuple[NDArray[np.float32], ...]) -> State:
    """Store the results' distances from the true surface, unless other results have come since."""
    if state.results is not results:
        return state
    return replace(state, results=replace(results, truth_error=errors))
