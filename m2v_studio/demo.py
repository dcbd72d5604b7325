"""`m2v demo`: drives the real editor through the whole workflow by input events, without a display.

A creature is opened, two feet are pinned, the head is dragged to where it should be in the last frame, four
motions are generated, compared and coloured, and the chosen one is exported. Every step leaves an image.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polyscope.imgui as psim
from numpy.typing import NDArray

from core.atomic import fresh_file
from core.errors import DataError, M2VError
from m2v_studio.app import App
from m2v_studio.document import commands
from m2v_studio.document.mesh_files import first_mesh
from m2v_studio.document.state import State, normalization
from m2v_studio.driver import Driver
from m2v_studio.studio import Studio
from m2v_studio.work.worker import AnimatorFactory, load_animator

WINDOW = (1440, 900)
EXPORTS = (".glb", ".usdc", ".npz")
PATIENCE = 600.0
OnFile = Callable[[Path], None]


def run_demo(
    out: Path,
    source: Path | None = None,
    factory: AnimatorFactory | None = None,
    isolate: bool = True,
    quality: str = "normal",
    on_file: OnFile | None = None,
) -> tuple[Path, ...]:
    """Run the demo and write its images and exports into `out`; returns every file written.

    It takes a minute or more; `on_file` is called for each finished file.

    Raises DataError when there is no mesh to show or this machine cannot draw without a display.
    """
    mesh = source or first_mesh()
    if mesh is None:
        raise DataError("No mesh is bundled with this installation; give one with a source path.")
    out.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("M2V_CONFIG_DIR")
    with tempfile.TemporaryDirectory(prefix="m2v-demo-") as folder:
        os.environ["M2V_CONFIG_DIR"] = folder  # the defaults, not the user's settings
        try:
            return _play(out, mesh, factory or partial(load_animator), isolate, quality, on_file or (lambda path: None))
        finally:
            if before is None:
                del os.environ["M2V_CONFIG_DIR"]
            else:
                os.environ["M2V_CONFIG_DIR"] = before


def _play(
    out: Path, mesh: Path, factory: AnimatorFactory, isolate: bool, quality: str, on_file: OnFile
) -> tuple[Path, ...]:
    studio = Studio(factory, isolate=isolate)
    try:
        app = App(studio, "openGL3_egl", WINDOW)
    except RuntimeError as error:
        studio.close()
        raise DataError(f"This machine cannot draw without a display ({error}); install Mesa's EGL.") from error
    story = Story(Driver(app), out, on_file)
    try:
        story.open(mesh)
        story.pose()
        story.generate(quality)
        story.compare()
        story.export()
        story.error()
    finally:
        app.close()
    return tuple(story.files)


class Story:
    """The steps of the demo, in a user's order."""

    def __init__(self, driver: Driver, out: Path, on_file: OnFile) -> None:
        self.driver, self.app, self.studio = driver, driver.app, driver.app.studio
        self.out, self.on_file = out, on_file
        self.files: list[Path] = []

    @property
    def state(self) -> State:
        return self.studio.state

    def screenshot(self, name: str) -> None:
        self.wrote(self.driver.screenshot(self.out / f"{name}.png"))

    def wrote(self, path: Path) -> None:
        self.files.append(path)
        self.on_file(path)

    def wait(self) -> None:
        """Wait until nothing runs in the background; a notice meanwhile is an error."""
        self.driver.until(lambda: self.state.notice is not None or self._idle(), PATIENCE)
        if self.state.notice is not None:
            raise M2VError(f"{self.state.notice.message} {self.state.notice.detail}".strip())

    def _idle(self) -> bool:
        return self.state.job is None and not self.studio.tasks.busy and not self.state.busy

    # ---- steps --------------------------------------------------------------------------------------------

    def open(self, mesh: Path) -> None:
        self.studio.open_path(mesh, guard=False)
        self.wait()
        self.studio.worker.start()
        self.driver.until(lambda: self.state.engine != "loading", PATIENCE)
        self.wait()
        self.driver.settle()
        self.screenshot("01-open")

    def pose(self) -> None:
        """Pin two feet by Shift-click, add a handle on the head and drag it up and forward."""
        driver = self.driver
        feet, head = self._landmarks()
        for vertex in feet:
            driver.click(driver.at_vertex(vertex), shift=True)
        driver.click(driver.at_vertex(head))
        row = len(self.state.document.handles) - 1
        self.studio.do("rename handle", commands.rename_handle, row, "head")
        for index in range(row):
            self.studio.do("rename handle", commands.rename_handle, index, f"foot {index + 1}")
        self.studio.show(commands.select_handle, row)
        self.screenshot("02-handle")
        start = driver.at_knob(row)
        outward = 1.0 if start[0] > self.app.region.center[0] else -1.0
        reach = 0.16 * self.app.region.width
        driver.drag(start, (start[0] + 0.35 * outward * reach, start[1] - 0.75 * reach), steps=8, release=False)
        self.screenshot("03-drag")
        driver.release()
        self.wait()
        self.studio.show(commands.set_time, float(self.state.document.frames - 1))
        self.screenshot("04-draft")

    def generate(self, quality: str) -> None:
        """Press Ctrl+Enter and take an image half-way."""
        driver = self.driver
        self.studio.do("quality", commands.set_quality, quality)  # type: ignore[arg-type]
        self.studio.do("seeds", commands.set_seeds, 4)
        driver.key(psim.ImGuiKey_Enter, psim.ImGuiMod_Ctrl)
        self.studio.show(commands.set_time, float(self.state.document.frames - 5))
        driver.until(lambda: self.state.job is None or self._half_way(), PATIENCE)
        self.screenshot("05-generating")
        self.wait()

    def _half_way(self) -> bool:
        job = self.state.job
        return job is not None and job.preview is not None and 2 * job.done >= job.total

    def compare(self) -> None:
        driver = self.driver
        self.studio.show(commands.set_time, float(round(0.75 * (self.state.document.frames - 1))))
        self.studio.show(commands.select_handle, None)
        driver.key(psim.ImGuiKey_1)
        self.screenshot("06-result")
        driver.key(psim.ImGuiKey_S)
        self.screenshot("07-side-by-side")
        driver.key(psim.ImGuiKey_O)
        self.screenshot("08-overlay")
        driver.key(psim.ImGuiKey_1)
        self.studio.show(commands.set_color, "disagreement")
        self.screenshot("09-disagreement")
        self.studio.show(commands.set_color, "none")
        self.wrote(self._contact_sheet())

    def export(self) -> None:
        """Export once with the dialog, then in several formats without it."""
        from core.io.export_clip import ExportOptions

        driver = self.driver
        driver.key(psim.ImGuiKey_E, psim.ImGuiMod_Ctrl)
        name = self.state.document.source.name if self.state.document.source is not None else "motion"
        self.app.export_dialog.place.path = f"{name}-motion.glb"
        driver.tick(4)
        self.screenshot("10-export")
        driver.key(psim.ImGuiKey_Escape)
        for suffix in EXPORTS:
            target = self.out / "exports" / f"{name}-motion{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            self.studio.export(target, (self.state.view.solo,), ExportOptions())
            self.wait()
            self.wrote(target)

    def error(self) -> None:
        """Show the dialog for an unusable file."""
        with tempfile.TemporaryDirectory() as folder:
            damaged = Path(folder) / "damaged.glb"
            damaged.write_bytes(b"glTF\x02\x00\x00\x00")
            self.studio.open_path(damaged, guard=False)
            self.driver.until(lambda: self.state.notice is not None, PATIENCE)
            notice = self.state.notice
            assert notice is not None
            shown = notice.message.replace(folder + os.sep, "")
            self.studio.show(commands.notify, type(notice)(notice.title, shown))
            self.driver.tick(4)
            self.screenshot("11-error")
        self.driver.key(psim.ImGuiKey_Escape)

    # ---- helpers ------------------------------------------------------------------------------------------

    def _landmarks(self) -> tuple[list[int], int]:
        """Vertices to grab, found from the shape: two low ones and the end of the head.

        Only vertices that can be clicked are used: nothing in front hides them.
        """
        source = self.state.document.source
        assert source is not None
        shape = normalization(source).apply(source.vertices)
        # Creatures are longest from tail to head and look along the positive side of that axis.
        along = 2 if np.ptp(shape[:, 2]) >= np.ptp(shape[:, 0]) else 0
        turned = shape[:, [2 - along, 1, along]]
        seen = self._visible(turned)
        forward, height, aside = turned[:, 2], turned[:, 1], turned[:, 0]
        head = _best(seen, 1.4 * forward + 0.9 * height)
        near = _best(seen, -3.0 * height - 0.6 * forward + 0.5 * aside)
        far = np.linalg.norm(shape - shape[near], axis=1) > 0.25
        other = _best([v for v in seen if far[v]] or seen, -3.0 * height + 0.4 * forward + 0.5 * aside)
        return [near, other], head

    def _visible(self, shape: NDArray) -> list[int]:
        """Vertices that a click at their pixel picks, of candidates at the extremes of the shape."""
        from m2v_studio.view.picking import pick_vertex

        directions = np.array(
            [[0, 0.9, 1.4], [0, 0.4, 1.4], [0.5, -3, -0.6], [0.5, -3, 0.4], [-0.3, -3, 0.6], [0.2, 1, 0.5]]
        )
        candidates = {int(v) for d in directions for v in np.argsort(-(shape @ d))[:60:3]}
        return [v for v in sorted(candidates) if pick_vertex(self.driver.at_vertex(v)) == v] or sorted(candidates)

    def _contact_sheet(self) -> Path:
        """The chosen motion in eight frames, the view alone."""
        from PIL import Image

        driver, state = self.driver, self.state
        region = self.app.region
        frames = np.unique(np.linspace(0, state.document.frames - 1, 8).round().astype(int))
        tiles = []
        with tempfile.TemporaryDirectory() as folder:
            for frame in frames:
                self.studio.show(commands.set_time, float(frame))
                path = driver.screenshot(
                    Path(folder) / f"{frame}.png", fine=False
                )  # made smaller below, which smooths edges
                with Image.open(path) as image:
                    scale = image.width / WINDOW[0]
                    box = [region.x + 8, region.y + 48, region.x + region.width - 8, region.y + region.height - 8]
                    box = [round(side * scale) for side in box]
                    tiles.append(image.convert("RGB").crop((box[0], box[1], box[2], box[3])).resize((430, 312)))
        columns = 4
        rows = -(-len(tiles) // columns)
        sheet = Image.new("RGB", (columns * 430, rows * 312), "white")
        for index, tile in enumerate(tiles):
            sheet.paste(tile, ((index % columns) * 430, (index // columns) * 312))
        target = self.out / "contact-sheet.png"
        with fresh_file(target) as file:
            sheet.save(file, format="PNG")
        return target


def _best(vertices: list[int], score: NDArray) -> int:
    return max(vertices, key=lambda vertex: float(score[vertex]))
