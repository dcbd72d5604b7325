"""One pair of hands at a real display: xdotool moves the mouse and presses keys, Xvfb shows what comes of it."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from m2v_studio.view.key_strip import ROW

PATIENCE = 300.0
RESTING = 4  # reports of the window without a move: of each frame, and of every fifth of a second without any
SETTLED = 2  # frames after an event in which Dear ImGui has dealt with it
ROOT = Path(__file__).parents[2]
Told = dict[str, Any]
Spot = tuple[float, float]


@contextmanager
def xvfb(folder: Path) -> Iterator[tuple[str, Path]]:
    """A display that nobody looks at: its name, and the file in `folder` that holds its pixels."""
    name = f":{6000 + os.getpid() % 3000}"
    command = ["Xvfb", name, "-screen", "0", "1100x840x24", "-fbdir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + PATIENCE
        while not Path(f"/tmp/.X11-unix/X{name[1:]}").exists():
            assert time.monotonic() < limit and server.poll() is None, "the display does not start"
            time.sleep(0.05)
        yield name, folder / "Xvfb_screen0"
    finally:
        server.terminate()
        server.wait(20)


class RealHands:
    """A window of its own on `display`, whose screen is kept in the file `screen`."""

    def __init__(self, display: str, screen: Path, mesh: Path, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self._screen = folder, screen
        self._environment = {**os.environ, "DISPLAY": display, "M2V_CONFIG_DIR": str(folder / "config")}
        self._environment["HOME"] = str(folder)
        (folder / "told.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.gui.told_window", str(mesh), str(folder)], env=self._environment, cwd=ROOT
        )
        self.until(lambda told: told["open"] and not (folder / "fresh").exists())
        window = self._ask("search", "--name", "m2v studio").split()[-1]
        shape = dict(line.split("=") for line in self._ask("getwindowgeometry", "--shell", window).split())
        self._origin = float(shape["X"]), float(shape["Y"])
        self._size = int(shape["WIDTH"]), int(shape["HEIGHT"])
        self._do("windowfocus", window)

    def _ask(self, *words: str) -> str:
        done = subprocess.run(["xdotool", *words], env=self._environment, capture_output=True, text=True, check=True)
        return done.stdout

    def _do(self, *words: object) -> None:
        """One event, and the frames that take it in."""
        before = self.told()["frames"]
        self._ask(*(str(word) for word in words))
        self.until(lambda told: told["frames"] >= before + SETTLED)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(20)

    # ---- what the window says -----------------------------------------------------------------------------

    def told(self) -> Told:
        found: Told = json.loads((self.folder / "told.json").read_text())
        return found

    def until(self, ready: Callable[[Told], object]) -> Told:
        limit = time.monotonic() + PATIENCE
        while time.monotonic() < limit:
            assert self.process.poll() is None, "the window ended"
            if (self.folder / "told.json").exists():
                told = self.told()
                if ready(told):
                    return told
            time.sleep(0.02)
        shown = {name: value for name, value in self.told().items() if name not in ("items", "view")}
        raise AssertionError(f"it did not happen in time: {shown}")

    def fresh(self) -> Told:
        """The mesh opened anew, and nothing else."""
        self.hold(False)
        (self.folder / "fresh").touch()
        self.until(lambda told: not (self.folder / "fresh").exists() and told["open"] and told["posable"])
        self.move((500.0, 20.0))
        return self.told()

    def hold(self, on: bool) -> None:
        """Keep the stand-in for the model waiting."""
        (self.folder / "hold").touch() if on else (self.folder / "hold").unlink(missing_ok=True)

    def item(self, name: str) -> Spot:
        """Where a control is, by its label, once it has come to rest: a list that opens is laid out anew."""
        place, since = None, 0

        def rests(told: Told) -> bool:
            nonlocal place, since
            if place != told["items"].get(name):
                place, since = told["items"].get(name), told["reports"]
            return place is not None and told["reports"] >= since + RESTING

        x, y = self.until(rests)["items"][name]
        return x, y

    def key_at(self, row: int, frame: int) -> Spot:
        """Where a key is in the timeline."""
        told = self.told()
        left, right, top = told["strip"]
        return left + (right - left) * frame / (told["length"] - 1), top + (row + 0.5) * ROW

    def until_seen(self, ready: Callable[[np.ndarray], object]) -> np.ndarray:
        """The view's pixels once they are as wanted: the screen takes a frame in after the window has drawn it."""
        limit = time.monotonic() + PATIENCE
        while not ready(pixels := self.pixels()):
            assert time.monotonic() < limit, "it was not seen in time"
            time.sleep(0.02)
        return pixels

    def still_pixels(self) -> np.ndarray:
        """The view's pixels once nothing in them has moved for a while."""
        last, since = self.pixels(), self.told()["reports"]

        def rests(now: np.ndarray) -> bool:
            nonlocal last, since
            reports = self.told()["reports"]
            if (now != last).any():
                last, since = now, reports
            return bool(reports >= since + RESTING)

        return self.until_seen(rests)

    def pixels(self) -> np.ndarray:
        """[H, W, 3] the window's picture of the view."""
        raw = self._screen.read_bytes()
        header = struct.unpack(">25I", raw[:100])
        height, line = header[5], header[12]
        start = header[0] + 12 * header[19]
        screen = np.frombuffer(raw, np.uint8, height * line, start).reshape(height, line // 4, 4)
        x, y, width, high = (round(side) for side in self.told()["region"])
        left, top = round(self._origin[0]) + x, round(self._origin[1]) + y
        return screen[top : top + high, left : left + width, 2::-1].astype(int)

    # ---- mouse and keys -----------------------------------------------------------------------------------

    def move(self, at: Spot) -> None:
        self._do("mousemove", round(self._origin[0] + at[0]), round(self._origin[1] + at[1]))

    def press(self) -> None:
        self._do("mousedown", 1)

    def release(self) -> None:
        self._do("mouseup", 1)

    def click(self, at: Spot) -> None:
        self.move(at)
        self.press()
        self.release()

    def drag(self, start: Spot, end: Spot, release: bool = True) -> None:
        self.move(start)
        self.press()
        for step in range(1, 5):
            self.move((start[0] + (end[0] - start[0]) * step / 4, start[1] + (end[1] - start[1]) * step / 4))
        if release:
            self.release()

    def key(self, name: str) -> None:
        """A key with those held with it: `ctrl+c`, `Return`."""
        *held, last = name.split("+")
        for word in held:
            self._do("keydown", word)
        self._do("keydown", last)
        self._do("keyup", last)
        for word in held:
            self._do("keyup", word)

    def write(self, text: str) -> None:
        self._do("type", "--delay", 25, "--", text)

    def type_into(self, name: str, text: str) -> None:
        """Ctrl+click a number, type another and press Enter."""
        self.move(self.item(name))
        self._do("keydown", "ctrl")
        self.press()
        self.release()
        self._do("keyup", "ctrl")
        self.key("ctrl+a")
        self.write(text)
        self.key("Return")
