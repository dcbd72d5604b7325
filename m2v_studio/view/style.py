"""Applies the theme to Dear ImGui: colours and spacing for a text scale."""

from __future__ import annotations

from functools import lru_cache

import polyscope.imgui as psim

from m2v_studio.view import theme
from m2v_studio.view.theme import Color


def rgba(color: Color, alpha: float = 1.0) -> tuple[float, float, float, float]:
    return (color[0], color[1], color[2], alpha)


@lru_cache(maxsize=1024)
def packed(color: Color, alpha: float = 1.0) -> int:
    """A colour for draw lists: a byte each of alpha, blue, green and red. Cached, as thousands are drawn."""
    red, green, blue, opacity = (round(255 * min(max(value, 0.0), 1.0)) for value in (*color, alpha))
    return opacity << 24 | blue << 16 | green << 8 | red


current_scale = 1.0  # of the current style; stored by `ensure`, as it is read hundreds of times per frame
_palette: object = None  # the colours it was applied with
GRAB_SIZE = 11.0  # pixels, not the default 12: this shows whether the theme is applied


def ensure(scale: float) -> None:
    """Apply the theme unless it is applied already; Polyscope resets the style with every new context."""
    style = psim.GetStyle()
    if (
        _palette is not theme.in_force()
        or abs(style.GrabMinSize - GRAB_SIZE * scale) > 1e-3
        or abs(style.FontScaleMain - scale) > 1e-3
    ):
        apply(scale)


def apply(scale: float) -> None:
    """Set every colour and size for a text scale."""
    global current_scale, _palette
    current_scale, _palette = scale, theme.in_force()
    style = psim.GetStyle()
    style.FontScaleMain = scale
    _sizes(style, scale)
    t = theme
    for name, color in {
        "Text": rgba(t.TEXT),
        "TextDisabled": rgba(t.TEXT_MUTED),
        "WindowBg": rgba(t.PANEL),
        "ChildBg": rgba(t.PANEL, 0.0),
        "PopupBg": rgba(t.CARD, 0.99),
        "Border": rgba(t.BORDER),
        "BorderShadow": rgba(t.BORDER, 0.0),
        "FrameBg": rgba(t.FIELD),
        "FrameBgHovered": rgba(t.BUTTON_HOVER),
        "FrameBgActive": rgba(t.BUTTON_ACTIVE),
        "TitleBg": rgba(t.PANEL_DEEP),
        "TitleBgActive": rgba(t.PANEL_DEEP),
        "TitleBgCollapsed": rgba(t.PANEL_DEEP),
        "MenuBarBg": rgba(t.PANEL),
        "ScrollbarBg": rgba(t.PANEL, 0.0),
        "ScrollbarGrab": rgba(t.BUTTON_ACTIVE),
        "ScrollbarGrabHovered": rgba(t.BORDER),
        "ScrollbarGrabActive": rgba(t.TEXT_MUTED),
        "CheckMark": rgba(t.ACCENT),
        "SliderGrab": rgba(t.ACCENT),
        "SliderGrabActive": rgba(t.ACCENT_HOVER),
        "Button": rgba(t.BUTTON),
        "ButtonHovered": rgba(t.BUTTON_HOVER),
        "ButtonActive": rgba(t.BUTTON_ACTIVE),
        "Header": rgba(t.ACCENT_SOFT),
        "HeaderHovered": rgba(t.BUTTON_HOVER),
        "HeaderActive": rgba(t.BUTTON_ACTIVE),
        "Separator": rgba(t.BORDER),
        "TableHeaderBg": rgba(t.PANEL_DEEP),
        "TableBorderStrong": rgba(t.BORDER),
        "TableBorderLight": rgba(t.BORDER),
        "TableRowBg": rgba(t.PANEL, 0.0),
        "TableRowBgAlt": rgba(t.PANEL_DEEP, 0.6),
        "PlotHistogram": rgba(t.ACCENT),
        "TextSelectedBg": rgba(t.ACCENT_SOFT),
        "ModalWindowDimBg": (0.10, 0.12, 0.16, 0.38),
        "NavCursor": rgba(t.ACCENT, 0.6),
        "ResizeGrip": rgba(t.BORDER, 0.0),
    }.items():
        index = getattr(psim, f"ImGuiCol_{name}", None)
        if index is not None:
            style.Colors[int(index)] = color


def _sizes(style: psim.ImGuiStyle, scale: float) -> None:
    s = scale
    style.WindowPadding = (14 * s, 12 * s)
    style.FramePadding = (9 * s, 5 * s)
    style.ItemSpacing = (8 * s, 7 * s)
    style.ItemInnerSpacing = (7 * s, 5 * s)
    style.CellPadding = (6 * s, 4 * s)
    style.IndentSpacing = 16 * s
    style.ScrollbarSize = 11 * s
    style.GrabMinSize = GRAB_SIZE * s
    style.WindowRounding = 0.0
    style.ChildRounding = 6 * s
    style.FrameRounding = 6 * s
    style.PopupRounding = 8 * s
    style.GrabRounding = 6 * s
    style.ScrollbarRounding = 6 * s
    style.WindowBorderSize = 0.0
    style.PopupBorderSize = 1.0
    style.FrameBorderSize = 0.0
    style.DisabledAlpha = 0.48
    style.WindowTitleAlign = (0.0, 0.5)
    style.HoverStationaryDelay = 0.12
    style.HoverDelayNormal = 0.35
