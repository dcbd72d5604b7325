"""Number fields in panels: dragged, stepped or typed. A typed number applies on Enter or when the field is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polyscope.imgui as psim

from m2v_studio.view.widgets import button, scale, tooltip

TYPE = "Drag sideways to change it, Ctrl+click to type a number."
_typed: dict[str, Any] = {}  # what is being typed into a field, by the field's name


class Edited:
    """The result of a field in this frame: `changed` with a new `value`, `ended` when the gesture is over."""

    def __init__(self, changed: bool, value: Any) -> None:
        self.changed, self.value = changed, value
        self.ended = bool(psim.IsItemDeactivated())


def number(name: str, value: Any, draw: Callable[[Any], tuple[bool, Any]]) -> Edited:
    """A field that `draw` draws with a given value; a typed number is held back until it is complete.

    Dear ImGui reports every typed key, so a length of 120 would pass through 1 and 12.
    """
    changed, new = draw(_typed.get(name, value))
    if psim.IsItemActive() and psim.GetIO().WantTextInput:
        _typed[name] = new
        changed, new = False, value
    elif name in _typed:
        del _typed[name]
        changed = new != value
    return Edited(bool(changed), new)


def label_left(text: str, tip: str, width: float = 92.0) -> None:
    """A label in the left column; the next item fills the rest of the line."""
    start = psim.GetCursorPosX()
    psim.AlignTextToFramePadding()
    psim.TextUnformatted(text)
    tooltip(tip)
    psim.SameLine()
    psim.SetCursorPosX(start + width * scale())
    psim.SetNextItemWidth(-1.0)


def int_row(label: str, value: int, low: int, high: int, form: str, tip: str) -> Edited:
    """A labelled whole number between a minus and a plus button; the unit is in `form`."""
    label_left(label, tip)
    side, space = psim.GetFrameHeight(), 3 * scale()
    psim.PushID(label)
    less = button("-", "One less", width=side)
    psim.SameLine(0.0, space)
    psim.SetNextItemWidth(psim.GetContentRegionAvail()[0] - side - space)
    clamp = psim.ImGuiSliderFlags_AlwaysClamp
    edited = number(label, value, lambda now: psim.DragInt("##value", now, 0.25, low, high, form, clamp))
    tooltip(f"{tip}\n{TYPE}")
    psim.SameLine(0.0, space)
    more = button("+", "One more", width=side)
    psim.PopID()
    if less or more:
        edited.changed, edited.ended = True, True
        edited.value = min(max(value + (1 if more else -1), low), high)
    return edited


def int_field(name: str, value: int, step: float, low: int, high: int, form: str) -> Edited:
    """One whole number without a label; `step` is how much a pixel of a drag adds."""
    clamp = psim.ImGuiSliderFlags_AlwaysClamp
    return number(name, value, lambda now: psim.DragInt(name, now, step, low, high, form, clamp))


def float_field(name: str, value: float, step: float, low: float, high: float, form: str) -> Edited:
    """One number without a label."""
    clamp = psim.ImGuiSliderFlags_AlwaysClamp
    return number(name, value, lambda now: psim.DragFloat(name, now, step, low, high, form, clamp))
