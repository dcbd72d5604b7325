"""The easing of the selected keys: its kind, and a curve that can be bent with the mouse."""

from __future__ import annotations

import polyscope.imgui as psim

from core.key_easing import BENDS, EASING_KINDS, Easing
from m2v_studio.context import EditorContext
from m2v_studio.document import pin_commands, selection
from m2v_studio.view import theme
from m2v_studio.view.style import packed
from m2v_studio.view.widgets import gap, heading, rule, scale, segmented, tooltip

TIPS = {
    "": "Free: the model generates the motion to the next key.",
    "linear": "Straight to the next key, always equally fast.",
    "smooth": "Starts and ends gently.",
    "hold": "Stays, and jumps at the next key.",
    "overshoot": "Goes past the next key and comes back to it.",
}
NAMES = {"": "Free", "linear": "Line", "smooth": "Ease", "hold": "Hold", "overshoot": "Over"}
CURVE = "Progress to the next key over time. Drag up or down to bend it."
HEIGHT = 74.0  # of the curve, pixels at scale 1
LOW, HIGH = -0.2, 1.32  # of the way, at the curve's lower and upper edge


def draw_easing(context: EditorContext) -> None:
    """Draws nothing while no key is selected."""
    studio = context.studio
    keys = selection.chosen_keys(studio.state)
    if not keys:
        return
    rule()
    frames = sorted({frame for _, frame in keys})
    heading(f"From the key at frame {frames[0]} on" if len(frames) == 1 else f"From {len(keys)} keys on")
    now = pin_commands.easing_of(studio.state, keys[0])
    kinds = ("", *EASING_KINDS)
    current = "" if now is None else now.kind
    kind = kinds[segmented("easing", [(NAMES[kind], TIPS[kind], "") for kind in kinds], kinds.index(current))]
    if kind != current:
        easing = None if kind == "" else Easing(kind, BENDS[kind])  # type: ignore[arg-type]
        studio.do("easing", pin_commands.set_easing, keys, easing)
        studio.request_draft()
    gap(2)
    _curve(context, keys, now)


def _curve(context: EditorContext, keys: tuple[selection.Key, ...], now: Easing | None) -> None:
    s, studio = scale(), context.studio
    x, y = psim.GetCursorScreenPos()
    width, height = psim.GetContentRegionAvail()[0], HEIGHT * s
    psim.InvisibleButton("##curve", (width, height))
    bendable = now is not None and now.kind in ("smooth", "overshoot")
    moved = float(psim.GetIO().MouseDelta[1])
    if bendable and now is not None and psim.IsItemActive() and moved:
        bend = min(max(now.bend - moved / height, 0.0), 1.0)
        studio.drag("bend", "bend easing", pin_commands.set_easing, keys, Easing(now.kind, bend))
    if psim.IsItemDeactivated():
        studio.session.end_gesture()
        if bendable:
            studio.request_draft()
    tooltip(CURVE if bendable else TIPS["" if now is None else now.kind])
    draw = psim.GetWindowDrawList()
    draw.AddRectFilled((x, y), (x + width, y + height), packed(theme.FIELD), 6 * s)

    def at(time: float, share: float) -> tuple[float, float]:
        return x + 12 * s + (width - 24 * s) * time, y + height * (HIGH - share) / (HIGH - LOW)

    for share in (0.0, 1.0):
        draw.AddLine(at(0.0, share), at(1.0, share), packed(theme.BORDER), 1.0)
    if now is not None:
        steps = 48
        shares = [float(share) for share in now.share([step / steps for step in range(steps + 1)])]
        for step in range(steps):
            draw.AddLine(at(step / steps, shares[step]), at((step + 1) / steps, shares[step + 1]),
                         packed(theme.MOVED), 2.2 * s)  # fmt: skip
    for end in (0.0, 1.0):
        draw.AddCircleFilled(at(end, end), 4.5 * s, packed(theme.MOVED), 20)
