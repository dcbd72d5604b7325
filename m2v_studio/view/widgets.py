"""The controls of all panels. Each has a tooltip, which says why when the control is disabled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import polyscope.imgui as psim

from m2v_studio.view import style, theme
from m2v_studio.view.camera import Region
from m2v_studio.view.style import packed, rgba
from m2v_studio.view.theme import Color

PANEL_FLAGS = int(
    psim.ImGuiWindowFlags_NoTitleBar
    | psim.ImGuiWindowFlags_NoResize
    | psim.ImGuiWindowFlags_NoMove
    | psim.ImGuiWindowFlags_NoCollapse
    | psim.ImGuiWindowFlags_NoSavedSettings
    | psim.ImGuiWindowFlags_NoBringToFrontOnFocus
)
TOOLTIP_FLAGS = int(psim.ImGuiHoveredFlags_ForTooltip | psim.ImGuiHoveredFlags_AllowWhenDisabled)
WHITE: Color = (1.0, 1.0, 1.0)


def scale() -> float:
    """The text scale; sizes in pixels are given for scale 1 and multiplied by it."""
    return style.current_scale


@contextmanager
def panel(name: str, region: Region, flags: int = 0) -> Iterator[None]:
    """A fixed panel that fills `region`."""
    psim.SetNextWindowPos((region.x, region.y))
    psim.SetNextWindowSize((region.width, region.height))
    psim.Begin(f"##{name}", PANEL_FLAGS | int(flags))
    try:
        yield
    finally:
        psim.End()


@contextmanager
def scrolled(identifier: str, below: float) -> Iterator[None]:
    """An area as high as its content; it scrolls if less than `below` pixels (at scale 1) of the panel stay free."""
    room = psim.GetContentRegionAvail()[1] - below * scale()
    psim.SetNextWindowSizeConstraints((0.0, 0.0), (1e6, max(room, 60.0 * scale())))
    psim.BeginChild(identifier, (0.0, 0.0), psim.ImGuiChildFlags_AutoResizeY)
    try:
        yield
    finally:
        psim.EndChild()


@contextmanager
def fixed(identifier: str, below: float) -> Iterator[None]:
    """An area of the whole panel but `below` pixels (at scale 1); it scrolls when its content does not fit."""
    psim.BeginChild(identifier, (0.0, -below * scale()))
    try:
        yield
    finally:
        psim.EndChild()


class disabled:  # noqa: N801  used like the functions around it
    """Grey out what is inside when there is a reason.

    A class, as it is entered dozens of times per frame and a generator would take several times as long.
    """

    def __init__(self, why: str) -> None:
        self._why = bool(why)

    def __enter__(self) -> None:
        psim.BeginDisabled(self._why)

    def __exit__(self, *_: object) -> None:
        psim.EndDisabled()


_escape_frame = -1  # the frame whose Esc was already used


def escape_pressed() -> bool:
    """True for the first caller in a frame with Esc. A field with typed text comes first, so then it is False."""
    global _escape_frame
    if not psim.IsKeyPressed(psim.ImGuiKey_Escape, False) or psim.GetIO().WantTextInput:
        return False
    taken, _escape_frame = _escape_frame == psim.GetFrameCount(), psim.GetFrameCount()
    return not taken


def close_on_escape() -> None:
    """Call this inside an open menu or list, to close it by Esc."""
    if escape_pressed():
        psim.CloseCurrentPopup()


@contextmanager
def menu(label: str, enabled: bool = True) -> Iterator[bool]:
    """A menu of the menu bar or of another menu; yields whether it is open."""
    opened = bool(psim.BeginMenu(label, enabled))
    try:
        yield opened
    finally:
        if opened:
            close_on_escape()
            psim.EndMenu()


@contextmanager
def popup(identifier: str) -> Iterator[bool]:
    """A popup that `psim.OpenPopup` opens; yields whether it is open."""
    opened = bool(psim.BeginPopup(identifier))
    try:
        yield opened
    finally:
        if opened:
            close_on_escape()
            psim.EndPopup()


@contextmanager
def right_click_menu(name: str, asked: bool) -> Iterator[bool]:
    """The menu of a right click, opened when `asked`; yields whether it is open."""
    s = scale()
    psim.PushStyleVar(psim.ImGuiStyleVar_WindowPadding, (10 * s, 8 * s))
    psim.PushStyleVar(psim.ImGuiStyleVar_ItemSpacing, (8 * s, 7 * s))
    if asked:
        psim.OpenPopup(f"##menu {name}")
    try:
        with popup(f"##menu {name}") as opened:
            yield opened
    finally:
        psim.PopStyleVar(2)


def choice(identifier: str, current: int, labels: Sequence[str]) -> int | None:
    """A drop-down list; returns the row just chosen, else None."""
    chosen = None
    if psim.BeginCombo(identifier, labels[current]):
        for row, label in enumerate(labels):
            if psim.Selectable(f"{label}##{row}", row == current) and row != current:
                chosen = row
            if row == current and psim.IsWindowAppearing():
                psim.SetScrollHereY()
        close_on_escape()
        psim.EndCombo()
    return chosen


def tooltip(text: str, why: str = "") -> None:
    """A tooltip for the item just drawn; the reason why it is disabled comes first."""
    if not psim.IsItemHovered(TOOLTIP_FLAGS):
        return
    psim.BeginTooltip()
    psim.PushTextWrapPos(300 * scale())
    if why:
        psim.TextColored(rgba(theme.DANGER), why)
    if text:
        psim.TextUnformatted(text)
    psim.PopTextWrapPos()
    psim.EndTooltip()


def notes_line(notes: Sequence[str]) -> None:
    """A reader's notes on a file, on one line; the tooltip has them in full."""
    if notes:
        count = f"{len(notes)} notes: " if len(notes) > 1 else ""
        psim.TextUnformatted(shorten(count + notes[0], psim.GetContentRegionAvail()[0]))
        tooltip("\n".join(notes))


def heading(text: str) -> None:
    """A small muted title of a section."""
    draw = psim.GetWindowDrawList()
    x, y = psim.GetCursorScreenPos()
    size = 13.0 * scale()
    draw.AddText(psim.GetFont(), size, (x, y), packed(theme.TEXT_MUTED), text.upper())
    psim.Dummy((1.0, size + 2 * scale()))


def gap(pixels: float) -> None:
    psim.Dummy((1.0, pixels * scale()))


def rule() -> None:
    """A thin line between sections."""
    gap(3)
    x, y = psim.GetCursorScreenPos()
    width = psim.GetContentRegionAvail()[0]
    psim.GetWindowDrawList().AddLine((x, y), (x + width, y), packed(theme.BORDER), 1.0)
    gap(5)


def muted(text: str) -> None:
    psim.PushStyleColor(psim.ImGuiCol_Text, rgba(theme.TEXT_MUTED))
    psim.PushTextWrapPos(0.0)
    psim.TextUnformatted(text)
    psim.PopTextWrapPos()
    psim.PopStyleColor()


def button(
    label: str,
    tip: str,
    why: str = "",
    primary: bool = False,
    width: float = 0.0,
    height: float = 0.0,
    active: bool = False,
) -> bool:
    """A button; `primary` is the highlighted next step, `active` a chosen option. Width -1 fills the line."""
    colors: tuple[tuple[int, Color], ...] = ()  # the theme's own
    if primary:
        colors = _button_colors(theme.ACCENT, theme.ACCENT_HOVER, WHITE)
    elif active:
        colors = _button_colors(theme.ACCENT_SOFT, theme.ACCENT_SOFT, theme.ACCENT)
    for name, color in colors:
        psim.PushStyleColor(name, rgba(color))
    psim.BeginDisabled(bool(why))
    pressed = psim.Button(label, (width, height))
    psim.EndDisabled()
    if colors:
        psim.PopStyleColor(len(colors))
    tooltip(tip, why)
    return bool(pressed)


def _button_colors(fill: Color, hovered: Color, ink: Color) -> tuple[tuple[int, Color], ...]:
    return (
        (psim.ImGuiCol_Button, fill),
        (psim.ImGuiCol_ButtonHovered, hovered),
        (psim.ImGuiCol_ButtonActive, fill),
        (psim.ImGuiCol_Text, ink),
    )


def segmented(identifier: str, options: Sequence[tuple[str, str, str]], chosen: int) -> int:
    """Equal buttons in a row, one of them chosen: (label, tooltip, why disabled). Returns the one chosen now."""
    space = 4 * scale()
    width = (psim.GetContentRegionAvail()[0] - space * (len(options) - 1)) / len(options)
    now = chosen
    psim.PushStyleVar(psim.ImGuiStyleVar_FramePadding, (2 * scale(), 5 * scale()))
    for index, (label, tip, why) in enumerate(options):
        if index:
            psim.SameLine(0.0, space)
        if button(f"{label}##{identifier}", tip, why, width=width, active=index == chosen):
            now = index
    psim.PopStyleVar()
    return now


def progress_bar(done: int, total: int, width: float) -> None:
    """A progress bar of at most `width` pixels; none while `total` is 0, which means unknown."""
    s, width = scale(), min(300 * scale(), 0.3 * width)
    x, y = psim.GetCursorScreenPos()
    height = psim.GetFrameHeight()
    top, bottom = y + height / 2 - 4 * s, y + height / 2 + 4 * s
    draw = psim.GetWindowDrawList()
    draw.AddRectFilled((x, top), (x + width, bottom), packed(theme.BUTTON_ACTIVE), 4 * s)
    if done and total:
        filled = max(width * min(done / total, 1.0), 8 * s)
        draw.AddRectFilled((x, top), (x + filled, bottom), packed(theme.ACCENT), 4 * s)
    psim.Dummy((width, height))


class outlined:  # noqa: N801
    """Gives check boxes and radio buttons an outline and less padding, so that empty ones are visible."""

    def __enter__(self) -> None:
        s = scale()
        psim.PushStyleVar(psim.ImGuiStyleVar_FrameBorderSize, 1.0)
        psim.PushStyleVar(psim.ImGuiStyleVar_FramePadding, (3 * s, 2 * s))
        psim.PushStyleColor(psim.ImGuiCol_Border, rgba(theme.BUTTON_ACTIVE))
        psim.PushStyleColor(psim.ImGuiCol_FrameBg, rgba(theme.CARD))

    def __exit__(self, *_: object) -> None:
        psim.PopStyleColor(2)
        psim.PopStyleVar(2)


def check_box(label: str, value: bool, tip: str, why: str = "", in_row: bool = False) -> bool | None:
    """A check box; returns the new value when it was just changed. `in_row`: beside fields, in the middle of them."""
    if in_row:
        psim.SetCursorPosY(psim.GetCursorPosY() + 3 * scale())
    with outlined(), disabled(why):
        changed, new = psim.Checkbox(label, value)
    tooltip(tip, why)
    return bool(new) if changed else None


def same_line_if_fits(text: str) -> None:
    """Stay on this line when a check box with this label still fits."""
    needed = psim.CalcTextSize(text)[0] + 34 * scale()
    left = psim.GetItemRectMax()[0] + needed
    if left < psim.GetWindowPos()[0] + psim.GetWindowSize()[0]:
        psim.SameLine(0.0, 12 * scale())


Icon = Callable[[psim.ImDrawList, tuple[float, float], float, int], None]


def icon_button(identifier: str, icon: Icon, tip: str, why: str = "", primary: bool = False) -> bool:
    """A square button with a drawn icon, since the font has no symbols."""
    size = psim.GetFrameHeight()
    x, y = psim.GetCursorScreenPos()
    with disabled(why):
        pressed = psim.InvisibleButton(identifier, (size * 1.25, size))
    hovered = psim.IsItemHovered() and not why
    if primary:
        fill, ink = (theme.ACCENT_HOVER if hovered else theme.ACCENT), WHITE
    else:
        fill, ink = (theme.BUTTON_HOVER if hovered else theme.BUTTON), theme.TEXT
    alpha = 0.45 if why else 1.0
    draw = psim.GetWindowDrawList()
    draw.AddRectFilled((x, y), (x + size * 1.25, y + size), packed(fill, alpha), 6 * scale())
    icon(draw, (x + size * 0.625, y + size / 2), size * 0.22, packed(ink, alpha))
    tooltip(tip, why)
    return bool(pressed)


def fitting(long: str, short: str, width: float) -> str:
    """The long name, or the short one if a button of this width would cut it."""
    return long if psim.CalcTextSize(long)[0] + 12 * scale() <= width else short


def shorten(text: str, width: float) -> str:
    """Cut the middle out of a text that is wider than `width` pixels."""
    if psim.CalcTextSize(text)[0] <= width:
        return text
    keep = len(text)
    while keep > 4:
        keep -= 1
        head, tail = (keep + 1) // 2, keep // 2
        short = f"{text[:head]}…{text[-tail:]}"
        if psim.CalcTextSize(short)[0] <= width:
            return short
    return text[:3] + "…"


def in_two_lines(text: str, width: float) -> tuple[str, ...]:
    """The text in one line or two of this width; if the second is too long, its middle is cut out."""
    words = text.split(" ")
    fitting_words = len(words)
    while fitting_words > 1 and psim.CalcTextSize(" ".join(words[:fitting_words]))[0] > width:
        fitting_words -= 1
    lines = " ".join(words[:fitting_words]), " ".join(words[fitting_words:])
    return tuple(shorten(line, width) for line in lines if line)
