"""An animator's habits as events for a soak: what is done over and over at work, each checked for what comes of it.

Thinking is time on the window's clock, not on the wall's: ten minutes of work take far less.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from m2v_studio.document.mesh_files import bundled_meshes
from m2v_studio.document.result_commands import mark_of
from m2v_studio.document.selection import chosen_rows
from m2v_studio.soak_events import Event
from m2v_studio.view.widgets import scale
from m2v_studio.work.autosave import autosave_path

from ..hands import Hands
from .key_habits import KeyHabits

THINK = (2, 10.0)  # frames and seconds of each, between two habits
SMALL = (660, 420)  # pixels, a window with hardly any room
COLORS = ("seed colour", "stretch", "disagreement", "handle error")


class Habits(KeyHabits):
    """Every habit once in an order of chance, then again in another."""

    def __init__(self, driver: Hands, folder: Path, chance: random.Random) -> None:
        super().__init__(driver, folder, chance)
        self.habits: dict[str, Event] = {
            "many handles": self.many_handles, "drag": self._drag, "scrub": self._scrub,
            "undo and redo": self.undo_and_redo, "copy keys": self.copy_keys, "retime": self.retime,
            "type a length": self.type_length, "loop": self.loop, "type a place": self.type_place,
            "type a turn": self.type_turn, "delete while generating": self._delete_while_generating,
            "open while generating": self._open_while_generating, "export while playing": self._export_while_playing,
            "tiny window": self._tiny_window, "boxes": self.boxes, "mirror": self.mirror, "pins": self.pins,
            "easing": self.easing, "results": self._results, "result as keys": self._result_as_keys,
            "save and open": self._save_and_open, "recover": self._recover, "region": self.region,
            "look around": self._look_around, "menus": self._menus, "colours": self._colours,
        }  # fmt: skip
        self._left: list[str] = []

    def draw(self) -> tuple[str, Event]:
        """The next habit: its name, and the function that performs it."""
        if not self._left:
            self._left = self.random.sample(sorted(self.habits), len(self.habits))
        name = self._left.pop()

        def event() -> None:
            self.at_work()
            self.habits[name]()
            self.driver.tick(*THINK)

        return name, event

    def _drag(self) -> None:
        self.drag_handle()

    # ---- results ------------------------------------------------------------------------------------------

    def _delete_while_generating(self) -> None:
        before = self.document
        self.driver.press_keys("Ctrl+Enter")
        row = self.mover()
        self.driver.click(self.within_view(self.driver.at_knob(row)))
        self.driver.press_keys("Del")
        self.driver.tick(self.random.randint(0, 20))
        self.driver.press_keys("Ctrl+Z")
        self.idle()
        self.expect(len(self.document.handles) >= len(before.handles) - 1, "more was deleted than was chosen")

    def _results(self) -> None:
        self.driver.press_keys("Ctrl+Enter")
        self.idle()
        results = self.state.results
        self.expect(results is not None and results.quality != "draft", "Ctrl+Enter gave no results")
        assert results is not None
        count = len(results.samples.samples)
        starred = mark_of(results, 0).star
        self.driver.press_keys("1")
        self.driver.press_keys("X")
        self.expect(mark_of(self.state.results, 0).star is not starred, "the star was not set")
        self.driver.press_keys("F2")
        self.driver.tick(3)
        self.driver.press_keys("Ctrl+A")
        self.driver.type("the good one")
        self.driver.press_keys("Enter")
        self.driver.tick()
        self.expect(mark_of(self.state.results, 0).name == "the good one", "the name was lost")
        if count > 1:
            self.driver.press_keys("2")
            self.driver.press_keys("Shift+Del")
            self.expect(len(self._samples()) == count - 1, "Shift+Del did not delete one result")
            self.menu("Motion", "Bring back deleted results")
            self.expect(len(self._samples()) == count, "the deleted result did not come back")
            self.menu("Motion", "Delete the others")

    def _samples(self) -> tuple[object, ...]:
        return () if self.state.results is None else tuple(self.state.results.samples.samples)

    def _result_as_keys(self) -> None:
        self.idle()
        before = self.document
        self.menu("Motion", "Make this result my keys")
        self.expect(self.state.notice is not None or self.document is not before, "no keys were made of the result")
        if self.document is not before:
            self.undone(before, "keys made of a result")

    def _export_while_playing(self) -> None:
        self.idle()
        out = self.folder / f"habit{self.random.choice(('.glb', '.npz', '.usda'))}"
        out.unlink(missing_ok=True)
        self.driver.press_keys("Space")
        self.driver.press_keys("Ctrl+E")
        self.driver.tick(3)
        self.driver.type_into(self.find("InputTextWithHint", "##path"), str(out), enter=False)
        self.driver.click(self.find("Button", "Export"))
        tasks = self.driver.app.studio.tasks
        self.driver.until(lambda: not tasks.busy and not self.driver.app.context.export_open)
        self.expect(out.exists() and out.stat().st_size > 0, f"{out.name} was not written")

    # ---- files --------------------------------------------------------------------------------------------

    def _open_while_generating(self) -> None:
        meshes = bundled_meshes()
        if meshes:
            self.driver.press_keys("Ctrl+Enter")
            self.driver.tick(self.random.randint(0, 10))
            self.open_by_path(self.random.choice(meshes), self.document)
            self.expect(not self.document.handles and self.state.results is None, "the old mesh's work is still there")

    def _save_and_open(self) -> None:
        project = self.folder / "habits.m2v"
        self.driver.press_keys("Ctrl+S")
        self.driver.tick(3)
        if self.driver.app.context.save_as is not None:
            self.driver.type_into(self.find("InputTextWithHint", "##path"), str(project), enter=False)
            self.driver.click(self.find("Button", "Save"))
        self.idle()
        saved = self.document
        self.expect(self.state.saved is saved and project.exists(), "the project was not saved")
        self.open_by_path(project, saved)
        self._expect_same_handles(saved.handles)

    def _recover(self) -> None:
        """What a window that was killed leaves is opened again."""
        self.drag_handle()
        self.idle()
        studio, work = self.driver.app.studio, self.document
        studio.autosave.now(self.state)
        written: list[object] = []  # files are written in turn, so that this comes after every autosave
        studio.tasks.run("Waiting", lambda: None, written.append, written.append, quiet=True)
        self.driver.until(lambda: bool(written) and autosave_path().exists())
        studio.recovery = Path(shutil.copy(autosave_path(), self.folder / "left.m2v"))
        self.driver.tick(2)
        self.driver.click(self.find("Button", "Recover", "left"))
        self.leave_unsaved()
        self.driver.until(lambda: self.document is not work and not self.state.busy)
        self._expect_same_handles(work.handles)

    def _expect_same_handles(self, handles: tuple) -> None:
        now = self.document.handles
        same = len(now) == len(handles) and all(
            a.vertex == b.vertex and sorted(a.keys) == sorted(b.keys) and a.pins == b.pins
            for a, b in zip(now, handles, strict=True)
        )
        self.expect(same, "handles came back otherwise from the file")

    # ---- the window ---------------------------------------------------------------------------------------

    def _tiny_window(self) -> None:
        size = self.driver.app._window()
        self.driver.resize(SMALL)
        try:
            self.driver.press_keys("F")
            self.driver.click(self.within_view(self.driver.at_knob(self.mover())))
            self.driver.press_keys("Space")
            self.driver.tick(4)
            self.driver.press_keys("Ctrl+E")
            self.driver.tick(2)
            self.driver.press_keys("Esc")
            self.expect(not self.driver.app.context.export_open, "Esc left the dialog of a tiny window open")
        finally:
            self.driver.resize(size)

    def _scrub(self) -> None:
        strip = self.driver.app.timeline.strip
        assert strip is not None
        y = strip.top - 12 * scale()
        self.driver.drag((strip.left, y), (strip.right, y))
        last = self.document.frames - 1
        self.expect(int(self.state.view.time) == last, f"scrubbed to the end, got frame {self.state.view.time}")
        for chord, frame in (("Home", 0), (".", 1), (",", 0), ("End", last)):
            self.driver.press_keys(chord)
            self.expect(int(self.state.view.time) == frame, f"{chord} went to frame {self.state.view.time}")

    def _look_around(self) -> None:
        for chord in self.random.sample(("Numpad 1", "Numpad 3", "Numpad 7", "Numpad 0", "F", "W", "W", "R", "R"), 9):
            self.driver.press_keys(chord)
        flat = self.driver.app.viewport.camera.flat
        for expected in (not flat, flat):
            self.driver.press_keys("Numpad 5")
            self.expect(self.driver.app.viewport.camera.flat is expected, "Numpad 5 did not switch the perspective")
        x, y = self.within_view((0.0, 0.0))
        self.driver.drag((x, y), (x + self.random.uniform(40, 120), y + 40))
        self.driver.wheel(self.random.uniform(-2, 2))

    def _menus(self) -> None:
        """Esc closes the menu of a right click, and stops nothing."""
        self.driver.press_keys("Ctrl+Enter")
        chosen = chosen_rows(self.state)
        self.driver.move(self.within_view((0.0, 0.0)))
        self.driver.press(1)
        self.driver.release(1)
        self.driver.tick(3)
        self.find("MenuItem", "Key the pose as it is")
        self.driver.press_keys("Esc")
        self.driver.tick(2)
        self.expect(self.driver.control("MenuItem", "Key the pose as it is") is None, "Esc left the menu open")
        self.expect(chosen_rows(self.state) == chosen, "Esc closed the menu and gave up the choice")
        self.idle()
        self.expect(self.state.results is not None, "Esc in a menu stopped the generation")
        self.driver.press_keys("F1")
        self.driver.tick(2)
        self.driver.type("copy")
        self.driver.press_keys("F1")

    def _colours(self) -> None:
        for chord in ("S", "O", "1"):
            self.driver.press_keys(chord)
        label = self.random.choice(COLORS)
        self.driver.click(self.find("RadioButton", label, "right"))
        theme = self.random.choice(("Dark", "Light"))
        self.menu("View", "Theme", theme)
        self.expect(self.driver.app.studio.settings.theme == theme.lower(), f"the theme is not {theme}")
        self.menu("View", "Onion skins", "Show")
        self.driver.press_keys("Space")
        self.driver.tick(6)
