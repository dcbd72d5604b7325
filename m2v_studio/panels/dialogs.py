"""Dialogs for errors, unsaved work and file names, and the parts dialogs share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polyscope.imgui as psim

from m2v_studio.context import EditorContext, Place
from m2v_studio.document import commands
from m2v_studio.view import theme
from m2v_studio.view.style import packed, rgba
from m2v_studio.view.widgets import button, escape_pressed, gap, muted, scale, shorten, tooltip

DIALOG_FLAGS = int(
    psim.ImGuiWindowFlags_NoResize
    | psim.ImGuiWindowFlags_NoMove
    | psim.ImGuiWindowFlags_NoCollapse
    | psim.ImGuiWindowFlags_NoSavedSettings
    | psim.ImGuiWindowFlags_AlwaysAutoResize
    | psim.ImGuiWindowFlags_NoTitleBar
)
BROWSE = 90.0  # width of the button beside a path, pixels at scale 1


@contextmanager
def begin_modal(title: str, width: float) -> Iterator[bool]:
    """A modal dialog in the middle of the window; yields whether to draw its content."""
    name = f"##modal {title}"
    if not psim.IsPopupOpen(name):
        psim.OpenPopup(name)
    psim.SetNextWindowSize((width * scale(), 0.0))
    with _centred():
        visible = psim.BeginPopupModal(name, DIALOG_FLAGS)
    try:
        if visible:
            title_line(title)
        yield bool(visible)
    finally:
        if visible:
            psim.EndPopup()


@contextmanager
def card(title: str, size: tuple[float, float], around: float) -> Iterator[tuple[float, float]]:
    """A non-modal window in the middle; yields the width and height of the list in it, in pixels.

    They are `size` at scale 1, but leave 80 pixels beside the window and `around` above and below it.
    """
    s, main = scale(), psim.GetMainViewport()
    width, height = min(size[0] * s, main.Size[0] - 80 * s), min(size[1] * s, main.Size[1] - around * s)
    psim.PushStyleColor(psim.ImGuiCol_WindowBg, rgba(theme.CARD))
    with _centred():
        psim.Begin(f"##card {title}", DIALOG_FLAGS)
    try:
        title_line(title)
        yield width, height
    finally:
        psim.End()
        psim.PopStyleColor()


def search_field(words: str, hint: str, tip: str, width: float) -> tuple[str, bool]:
    """A focused field for search words. Returns the words, and True when Esc closes the list; it first clears words."""
    if psim.IsWindowAppearing():
        psim.SetKeyboardFocusHere()
    psim.SetNextItemWidth(width)
    _, words = psim.InputTextWithHint("##words", hint, words, psim.ImGuiInputTextFlags_EscapeClearsAll)
    left = psim.IsItemDeactivated() and psim.IsKeyPressed(psim.ImGuiKey_Escape, False)
    tooltip(tip)
    return words, bool(left) and not words


def card_end(text: str, tip: str, width: float, close: str) -> bool:
    """The last line of a card: a note, and Close at the right; returns whether that was pressed."""
    s = scale()
    psim.AlignTextToFramePadding()
    muted(shorten(text, width - 130 * s))
    tooltip(tip)
    psim.SameLine()
    psim.SetCursorPosX(psim.GetCursorPosX() + psim.GetContentRegionAvail()[0] - 110 * s)
    return button("Close", close, width=110 * s)


def path_field(
    context: EditorContext,
    place: Place,
    tips: tuple[str, str],
    ask: Callable[[], object],
    hint: str = "",
    room: float = 0.0,
) -> bool:
    """A path input with a button for the system's dialog; returns whether Enter was pressed.

    `tips` are the tooltips of field and button; `room` is left free beside them, in pixels at scale 1.
    """
    s = scale()
    flags = int(psim.ImGuiInputTextFlags_EnterReturnsTrue | psim.ImGuiInputTextFlags_ElideLeft)
    psim.SetNextItemWidth(-(BROWSE + 6 + room) * s)
    entered, place.path = psim.InputTextWithHint("##path", hint, place.path, flags)
    tooltip(tips[0])
    psim.SameLine()
    why = "" if context.files_available else "No system file dialog here; type the path."
    if button("Browse…", tips[1], why, width=BROWSE * s):
        ask()
    return bool(entered)


@contextmanager
def _centred() -> Iterator[None]:
    """Style the next window as a card: centred, padded, with round corners."""
    psim.SetNextWindowPos(psim.GetMainViewport().GetCenter(), psim.ImGuiCond_Always, (0.5, 0.5))
    psim.PushStyleVar(psim.ImGuiStyleVar_WindowPadding, (26 * scale(), 22 * scale()))
    psim.PushStyleVar(psim.ImGuiStyleVar_WindowRounding, 10 * scale())
    psim.PushStyleVar(psim.ImGuiStyleVar_WindowBorderSize, 1.0)
    psim.PushStyleVar(psim.ImGuiStyleVar_PopupBorderSize, 0.0)
    try:
        yield
    finally:
        psim.PopStyleVar(4)


def title_line(text: str) -> None:
    x, y = psim.GetCursorScreenPos()
    size = 22 * scale()
    psim.GetWindowDrawList().AddText(psim.GetFont(), size, (x, y), packed(theme.TEXT), text)
    psim.Dummy((1.0, size + 6 * scale()))


def draw_error(context: EditorContext) -> None:
    """The dialog of the state's error, until it is closed."""
    notice = context.studio.state.notice
    if notice is None:
        return
    with begin_modal(notice.title, 520) as visible:
        if not visible:
            return
        psim.PushTextWrapPos(0.0)
        psim.TextUnformatted(notice.message)
        psim.PopTextWrapPos()
        if notice.detail and psim.TreeNode("Details for a report"):
            psim.BeginChild("##detail", (0.0, 180 * scale()), psim.ImGuiChildFlags_Borders)
            psim.PushTextWrapPos(0.0)
            psim.TextUnformatted(notice.detail)
            psim.PopTextWrapPos()
            psim.EndChild()
            psim.TreePop()
        gap(6)
        width = 110 * scale()
        psim.SetCursorPosX(psim.GetCursorPosX() + psim.GetContentRegionAvail()[0] - width)
        pressed = button("Close", "Go on working (Esc or Enter)", primary=True, width=width)
        if pressed or escape_pressed() or psim.IsKeyPressed(psim.ImGuiKey_Enter, False):
            context.studio.show(commands.notify, None)


def draw_unsaved(context: EditorContext) -> None:
    """The dialog shown before unsaved work would be lost."""
    action = context.studio.ask
    if action is None or context.save_as is not None:
        return
    with begin_modal("Save your work first?", 500) as visible:
        if not visible:
            return
        muted("The edits and results of this document are not saved yet.")
        gap(6)
        if button("Save…", "Save the project, then go on", primary=True):
            context.save(then=action)
        psim.SameLine()
        if button("Don't save", "Go on and lose the changes"):
            context.studio.ask = None
            action()
        psim.SameLine()
        escaped = context.top_dialog == "unsaved" and escape_pressed()
        if button("Cancel", "Stay here (Esc)") or escaped:
            context.studio.ask = None


def draw_save_as(context: EditorContext) -> None:
    """The dialog that asks for a new project's file name."""
    asked = context.save_as
    if asked is None:
        return
    with begin_modal("Save the project", 540) as visible:
        if not visible:
            return
        tips = ("The project file; it holds the mesh, the handles and the results.", "Choose where to save it")
        browse = lambda: context.ask_save("Save the project", Path(asked.path), asked.choose)  # noqa: E731
        entered = path_field(context, asked, tips, browse)
        gap(6)
        why = "" if asked.path.strip() else "Give a file name."
        if button("Save", "Write the project", why, True) or (entered and not why):
            context.save_as = None
            context.studio.ask = None
            context.studio.save(Path(asked.path.strip()).expanduser(), asked.then)
        psim.SameLine()
        escaped = context.top_dialog == "save" and escape_pressed()
        if button("Cancel", "Do not save (Esc)") or escaped:
            context.save_as = None
