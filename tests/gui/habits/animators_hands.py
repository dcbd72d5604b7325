"""What an animator's hands do in a window, for the habits of a soak: find, type, drag, and look what came of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from m2v_studio.document.state import Document, State
from m2v_studio.driver import Point
from m2v_studio.soak_events import Events
from m2v_studio.view.widgets import scale

from ..hands import Hands

ROWS, SPEED = 3, 80.0  # of the timeline that are surely in sight, and how far above its edge they end
MANY_UNDO = 199  # steps; with more, the first are forgotten


class AnimatorsHands:
    """Works one window like a person who looks; raises AssertionError when what should come of it did not."""

    def __init__(self, driver: Hands, folder: Path, chance: random.Random) -> None:
        self.driver, self.folder, self.random = driver, folder, chance
        self.events = Events(driver, folder, chance)

    def dismiss(self) -> None:
        self.events.dismiss()

    def start_over(self) -> None:
        self.events.start_over()

    @property
    def state(self) -> State:
        return self.driver.app.studio.state

    @property
    def document(self) -> Document:
        return self.state.document

    def at_work(self) -> None:
        """A window of the usual size with a mesh and two handles that move, standing still, nothing open."""
        self.dismiss()
        if self.document.source is None:
            self.start_over()
        self.idle()
        if self.state.results is not None:
            self.driver.press_keys("1")
        for chord in ("Numpad 0", "F"):
            self.driver.press_keys(chord)
        for _ in range(6):
            handles = self.document.handles
            if len(handles) >= 2 and any(handle.keys and not handle.pinned for handle in handles[:ROWS]):
                break
            self.add_handle()
            if handles := self.document.handles:
                self.drag_handle(0 if not handles[0].pinned else None)
        self.still()

    def still(self) -> None:
        if self.state.view.playing:
            self.driver.press_keys("Space")

    def idle(self) -> None:
        """Wait for the model and for files."""
        tasks = self.driver.app.studio.tasks
        self.driver.until(lambda: self.state.job is None and not tasks.busy and self.state.engine != "loading")
        self.still()
        self.driver.settle()

    def within_view(self, at: Point) -> Point:
        """The nearest place in the view that no panel covers."""
        region = self.driver.app.region
        x = min(max(at[0], region.x + 12), region.x + region.width - 12)
        return x, min(max(at[1], region.y + 12), region.y + region.height - 12)

    def add_handle(self) -> None:
        viewport, source = self.driver.app.viewport, self.document.source
        assert source is not None and viewport.norm is not None
        toward = viewport.norm.apply(source.vertices) @ viewport.camera.axes()[2]
        near = np.argsort(-toward)[: max(len(toward) // 3, 1)]
        self.driver.click(self.within_view(self.driver.at_vertex(int(self.random.choice(near)))))

    def mover(self) -> int:
        """A handle that can be moved."""
        return self.random.choice([row for row, handle in enumerate(self.document.handles) if not handle.pinned])

    def key(self) -> tuple[int, int]:
        """Row and frame of a key among the first rows, which the timeline shows."""
        region = self.driver.app._regions(*self.driver.app._window())["timeline"]
        self.driver.move((region.x + region.width / 2, region.y + region.height - SPEED * scale()))
        self.driver.wheel(40.0)
        rows = [row for row, handle in enumerate(self.document.handles[:ROWS]) if not handle.pinned]
        return self.random.choice([(row, f) for row in rows for f in self.document.handles[row].keys if f > 0])

    def drag_handle(self, row: int | None = None) -> None:
        """Drag a handle at some frame; any, unless a row is given."""
        row = self.mover() if row is None else row
        self.go_to(self.random.randint(1, self.document.frames - 1))
        before, steps = self.document, len(self.driver.app.studio.session.past)
        start = self.within_view(self.driver.at_knob(row))
        by = self.random.uniform(-80, 80), self.random.uniform(-80, 80)
        self.driver.drag(start, self.within_view((start[0] + by[0], start[1] + by[1])))
        made = len(self.driver.app.studio.session.past) - steps
        self.expect(made == 1 or self.document is before or steps >= MANY_UNDO, f"one drag made {made} steps to undo")

    def go_to(self, frame: int) -> None:
        self.driver.press_keys("G")
        self.driver.tick()
        self.driver.press_keys("Ctrl+A")
        self.driver.type(str(frame))
        self.driver.press_keys("Enter")
        view = self.state.view  # motions that arrive just now start to play
        self.expect(int(view.time) == frame or view.playing, f"typed frame {frame}, got {view.time}")

    @staticmethod
    def expect(good: bool, else_: str) -> None:
        if not good:
            raise AssertionError(else_)

    def undone(self, before: Document, what: str, steps: int = 1) -> None:
        """Undo, and be where one was."""
        for _ in range(steps):
            self.driver.press_keys("Ctrl+Z")
        self.expect(self.document is before, f"{what} could not be undone")

    @contextmanager
    def held(self, modifier: str) -> Iterator[None]:
        self.driver.hold(self.driver.modifier(modifier), True)
        yield
        self.driver.hold(self.driver.modifier(modifier), False)

    def find(self, kind: str, label: str, panel: str = "") -> Point:
        """The middle of a control; in a panel, scrolled to where it can be pressed."""
        for _ in range(12):
            at = self.driver.control(kind, label)
            self.expect(at is not None, f"there is no {kind} {label!r}")
            assert at is not None
            if not panel:
                return at
            region = self.driver.app._regions(*self.driver.app._window())[panel]
            top, bottom = region.y + 14 * scale(), region.y + region.height - 72 * scale()  # a button is below
            if top < at[1] < bottom:
                return at
            self.driver.move((region.x + region.width / 2, (top + bottom) / 2))
            self.driver.wheel(1.0 if at[1] <= top else -1.0)
        raise AssertionError(f"{label!r} cannot be scrolled to")

    def menu(self, *lines: str) -> None:
        """Go through a menu of the menu bar to its last line."""
        self.driver.click(self.find("BeginMenu", lines[0]))
        for line in lines[1:-1]:
            self.driver.move(self.find("BeginMenu", line))
            self.driver.tick(3)
        self.driver.click(self.find("MenuItem", lines[-1]))
        self.driver.tick()

    def open_by_path(self, path: Path, before: object) -> None:
        """Type a path, leave what is unsaved, and wait until the file is open."""
        self.driver.type_into(self.find("InputTextWithHint", "##path", "left"), str(path))
        self.leave_unsaved()
        self.driver.until(lambda: self.document is not before and not self.state.busy)
        self.expect(self.state.notice is None, f"{path.name} could not be opened")

    def leave_unsaved(self) -> None:
        """Answer the question about unsaved work, if it is asked."""
        self.driver.tick(3)
        if self.driver.app.studio.ask is not None:
            self.driver.click(self.find("Button", "Don't save"))
