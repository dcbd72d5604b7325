"""View > Onion skins: whether they are shown, how many and how far apart; kept in the settings."""

from __future__ import annotations

from collections.abc import Callable

import polyscope.imgui as psim

from m2v_studio.context import EditorContext
from m2v_studio.document.settings import Settings
from m2v_studio.view.fields import number
from m2v_studio.view.onion import MOST, WIDEST, Skins
from m2v_studio.view.widgets import menu, muted, scale

WIDTH = 230.0


def skins_in(settings: Settings) -> Skins:
    return Skins(settings.onion, settings.onion_before, settings.onion_after, settings.onion_spacing)


def draw_onion_menu(context: EditorContext) -> None:
    """Draw an entry of the View menu while that is open."""
    studio = context.studio
    settings = studio.settings
    with menu("Onion skins") as opened:
        if not opened:
            return
        if psim.MenuItem("Show", None, settings.onion):
            studio.change_settings(onion=not settings.onion)
        _slider("before", settings.onion_before, 0, MOST, "%d before", lambda n: studio.change_settings(onion_before=n))
        _slider("after", settings.onion_after, 0, MOST, "%d after", lambda n: studio.change_settings(onion_after=n))
        _slider(
            "apart", settings.onion_spacing, 1, WIDEST, "every %d frames",
            lambda n: studio.change_settings(onion_spacing=n),
        )  # fmt: skip
        muted("For the result that is shown alone.")


def _slider(name: str, value: int, low: int, high: int, form: str, change: Callable[[int], None]) -> None:
    psim.SetNextItemWidth(WIDTH * scale())
    clamp = psim.ImGuiSliderFlags_AlwaysClamp
    edited = number(f"onion {name}", value, lambda now: psim.SliderInt(f"##{name}", now, low, high, form, clamp))
    if edited.changed and edited.value != value:
        change(int(edited.value))
