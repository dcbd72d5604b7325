"""Keyboard shortcuts; they do nothing while text is typed or a dialog is open."""

from __future__ import annotations

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.view.actions import do_pressed


def handle(context: EditorContext) -> None:
    """Act on this frame's keys."""
    # Without this, Polyscope takes Ctrl+C and Ctrl+V itself (the latter ends the program on an empty clipboard).
    psim.SetNextFrameWantCaptureKeyboard(True)
    # Whatever is open above the window takes the keys, Esc among them.
    if psim.GetIO().WantTextInput or context.is_modal or psim.IsPopupOpen("", psim.ImGuiPopupFlags_AnyPopup):
        return
    do_pressed(context)
