"""Keyboard shortcuts; they do nothing while text is typed or a dialog is open."""

from __future__ import annotations

from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.view.widgets import escape_pressed


def handle(context: EditorContext) -> None:
    """Act on this frame's keys."""
    import polyscope.imgui as psim

    # Without this, Polyscope takes Ctrl+C and Ctrl+V itself (the latter ends the program on an empty clipboard).
    psim.SetNextFrameWantCaptureKeyboard(True)
    # Whatever is open above the window takes the keys, Esc among them.
    if psim.GetIO().WantTextInput or context.is_modal or psim.IsPopupOpen("", psim.ImGuiPopupFlags_AnyPopup):
        return
    ctrl, shift = int(psim.ImGuiMod_Ctrl), int(psim.ImGuiMod_Shift)

    def chord(key: int) -> bool:
        return bool(psim.IsKeyChordPressed(key))

    studio = context.studio
    if chord(ctrl | shift | int(psim.ImGuiKey_Z)) or chord(ctrl | int(psim.ImGuiKey_Y)):
        studio.session.redo()
    elif chord(ctrl | int(psim.ImGuiKey_Z)):
        studio.session.undo()
    elif chord(ctrl | int(psim.ImGuiKey_S)):
        context.save()
    elif chord(ctrl | shift | int(psim.ImGuiKey_O)):
        context.ask_open_scans()
    elif chord(ctrl | int(psim.ImGuiKey_O)):
        context.ask_open()
    elif chord(ctrl | int(psim.ImGuiKey_E)):
        context.open_export()
    elif chord(ctrl | int(psim.ImGuiKey_Q)):
        context.ask_quit()
    elif chord(ctrl | int(psim.ImGuiKey_Enter)) or chord(ctrl | int(psim.ImGuiKey_KeypadEnter)):
        studio.generate()
    elif chord(int(psim.ImGuiKey_F1)):
        context.help_open = not context.help_open
    elif escape_pressed():
        if context.help_open:
            context.help_open = False
        elif studio.state.job is not None:
            studio.cancel()
        else:
            studio.show(commands.select_handle, None)
    else:
        _single_keys(context)


def _single_keys(context: EditorContext) -> None:
    import polyscope.imgui as psim

    studio = context.studio
    io = psim.GetIO()
    if io.KeyCtrl or io.KeyAlt or io.KeySuper:
        return

    def pressed(key: psim.ImGuiKey, repeat: bool = False) -> bool:
        return bool(psim.IsKeyPressed(key, repeat))

    if pressed(psim.ImGuiKey_Space):
        studio.play()
    if pressed(psim.ImGuiKey_Comma, True):
        studio.show(commands.step_frame, -1)
    if pressed(psim.ImGuiKey_Period, True):
        studio.show(commands.step_frame, 1)
    if pressed(psim.ImGuiKey_Home):
        studio.show(commands.set_time, 0.0)
    if pressed(psim.ImGuiKey_End):
        studio.show(commands.set_time, float(studio.state.document.frames - 1))
    if pressed(psim.ImGuiKey_L):
        studio.show(commands.with_view, loop=not studio.state.view.loop)
    if pressed(psim.ImGuiKey_P):
        studio.toggle_pin()
    if pressed(psim.ImGuiKey_W):
        studio.show(commands.with_view, gizmo=not studio.state.view.gizmo)
    if pressed(psim.ImGuiKey_Delete) or pressed(psim.ImGuiKey_Backspace):
        studio.delete_selected()
    if pressed(psim.ImGuiKey_F):
        context.viewport.forget_framing()
    if pressed(psim.ImGuiKey_G):
        context.focus_frame = True
    if pressed(psim.ImGuiKey_S) or pressed(psim.ImGuiKey_0):
        studio.show(commands.set_layout, "side")
    if pressed(psim.ImGuiKey_O):
        studio.show(commands.set_layout, "overlay")
    for number in range(1, 10):
        if pressed(getattr(psim, f"ImGuiKey_{number}")):
            studio.show(commands.solo, number - 1)
