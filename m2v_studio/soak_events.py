"""The events of a soak: mouse and keyboard input, and good and bad files."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from core.io.export_clip import ExportOptions
from m2v_studio.document import commands
from m2v_studio.document.mesh_files import MESH_SUFFIXES, bundled_meshes, first_mesh
from m2v_studio.document.state import is_open
from m2v_studio.driver import Driver, Point
from m2v_studio.view.actions import ACTIONS
from m2v_studio.view.keymap import KEYS, MODIFIERS, Chord

Event = Callable[[], None]
TEXTS = ("12", "0.5", "-3", "1e9", "nan", "walk", "   ", "ä€", "9" * 40, "../../etc", "x.glb")
MAX_RANDOM_BYTES = 4000


class Events:
    """Draws random events from one generator."""

    def __init__(self, driver: Driver, folder: Path, chance: random.Random) -> None:
        self.driver, self.folder, self.random = driver, folder, chance
        self.project = folder / "work.m2v"
        self._kinds: tuple[tuple[int, str, Callable[[], tuple[str, Event]]], ...] = (
            (20, "click", self._click),
            (16, "drag", self._drag),
            (12, "handle", self._handle),
            (22, "key", self._key),
            (8, "menu", self._menu),
            (6, "type", self._type),
            (5, "wheel", self._wheel),
            (6, "wait", self._wait),
            (5, "undo", self._undo),
            (3, "generate", self._generate),
            (2, "open", self._open),
            (3, "bad", self._bad),
            (2, "save", self._save),
            (1, "export", self._export),
        )

    def draw(self) -> tuple[str, Event]:
        """The next event: a description, and the function that performs it."""
        weights = [weight for weight, _, _ in self._kinds]
        _, kind, make = self.random.choices(self._kinds, weights)[0]
        detail, event = make()
        return f"{kind}: {detail}" if detail else kind, event

    def dismiss(self) -> None:
        """Close open dialogs."""
        app = self.driver.app
        app.studio.show(commands.notify, None)
        app.studio.ask, app.context.save_as, app.context.export_open = None, None, False

    def start_over(self) -> None:
        """A fresh document on the first mesh, nothing running, nothing open."""
        studio = self.driver.app.studio
        self.dismiss()
        for _ in range(3):
            self.driver.key(KEYS["Esc"])
        studio.worker.cancel()
        first = first_mesh()
        if first is not None:
            self._opened(first)
            self.driver.until(lambda: not studio.tasks.busy)
        self.driver.tick(6)

    # ---- mouse and keyboard -------------------------------------------------------------------------------

    def _somewhere(self) -> Point:
        width, height = self.driver.app._window()
        if self.random.random() < 0.55:
            region = self.driver.app.region
            return (region.x + self.random.random() * region.width, region.y + self.random.random() * region.height)
        return self.random.random() * width, self.random.random() * height

    def _click(self) -> tuple[str, Event]:
        at, button = self._somewhere(), self.random.choices((0, 1, 2), (8, 3, 1))[0]
        held = self.random.choice(MODIFIERS) if self.random.random() < 0.2 else None

        def event() -> None:
            self.driver.move(at)
            with_key = [] if held is None else [self.driver.modifier(held)]
            for key in with_key:
                self.driver.hold(key, True)
            self.driver.press(button)
            self.driver.release(button)
            for key in with_key:
                self.driver.hold(key, False)

        return f"{button} {held or ''} at {at[0]:.0f},{at[1]:.0f}", event

    def _drag(self) -> tuple[str, Event]:
        start, end = self._somewhere(), self._somewhere()
        held = self.random.choice(MODIFIERS) if self.random.random() < 0.25 else None

        def event() -> None:
            if held is not None:
                self.driver.hold(self.driver.modifier(held), True)
            self.driver.drag(start, end, steps=self.random.randint(1, 8))
            if held is not None:
                self.driver.hold(self.driver.modifier(held), False)

        return f"{held or ''} {start[0]:.0f},{start[1]:.0f} to {end[0]:.0f},{end[1]:.0f}", event

    def _handle(self) -> tuple[str, Event]:
        """Click on the creature, or drag an existing handle."""
        by = self.random.uniform(-120, 120), self.random.uniform(-120, 120)
        choice = self.random.random()

        def event() -> None:
            app = self.driver.app
            state = app.studio.state
            source = state.document.source
            if source is None or not app.viewport.figures or app.viewport.projection is None:
                self.driver.tick(1)
                return
            if state.document.handles and choice < 0.6:
                start = self.driver.at_knob(int(choice * 1e6) % len(state.document.handles))
                self.driver.drag(start, (start[0] + by[0], start[1] + by[1]))
            else:
                self.driver.click(self.driver.at_vertex(int(choice * 1e6) % len(source.vertices)))

        return f"by {by[0]:.0f},{by[1]:.0f}", event

    def _key(self) -> tuple[str, Event]:
        """Press a key: usually a bound one, sometimes any."""
        bound = [chord for action in ACTIONS for chord in action.keys if action.name not in ("quit", "open_scans")]
        chord = self.random.choice(bound)
        if self.random.random() < 0.15:
            held = frozenset(name for name in MODIFIERS if self.random.random() < 0.3)
            chord = Chord(self.random.choice(sorted(KEYS)), held)
        return str(chord), lambda: self.driver.key(
            KEYS[chord.key], *(self.driver.modifier(name) for name in sorted(chord.modifiers))
        )

    def _menu(self) -> tuple[str, Event]:
        """Open a menu and click near it."""
        x, line = self.random.uniform(20, 240), self.random.uniform(40, 420)

        def event() -> None:
            self.driver.click((x, 18.0))
            self.driver.tick(2)
            self.driver.click((x + 40.0, line))

        return f"{x:.0f} line {line:.0f}", event

    def _type(self) -> tuple[str, Event]:
        text, enter = self.random.choice(TEXTS), self.random.random() < 0.5

        def event() -> None:
            self.driver.type(text)
            if enter:
                self.driver.key(KEYS["Enter"])

        return repr(text[:12]), event

    def _wheel(self) -> tuple[str, Event]:
        at, steps = self._somewhere(), self.random.uniform(-3, 3)

        def event() -> None:
            self.driver.move(at)
            self.driver.wheel(steps)

        return f"{steps:.1f}", event

    def _wait(self) -> tuple[str, Event]:
        frames = self.random.randint(1, 30)
        return f"{frames} frames", lambda: self.driver.tick(frames)

    def _undo(self) -> tuple[str, Event]:
        times, way = self.random.randint(1, 12), self.random.choice(("Z", "Y"))

        def event() -> None:
            for _ in range(times):
                self.driver.key(KEYS[way], self.driver.modifier("Ctrl"))

        return f"{times} times {way}", event

    def _generate(self) -> tuple[str, Event]:
        frames = self.random.randint(1, 60)

        def event() -> None:
            self.driver.app.studio.generate()
            self.driver.tick(frames)

        return f"and wait {frames} frames", event

    # ---- files --------------------------------------------------------------------------------------------

    def _open(self) -> tuple[str, Event]:
        paths = [*bundled_meshes(), *([self.project] if self.project.exists() else [])]
        if not paths:
            return "nothing", lambda: self.driver.tick(1)
        path = self.random.choice(paths)
        return path.name, lambda: self._opened(path)

    def _opened(self, path: Path) -> None:
        self.driver.app.studio.open_path(path, guard=False)
        self.driver.tick(12)

    def _bad(self) -> tuple[str, Event]:
        """Open an unreadable file and close the error dialog."""
        kind = self.random.choice(("noise", "cut", "empty", "missing", "folder", "project", "sequence"))
        suffix = self.random.choice((*MESH_SUFFIXES, ".m2v", ".npz", ".yaml"))
        path = self.folder / f"bad{suffix}"
        noise = self.random.randbytes(self.random.randint(1, MAX_RANDOM_BYTES))

        def event() -> None:
            self._write_bad(kind, path, noise)
            self._opened(self._target(kind, path))
            self.driver.key(KEYS["Enter"])
            self.dismiss()
            path.unlink(missing_ok=True)

        return f"{kind}{suffix}", event

    def _target(self, kind: str, path: Path) -> Path:
        if kind == "folder":
            empty = self.folder / "empty"
            empty.mkdir(exist_ok=True)
            return empty
        if kind == "missing":
            return self.folder / "none.glb"
        suffixes = {"project": ".m2v", "sequence": ".npz"}
        return path.with_suffix(suffixes.get(kind, path.suffix))

    def _write_bad(self, kind: str, path: Path, noise: bytes) -> None:
        meshes = bundled_meshes()
        if kind == "noise":
            path.write_bytes(noise)
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "cut" and meshes:
            whole = meshes[len(noise) % len(meshes)].read_bytes()
            path.write_bytes(whole[: len(whole) * len(noise) // MAX_RANDOM_BYTES])
        elif kind == "project":
            self._damage_project(path.with_suffix(".m2v"), noise)
        elif kind == "sequence":
            np.savez(path.with_suffix(".npz"), vertices=np.frombuffer(noise[: len(noise) // 4 * 4], np.float32))

    def _damage_project(self, path: Path, noise: bytes) -> None:
        """The last saved project with some bytes changed, or an unrelated zip file."""
        if self.project.exists():
            whole = bytearray(self.project.read_bytes())
            for place in range(0, len(noise) - 1, 97):
                whole[noise[place] * 7919 * (place + 1) % len(whole)] = noise[place + 1]
            path.write_bytes(whole)
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("project.json", noise.decode("latin-1"))

    def _save(self) -> tuple[str, Event]:
        def event() -> None:
            studio = self.driver.app.studio
            if is_open(studio.state.document):
                studio.save(self.project)
            self.driver.tick(12)

        return "", event

    def _export(self) -> tuple[str, Event]:
        suffix = self.random.choice((".glb", ".npz", ".usda"))

        def event() -> None:
            studio = self.driver.app.studio
            if studio.state.results is not None:
                studio.export(self.folder / f"out{suffix}", (0,), ExportOptions())
            self.driver.tick(12)

        return suffix, event
