"""Reasons why a command is unavailable, as sentences; empty when it is available."""

from __future__ import annotations

from core.io.scans.layouts import scan_kind
from m2v_studio.context import EditorContext
from m2v_studio.document import block_edits, result_commands, selection
from m2v_studio.document.state import State, frame_shown, is_open, why_not_results

NO_KEY = "Select a key in the timeline, or a handle that has keys, first."
NO_HANDLE = "Select a handle first."
NO_HANDLES = "Click the creature to add a handle first."
NOT_OPEN = "Open a mesh or scans first."


def no_keys(state: State) -> str:
    return "" if selection.keys_to_edit(state) else NO_KEY


def none_chosen(state: State) -> str:
    return "" if selection.chosen_rows(state) else NO_HANDLE


def no_handles(state: State) -> str:
    return "" if state.document.handles else NO_HANDLES


def no_pose(state: State) -> str:
    if not state.document.handles:
        return NO_HANDLES
    if not block_edits.rows_to_key(state):
        return "Pinned handles have no keys; unpin one first."
    return block_edits.REST_FRAME if frame_shown(state) == 0 else ""


def no_put(state: State) -> str:
    return none_chosen(state) or (block_edits.REST_FRAME if frame_shown(state) == 0 else "")


def no_clip(context: EditorContext) -> str:
    if context.clip is None:
        return "Copy keys first."
    return "" if context.clip.source is context.studio.state.document.source else "These keys are of another mesh."


def not_open(state: State) -> str:
    return "" if is_open(state.document) else NOT_OPEN


def one_result(state: State) -> str:
    several = state.results is not None and len(state.results.samples.samples) > 1
    return why_not_results(state) or ("" if several else "There is only one result; generate more.")


def no_others(state: State) -> str:
    return why_not_results(state) or ("" if result_commands.others_of(state) else "There are no others.")


def nothing_removed(state: State) -> str:
    return "" if state.removed is not None else "Nothing was deleted."


def no_motion(state: State) -> str:
    """For commands on motions, not on meshes from scans."""
    if state.document.source is None:
        return "Only motions of a mesh can become keys."
    return why_not_results(state)


def no_range(state: State) -> str:
    """For commands on pins over a range of frames."""
    held = any(state.document.handles[row].pins for row in selection.chosen_rows(state))
    return none_chosen(state) or ("" if held else "The selected handles have no pins over a range of frames.")


def no_turns(state: State) -> str:
    """For commands on the turns of keys."""
    turned = any(frame in state.document.handles[row].turns for row, frame in selection.keys_to_edit(state))
    return no_keys(state) or ("" if turned else "The selected keys hold no rotation.")


def no_mesh(state: State) -> str:
    return "" if state.document.source is not None else "Open a mesh first."


def no_clips(state: State) -> str:
    source = state.document.source
    return no_mesh(state) or ("" if source is not None and source.clips else "The mesh's file holds no animation.")


def no_region(state: State) -> str:
    held = any(len(state.document.handles[row].region) for row in selection.chosen_rows(state))
    return none_chosen(state) or ("" if held else "No region is selected.")


def no_scans(state: State) -> str:
    return "" if state.document.scans is not None else "Open scans first."


def no_points(state: State) -> str:
    scans = state.document.scans
    boxes = scans is not None and scan_kind(scans.sequence.modality).boxes
    return no_scans(state) or ("" if boxes else "Only points and depth maps can be cut.")


def no_depth(state: State) -> str:
    scans = state.document.scans
    masks = scans is not None and scan_kind(scans.sequence.modality).masks
    return no_scans(state) or ("" if masks else "Only depth maps can have masks.")


def not_cut(state: State) -> str:
    scans = state.document.scans
    cut = scans is not None and bool(scans.reading.box or scans.reading.mask)
    return no_scans(state) or ("" if cut else "Nothing was cut off.")
