"""The window: its main loop, and where the panels are.

Polyscope's own `show` would starve background work, so the loop here draws one frame at a time and sleeps the
rest of a sixtieth of a second. Whatever goes wrong while drawing ends in a dialog, never in a crash.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import polyscope as ps
import polyscope.imgui as psim

from m2v_studio.document import commands
from m2v_studio.document.mesh_files import MESH_SUFFIXES
from m2v_studio.document.scan_files import KINDS
from m2v_studio.document.settings import MIN_WINDOW
from m2v_studio.document.state import default_export_name, is_open, why_not_results
from m2v_studio.panels import bars, dialogs
from m2v_studio.panels.export import ExportDialog
from m2v_studio.panels.file_dialog import FileDialog, available
from m2v_studio.panels.generate import GENERATE_HEIGHT, GeneratePanel
from m2v_studio.panels.handles import HandlesPanel
from m2v_studio.panels.samples import SamplesPanel
from m2v_studio.panels.scans import ScansPanel, draw_box
from m2v_studio.panels.source import SourcePanel
from m2v_studio.studio import Studio
from m2v_studio.view import layout, overlay, shortcuts, style, theme
from m2v_studio.view.camera import Region
from m2v_studio.view.gl_sync import wait_until_drawn
from m2v_studio.view.picking import Pointer
from m2v_studio.view.scan_gizmo import BoxGizmo
from m2v_studio.view.scan_scene import clouds, picture
from m2v_studio.view.scan_view import ScanView
from m2v_studio.view.scene import SceneBuilder
from m2v_studio.view.timeline import ROW, RULER, Timeline
from m2v_studio.view.viewport import Viewport
from m2v_studio.view.widgets import panel, scrolled
from m2v_studio.work.tasks import notice_of

FRAME_SECONDS = 1 / 60
SLOW_DRAWING = 0.15
OPENING_SECONDS = 0.1
Backend = Literal["auto", "openGL3_glfw", "openGL3_egl", "openGL_mock"]
NO_DIALOG = (
    "There is no system file dialog here; type a path in the field at the top left, or drop a file on the window."
)


@dataclass
class SaveAs:
    path: str
    then: Callable[[], None] | None = None

    def choose(self, path: Path) -> None:
        self.path = str(path)


@dataclass
class FrameTimes:
    """Seconds: the longest gap between two frames, and the editor's own work per frame without rendering."""

    longest_gap: float = 0.0
    host: float = 0.0
    frames: int = 0
    _last: float | None = None

    def frame(self, now: float, host: float) -> None:
        if self._last is not None:
            self.longest_gap = max(self.longest_gap, now - self._last)
        self._last = now
        self.host += host
        self.frames += 1


class App:
    """One window. `studio` is what it edits; everything here is only about showing it."""

    def __init__(self, studio: Studio, backend: str = "auto", size: tuple[int, int] | None = None) -> None:
        self.studio = studio
        self.viewport = Viewport()
        self.scene = SceneBuilder()
        self.pointer = Pointer()
        self.timeline = Timeline()
        self.scan_view, self.box_gizmo = ScanView(), BoxGizmo()
        self.source_panel, self.handles_panel, self.scans_panel = SourcePanel(), HandlesPanel(), ScansPanel()
        self.generate_panel, self.samples_panel = GeneratePanel(), SamplesPanel()
        self.export_dialog = ExportDialog()
        self.files = FileDialog(self._no_dialog)
        self._headless = backend == "openGL3_egl"
        self.files_available = available() and not self._headless
        self.save_as: SaveAs | None = None
        self.help_open = False
        self.closing = False
        self.times = FrameTimes()
        self.region = Region(0, 0, 1, 1)  # the free part of the window
        self._last_tick = time.perf_counter()
        self._host = 0.0
        self._dt = FRAME_SECONDS
        self._open_window(backend, size)

    def _open_window(self, backend: str, size: tuple[int, int] | None) -> None:
        settings = self.studio.settings
        width, height = size or (settings.width, settings.height)
        ps.set_program_name("m2v studio")
        ps.set_verbosity(0)
        ps.set_use_prefs_file(False)
        ps.set_build_default_gui_panels(False)
        ps.set_open_imgui_window_for_user_callback(False)
        ps.set_display_message_popups(False)
        ps.set_errors_throw_exceptions(True)
        ps.set_give_focus_on_show(False)
        ps.set_window_size(width, height)
        if not ps.is_initialized():
            ps.init(cast(Backend, backend))
        ps.set_frame_tick_limit_fps_mode("ignore_limits")
        ps.set_ground_plane_mode("none")
        ps.frame_tick()  # the first frame resets the camera and the style; ours come after it
        self.viewport.prepare()
        psim.GetIO().ConfigInputTextCursorBlink = False
        ps.set_files_dropped_callback(self._dropped)
        ps.set_user_callback(self._draw_safely)

    # ---- the loop -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Draw frames until the window is closed."""
        while not self.closing:
            start = time.perf_counter()
            self.frame()
            if ps.window_requests_close():
                self.ask_quit()
            state = self.studio.state
            # Nothing to see yet: leave the processor to the thread that reads the first mesh.
            waiting = not is_open(state.document) and bool(state.busy)
            pause = OPENING_SECONDS if waiting else FRAME_SECONDS
            time.sleep(max(0.0, pause - (time.perf_counter() - start)))
        self.close()

    def frame(self, seconds: float | None = None) -> None:
        """One frame; `seconds` overrides the clock, for tests and the demo."""
        now = time.perf_counter()
        self._dt = min(now - self._last_tick, 0.25) if seconds is None else seconds
        self._last_tick = now
        try:
            self.files.poll()
            self.studio.tick(self._dt)
        except Exception as error:
            self._report(error)
        self._host = time.perf_counter() - now
        drawing = time.perf_counter()
        ps.frame_tick()
        if self._headless:
            wait_until_drawn()
        if self.viewport.transparent and time.perf_counter() - drawing > SLOW_DRAWING:
            self.viewport.dear = True
        self.times.frame(now, self._host)

    def close(self) -> None:
        """Remember the window and end background work."""
        self.files.close()
        width, height = (int(side) for side in ps.get_window_size())
        if width >= MIN_WINDOW[0] and height >= MIN_WINDOW[1]:
            self.studio.change_settings(width=width, height=height)
        self.studio.close()
        # Polyscope would otherwise hold the window's objects past the end of Python.
        ps.clear_user_callback()
        ps.clear_files_dropped_callback()
        self.viewport.clear()
        self.scan_view.clear()
        self.pointer.clear()

    def _draw_safely(self) -> None:
        """Polyscope's user callback; an exception that leaves it would break every later frame."""
        start = time.perf_counter()
        try:
            self._draw()
        except Exception as error:
            self._report(error)
        self._host += time.perf_counter() - start

    def _report(self, error: Exception) -> None:
        notice = notice_of("Something went wrong", error)
        if os.environ.get("M2V_DEBUG"):
            print(notice.detail or notice.message, file=sys.stderr)
        if self.studio.state.notice is None:
            self.studio.show(commands.notify, notice)

    def _draw(self) -> None:
        window = tuple(int(side) for side in ps.get_window_size())
        style.ensure(layout.text_scale(self.studio.settings.text_scale, window[0], window[1]))
        regions = self._regions(window[0], window[1])
        self.region = regions["view"]
        shortcuts.handle(self)
        if not self.is_modal and not self.box_gizmo.update(self, self.region):
            self.pointer.update(self, self.region)
        state = self.studio.state
        figures = self.scene.figures(state)
        self.viewport.show(state, figures, self.region, (window[0], window[1]), self._dt)
        self.scan_view.show(clouds(state, figures), picture(state, figures), self.viewport)
        draw_box(self, self.region)
        overlay.draw(self, self.region)
        with panel("left", regions["left"]):
            with scrolled("##settings", GENERATE_HEIGHT):
                self.source_panel.draw(self)
                (self.handles_panel if state.document.scans is None else self.scans_panel).draw(self)
                self.generate_panel.draw(self)
            self.generate_panel.draw_button(self)
        with panel("right", regions["right"]):
            self.samples_panel.draw(self)
        self.timeline.draw(self, regions["timeline"])
        bars.draw_menu(self, regions["menu"])
        bars.draw_status(self, regions["status"])
        self._borders(regions)
        self.export_dialog.draw(self)
        dialogs.draw_unsaved(self)
        dialogs.draw_save_as(self)
        dialogs.draw_help(self)
        dialogs.draw_error(self)

    def _regions(self, width: int, height: int) -> dict[str, Region]:
        scale = layout.text_scale(self.studio.settings.text_scale, width, height)
        rows = min(max(len(self.studio.state.document.handles), 2), 5)
        return layout.regions(width, height, scale, (70 + RULER + rows * ROW) * scale)

    def _borders(self, regions: dict[str, Region]) -> None:
        """Hairlines between the panels."""
        if self.is_modal:
            return
        draw = psim.GetBackgroundDrawList()
        ink = style.packed(theme.BORDER)
        view = regions["view"]
        right, bottom = view.x + view.width, view.y + view.height
        draw.AddLine((view.x, view.y), (view.x, bottom), ink, 1.0)
        draw.AddLine((right - 1, view.y), (right - 1, bottom), ink, 1.0)
        draw.AddLine((view.x, bottom - 1), (right, bottom - 1), ink, 1.0)

    # ---- what panels and shortcuts ask for ----------------------------------------------------------------

    @property
    def is_modal(self) -> bool:
        """A dialog waits for an answer."""
        asking = self.studio.ask is not None or self.save_as is not None
        return asking or self.studio.state.notice is not None or self.export_dialog.is_open

    def set_text_scale(self, value: float) -> None:
        self.studio.change_settings(text_scale=value)
        width, height = (int(side) for side in ps.get_window_size())
        possible = layout.text_scale(value, width, height)
        if possible < value:
            small = f"This window has room for text of {possible * 100:.0f} %; make it larger for {value * 100:.0f} %."
            self.studio.show(commands.say, small)

    def ask_open(self) -> None:
        kinds = {"Meshes and projects": " ".join(f"*{suffix}" for suffix in (*MESH_SUFFIXES, ".m2v"))}
        if not self.files_available:
            self.studio.show(commands.say, NO_DIALOG)
        else:
            self.files.ask("open", "Open a mesh or a project", self.studio.open_path, kinds)

    def ask_open_scans(self) -> None:
        if not self.files_available:
            self.studio.show(commands.say, f"{NO_DIALOG[:-1]}: {KINDS}.")
        else:
            self.files.ask("folder", "Open a folder of scans", self.studio.open_path)

    def _no_dialog(self) -> None:
        self.files_available = False
        self.studio.show(commands.say, NO_DIALOG)

    def ask_save(self, title: str, start: Path, then: Callable[[Path], None]) -> None:
        self.files.ask("save", title, then, start=start)

    def save(self, then: Callable[[], None] | None = None, choose: bool = False) -> None:
        """Save under the known name, or ask for one."""
        state = self.studio.state
        if not is_open(state.document):
            return
        if state.project and not choose:
            self.studio.ask = None
            self.studio.save(Path(state.project), then)
            return
        folder = Path(state.project).parent if state.project else Path.home()
        self.save_as = SaveAs(str(folder / f"{default_export_name(state)}.m2v"), then)

    def open_export(self) -> None:
        why = why_not_results(self.studio.state)
        if why:
            self.studio.show(commands.say, why)
        else:
            self.export_dialog.open(self)

    def ask_quit(self) -> None:
        self.studio.guarded(self._quit)

    def _quit(self) -> None:
        self.closing = True

    def _dropped(self, paths: list[str]) -> None:
        if paths:
            self.studio.open_path(Path(paths[0]))
