"""Keyboard shortcuts. None work while a dialog is open; while text is typed, only function keys do."""

from __future__ import annotations

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.view.actions import do_pressed


def handle(context: EditorContext) -> None:
    """Act on this frame's keys."""
    # Without this, Polyscope takes Ctrl+C and Ctrl+V itself (the latter ends the program on an empty clipboard).
    psim.SetNextFrameWantCaptureKeyboard(True)
    # A dialog or menu takes all keys, also Esc.
    if context.is_modal or psim.IsPopupOpen("", psim.ImGuiPopupFlags_AnyPopup):
        return
    do_pressed(context, typing=bool(psim.GetIO().WantTextInput))
