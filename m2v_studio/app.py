"""The window: its main loop and the layout of its panels.

Polyscope's own `show` would starve background work, so the loop here draws one frame at a time and sleeps the
rest of a sixtieth of a second. Errors while drawing end in a dialog, not a crash.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import polyscope as ps
import polyscope.imgui as psim

from core.assets import config_folder
from core.io.reference_frames import is_reference
from m2v_studio.context import EditorContext
from m2v_studio.document import commands
from m2v_studio.document.settings import MIN_WINDOW
from m2v_studio.document.state import Notice, is_open
from m2v_studio.panels import bars, context_menu, dialogs
from m2v_studio.panels.clips import ClipsDialog
from m2v_studio.panels.export import ExportDialog
from m2v_studio.panels.generate import GENERATE_HEIGHT, GeneratePanel
from m2v_studio.panels.handles import HandlesPanel
from m2v_studio.panels.help import draw_help
from m2v_studio.panels.motions import MotionsWindow
from m2v_studio.panels.onion_menu import skins_in
from m2v_studio.panels.render import RenderDialog
from m2v_studio.panels.samples import SamplesPanel
from m2v_studio.panels.scans import ScansPanel
from m2v_studio.panels.source import SourcePanel
from m2v_studio.studio import Studio
from m2v_studio.view import keymap, layout, overlay, shortcuts, style, theme
from m2v_studio.view.actions import ACTIONS, BY_NAME
from m2v_studio.view.brush import Brush
from m2v_studio.view.camera import Region
from m2v_studio.view.ghost import Ghost
from m2v_studio.view.gl_sync import wait_until_drawn
from m2v_studio.view.lasso import Lasso
from m2v_studio.view.picking import Pointer
from m2v_studio.view.reference_view import ReferenceView
from m2v_studio.view.resting import Rest
from m2v_studio.view.scan_box import draw_box
from m2v_studio.view.scan_gizmo import BoxGizmo
from m2v_studio.view.scan_scene import clouds, scan_image
from m2v_studio.view.scan_view import ScanView
from m2v_studio.view.scene import SceneBuilder
from m2v_studio.view.timeline import Timeline
from m2v_studio.view.turn_ring import TurnRing
from m2v_studio.view.viewport import Viewport
from m2v_studio.view.widgets import fixed, panel
from m2v_studio.work.tasks import notice_of

FRAME_SECONDS = 1 / 60
SLOW_DRAWING = 0.15
OPENING_SECONDS = 0.1
Backend = Literal["auto", "openGL3_glfw", "openGL3_egl", "openGL_mock"]


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
    """One window on a `studio`, which holds everything that is edited."""

    def __init__(self, studio: Studio, backend: str = "auto", size: tuple[int, int] | None = None) -> None:
        self.studio = studio
        self._headless = backend == "openGL3_egl"
        self.viewport = Viewport()
        self.context = EditorContext(studio, self.viewport, with_dialogs=not self._headless)
        self._read_keys()
        self.scene = SceneBuilder()
        self.pointer, self.turn_ring, self.lasso, self.brush = Pointer(), TurnRing(), Lasso(), Brush()
        self.timeline = Timeline()
        self.scan_view, self.box_gizmo, self.reference_view = ScanView(), BoxGizmo(), ReferenceView()
        self.ghost, self.clips_dialog = Ghost(), ClipsDialog()
        self.source_panel, self.handles_panel, self.scans_panel = SourcePanel(), HandlesPanel(), ScansPanel()
        self.generate_panel, self.samples_panel = GeneratePanel(), SamplesPanel()
        self.export_dialog, self.render_dialog, self.motions_window = ExportDialog(), RenderDialog(), MotionsWindow()
        self.times = FrameTimes()
        self.region = Region(0, 0, 1, 1)  # the free part of the window
        self._rest = Rest()
        self._last_tick = time.perf_counter()
        self._host = 0.0
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

    def _read_keys(self) -> None:
        """Read the user's own keys; unusable lines of the file are ignored and reported once."""
        own, self._key_faults = keymap.read_bindings(config_folder() / keymap.FILE, BY_NAME)
        self.context.keys = keymap.resolved(own, {action.name: action.keys for action in ACTIONS})

    def _tell_key_faults(self) -> None:
        """Report faults in the keys file once the first file is open, which clears earlier messages."""
        if self._key_faults and not self.studio.state.busy and self.studio.state.notice is None:
            text = "\n".join(self._key_faults[:6])
            self.studio.show(commands.notify, Notice("Some keys of your own cannot be used", text))
            self._key_faults = []

    # ---- the loop -----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Draw frames until the window is closed."""
        while not self.context.closing:
            start = time.perf_counter()
            if not self.step():
                continue
            state = self.studio.state
            # Nothing to show yet: leave the processor to the thread that reads the first mesh.
            waiting = not is_open(state.document) and bool(state.busy)
            pause = OPENING_SECONDS if waiting else FRAME_SECONDS
            time.sleep(max(0.0, pause - (time.perf_counter() - start)))
        self.close()

    def step(self) -> bool:
        """Draw a frame if anything has changed, else wait a moment for input; True when one was drawn."""
        due = self._rest.wait()
        if not due:
            self._work(time.perf_counter())
            self._rest.changed(self.studio.state)
            return False
        self.frame()
        self._rest.drawn()
        self._rest.changed(self.studio.state)
        if ps.window_requests_close():
            self._rest.wake()
            self.context.ask_quit()
        return True

    def frame(self, seconds: float | None = None) -> None:
        """One frame; `seconds` overrides the clock, for tests and the demo."""
        now = time.perf_counter()
        self._work(now, seconds)
        self._host = time.perf_counter() - now
        drawing = time.perf_counter()
        ps.frame_tick()
        if self._headless:
            wait_until_drawn()
        if self.viewport.transparent and time.perf_counter() - drawing > SLOW_DRAWING:
            self.viewport.dear = True
        self.times.frame(now, self._host)

    def _work(self, now: float, seconds: float | None = None) -> None:
        """Process what has happened since the last call."""
        elapsed = min(now - self._last_tick, 0.25) if seconds is None else seconds
        self._last_tick = now
        try:
            if self.context.files.poll() or self.context.poll_film():
                self._rest.wake()
            self.studio.tick(elapsed)
            self.context.update_reference()
            self._tell_key_faults()
        except Exception as error:
            self._report(error)

    def close(self) -> None:
        """Remember the window and end background work."""
        self.context.files.close()
        self.context.films.close()
        width, height = self._window()
        if width >= MIN_WINDOW[0] and height >= MIN_WINDOW[1]:
            self.studio.change_settings(width=width, height=height)
        self.studio.close()
        # Otherwise Polyscope keeps the window's objects past the end of Python.
        ps.clear_user_callback()
        ps.clear_files_dropped_callback()
        self.viewport.clear()
        self.scan_view.clear()
        self.reference_view.clear()
        self.ghost.clear()
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
        self._rest.takes_in()
        window = self.context.window = self._window()
        if theme.use(self.studio.settings.theme):
            self.viewport.recolor()
            self.scan_view.clear()  # shown again below
        style.ensure(layout.text_scale(self.studio.settings.text_scale, window[0], window[1]))
        regions = self._regions(*window)
        self.region = regions["view"]
        context = self.context
        shortcuts.handle(context)
        gizmos = (self.lasso, self.brush, self.box_gizmo, self.turn_ring)
        if not context.is_modal and not any(gizmo.update(context, self.region) for gizmo in gizmos):
            self.pointer.update(context, self.region)
        state = self.studio.state
        figures = self.scene.figures(state)
        self.viewport.skins = skins_in(self.studio.settings)
        self.viewport.show(state, figures, self.region, window)
        images, heading = context.reference.frames, self.studio.heading
        self.reference_view.show(state, images, heading, self.viewport.floor_height, self.viewport)
        self.ghost.show(state, context.reference_motion.frames, self.viewport)
        self.scan_view.show(clouds(state, figures), scan_image(state, figures), self.viewport)
        draw_box(context, self.region)
        overlay.draw(context, self.region)
        self.turn_ring.draw(context, self.region)
        self.lasso.draw(self.region)
        self.brush.draw(context, self.region)
        with panel("left", regions["left"]):
            with fixed("##settings", GENERATE_HEIGHT):  # keeps the button below in place
                self.source_panel.draw(context)
                (self.handles_panel if state.document.scans is None else self.scans_panel).draw(context)
                self.generate_panel.draw(context)
            self.generate_panel.draw_button(context)
        with panel("right", regions["right"]):
            self.samples_panel.draw(context)
        self.timeline.draw(context, regions["timeline"])
        bars.draw_menu(context, regions["menu"])
        bars.draw_status(context, regions["status"])
        self._borders(regions)
        context_menu.draw(context)
        self.export_dialog.draw(context)
        self.render_dialog.draw(context)
        self.clips_dialog.draw(context)
        dialogs.draw_unsaved(context)
        dialogs.draw_save_as(context)
        self.motions_window.draw(context)
        draw_help(context)
        dialogs.draw_error(context)

    @staticmethod
    def _window() -> tuple[int, int]:
        width, height = ps.get_window_size()
        return int(width), int(height)

    def _regions(self, width: int, height: int) -> dict[str, Region]:
        scale = layout.text_scale(self.studio.settings.text_scale, width, height)
        return layout.regions(width, height, scale)

    def _borders(self, regions: dict[str, Region]) -> None:
        """Hairlines between the panels."""
        if self.context.is_modal:
            return
        draw = psim.GetBackgroundDrawList()
        ink = style.packed(theme.BORDER)
        view = regions["view"]
        right, bottom = view.x + view.width, view.y + view.height
        draw.AddLine((view.x, view.y), (view.x, bottom), ink, 1.0)
        draw.AddLine((right - 1, view.y), (right - 1, bottom), ink, 1.0)
        draw.AddLine((view.x, bottom - 1), (right, bottom - 1), ink, 1.0)

    def _dropped(self, paths: list[str]) -> None:
        if paths:
            self._rest.wake()
            path = Path(paths[0])
            if is_reference(path):
                self.context.set_reference(path)
            else:
                self.studio.open_path(path)
