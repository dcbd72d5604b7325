"""Operates the real window by input events and without a display, for `m2v demo` and the tests of the interface.

Events go into Dear ImGui's own queue and take the same path as those of a mouse and a keyboard.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import polyscope as ps
import polyscope.imgui as psim

from m2v_studio.app import App
from m2v_studio.view.figure import Figure

Point = tuple[float, float]
Corners = tuple[Point, Point]
FRAME = 1 / 60
SOON = 1.0  # seconds; what takes longer is looked for less often
# The controls of Dear ImGui that a user can operate.
CONTROLS = ("Button", "BeginCombo", "BeginMenu", "Checkbox", "DragFloat", "DragInt", "InputInt", "InputText",
            "InputTextWithHint", "InvisibleButton", "MenuItem", "RadioButton", "Selectable")  # fmt: skip


class Driver:
    """A simulated user of one App."""

    def __init__(self, app: App, pace: int = 2) -> None:
        self.app, self.pace = app, pace  # frames after each event

    # ---- time ---------------------------------------------------------------------------------------------

    def tick(self, frames: int | None = None, seconds: float = FRAME) -> None:
        """Draw frames, each `seconds` apart on the playback clock."""
        for _ in range(self.pace if frames is None else frames):
            self.app.frame(seconds)

    def settle(self) -> None:
        """Let finished events arrive, with playback standing still."""
        for _ in range(3):
            self.app.frame(0.0)

    def until(self, ready: Callable[[], bool], patience: float = 120.0) -> None:
        """Draw frames until `ready`; raises TimeoutError after `patience` seconds."""
        started = time.monotonic()
        while not ready():
            waited = time.monotonic() - started
            if waited > patience:
                raise TimeoutError("The editor did not get there in time.")
            self.app.frame(FRAME)
            time.sleep(0.02 if waited < SOON else 0.1)  # leaves the processor to the awaited work

    def resize(self, size: tuple[int, int]) -> None:
        """Resize the window."""
        ps.set_window_size(*size)
        self.tick(4)

    # ---- mouse and keys -----------------------------------------------------------------------------------

    def move(self, at: Point, frames: int | None = None) -> None:
        psim.GetIO().AddMousePosEvent(float(at[0]), float(at[1]))
        self.tick(frames)

    def press(self, button: int = 0) -> None:
        psim.GetIO().AddMouseButtonEvent(button, True)
        self.tick()

    def release(self, button: int = 0) -> None:
        psim.GetIO().AddMouseButtonEvent(button, False)
        self.tick()

    def click(self, at: Point, shift: bool = False) -> None:
        self.move(at)
        if shift:
            self.hold(psim.ImGuiMod_Shift, True)
        self.press()
        self.release()
        if shift:
            self.hold(psim.ImGuiMod_Shift, False)

    def drag(self, start: Point, end: Point, steps: int = 6, release: bool = True) -> None:
        """Press at `start`, move to `end` in steps, and let go."""
        self.move(start)
        self.press()
        for step in range(1, steps + 1):
            share = step / steps
            at = start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
            self.move(at, frames=None if step == steps else 1)
        if release:
            self.release()

    def wheel(self, steps: float) -> None:
        psim.GetIO().AddMouseWheelEvent(0.0, float(steps))
        self.tick()

    def hold(self, key: int, down: bool) -> None:
        psim.GetIO().AddKeyEvent(key, down)
        self.tick()

    def key(self, key: int, *modifiers: int) -> None:
        """Press and let go of a key, with modifiers held."""
        for modifier in modifiers:
            self.hold(modifier, True)
        self.hold(key, True)
        self.hold(key, False)
        for modifier in modifiers:
            self.hold(modifier, False)

    @staticmethod
    def modifier(name: str) -> int:
        """The code of "Ctrl", "Shift" or "Alt" for `hold` and `key`."""
        return int(getattr(psim, f"ImGuiMod_{name}"))

    def type(self, text: str) -> None:
        psim.GetIO().AddInputCharactersUTF8(text)
        self.tick()

    # ---- looking ------------------------------------------------------------------------------------------

    def controls(self) -> dict[tuple[str, str], Corners]:
        """The corners of all controls drawn now, by kind and label in Dear ImGui; the last one of equal labels."""
        found: dict[tuple[str, str], Corners] = {}

        def watched(kind: str, draw: Callable[..., object]) -> Callable[..., object]:
            def call(label: str, *given: object) -> object:
                result = draw(label, *given)
                low, high = psim.GetItemRectMin(), psim.GetItemRectMax()
                found[kind, label] = (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))
                return result

            return call

        drawing = {kind: getattr(psim, kind) for kind in CONTROLS}
        for kind, draw in drawing.items():
            setattr(psim, kind, watched(kind, draw))
        try:
            self.tick(1)
        finally:
            for kind, draw in drawing.items():
                setattr(psim, kind, draw)
        return found

    def control(self, kind: str, label: str) -> Point | None:
        """The middle of the control with this label, with or without its ## part; None when it is not drawn."""
        for (drawn, name), ((left, top), (right, bottom)) in reversed(self.controls().items()):
            if drawn == kind and (name == label or (not label.startswith("##") and name.split("##")[0] == label)):
                return (left + right) / 2, (top + bottom) / 2
        return None

    def at_vertex(self, vertex: int, figure: int = 0) -> Point:
        """Where a vertex is on the screen."""
        viewport = self.app.viewport
        shown: Figure = viewport.figures[figure]
        assert viewport.projection is not None
        pixel, _ = viewport.projection.project(viewport.position(shown, vertex))
        return float(pixel[0]), float(pixel[1])

    def at_knob(self, row: int, figure: int = 0) -> Point:
        """Where a handle's knob is on the screen."""
        from m2v_studio.view.overlay import knob_position

        viewport = self.app.viewport
        assert viewport.projection is not None
        handle = self.app.studio.state.document.handles[row]
        pixel, _ = viewport.projection.project(knob_position(self.app.context, viewport.figures[figure], handle))
        return float(pixel[0]), float(pixel[1])

    def screenshot(self, path: Path, panels: bool = True, fine: bool = True) -> Path:
        """A screenshot; `fine` smooths edges by drawing at twice the size."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.app.studio.frozen = True
        try:
            self.settle()
            if fine:
                ps.set_SSAA_factor(2)
                self.app.frame(0.0)
            ps.screenshot(str(path), transparent_bg=False, include_UI=panels)
            if fine:
                ps.set_SSAA_factor(1)
                self.app.frame(0.0)
        finally:
            self.app.studio.frozen = False
        return path
