"""EditorContext gives panels, shortcuts and the mouse the studio, the view, and requests to the window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.io.gltf.clip_reader import FPS
from core.io.reference_frames import VIDEO_SUFFIXES
from core.sequence import MeshSequence
from m2v_studio.document import commands, scan_commands
from m2v_studio.document.block_edits import KeyClip
from m2v_studio.document.key_fitting import clip_as_keys
from m2v_studio.document.mesh_files import MESH_SUFFIXES
from m2v_studio.document.names import default_export_name
from m2v_studio.document.reference import Reference, ReferenceMotion
from m2v_studio.document.scan_document import OpenedScans, Reading, cut_box
from m2v_studio.document.scan_files import KINDS, read_scan_document
from m2v_studio.document.state import Notice, State, is_open, why_not_results, why_not_rig
from m2v_studio.render.shot import FilmOptions
from m2v_studio.studio import Studio
from m2v_studio.view import layout, theme
from m2v_studio.view.fields import Edited
from m2v_studio.view.keymap import Chord
from m2v_studio.view.viewport import Viewport
from m2v_studio.work.clips import clip_length, clip_motion
from m2v_studio.work.file_dialog import FileDialog, available
from m2v_studio.work.films import Films, film_actors
from m2v_studio.work.motions import MotionList
from m2v_studio.work.reference_reader import (
    ReferenceReader,
    images_wanted,
    motion_wanted,
    read_images,
    read_motion_track,
)

NO_DIALOG = (
    "There is no system file dialog here; type a path in the field at the top left, or drop a file on the window."
)


@dataclass
class Place:
    """A path typed into a dialog, or chosen in the system's file dialog."""

    path: str = ""

    def choose(self, path: Path) -> None:
        self.path = str(path)


@dataclass
class SaveAs(Place):
    then: Callable[[], None] | None = None


@dataclass
class Mouse:
    """What the mouse is doing in the view, and over what."""

    mode: str | None = None  # "press", "orbit", "pan", "handle", "box", "turn", "lasso", "brush"
    dragging: bool = False  # a handle is being moved or turned
    hovered_handle: int | None = None
    hovered_knob: int | None = None  # of the scans' box
    box_next: bool = False  # the next drag in the view draws a box around handles
    lasso_next: bool = False  # the next drag in the view draws a lasso
    brush: bool = False  # pressing on the shape paints a region, until Esc
    brush_size: float = 22.0  # radius in pixels at scale 1
    box: tuple[tuple[float, float], tuple[float, float]] | None = None  # two corners, while it is drawn


class EditorContext:
    """One window's studio and view, what its dialogs show, and the requests that any part of it may make."""

    def __init__(self, studio: Studio, viewport: Viewport, with_dialogs: bool = True) -> None:
        self.studio = studio
        self.viewport = viewport
        self.mouse = Mouse()
        self.files = FileDialog(self._no_dialog)
        self.files_available = with_dialogs and available()
        self.window = (1, 1)  # pixels
        self.save_as: SaveAs | None = None
        self.export_open = False
        self.export_rig = False  # as bones instead of every vertex
        self.render_open = False
        self.motions_open = False
        self.motions = MotionList(studio.tasks, self._failed)
        self.films = Films()
        self.help_open = False
        self.help_words = ""  # the words searched for in the help (F1)
        self.keys: dict[str, tuple[Chord, ...]] = {}  # by command, with the user's own
        self.clip: KeyClip | None = None  # copied keys
        self.menu_asked = ""  # "view" or "timeline": open the menu of a right click
        self.focus_frame = False  # key G: put the cursor into the timeline's frame field
        self.reference = ReferenceReader(studio.tasks, images_wanted, read_images)
        self.reference_motion = ReferenceReader(studio.tasks, motion_wanted, read_motion_track)
        self.reference_path = ""  # as typed so far
        self.closing = False

    @property
    def top_dialog(self) -> str:
        """The topmost dialog that waits for an answer; empty when there is none."""
        waiting = {
            "error": self.studio.state.notice is not None,
            "clips": self.studio.offered is not None,
            "save": self.save_as is not None,
            "unsaved": self.studio.ask is not None,
            "export": self.export_open,
            "render": self.render_open,
        }
        return next((name for name, open_ in waiting.items() if open_), "")

    @property
    def is_modal(self) -> bool:
        return bool(self.top_dialog)

    def keys_text(self, command: str, between: str = " or ") -> str:
        """A command's keys in words; empty when it has none."""
        return between.join(str(chord) for chord in self.keys.get(command, ()))

    def with_keys(self, text: str, command: str) -> str:
        """A tooltip followed by the command's keys."""
        keys = self.keys_text(command)
        return f"{text} ({keys})" if keys else text

    def take_menu(self, place: str) -> bool:
        """True once after a right click that opens the menu of this place."""
        asked = self.menu_asked == place
        if asked:
            self.menu_asked = ""
        return asked

    def apply(self, edited: Edited, label: str, command: Callable[..., State], *values: Any, **named: Any) -> None:
        """Apply the edit of a field; one gesture on it is one undo step."""
        if edited.changed:
            self.studio.drag(f"number {label}", label, command, *values, **named)
        if edited.ended:
            self.studio.session.end_gesture()

    def set_text_scale(self, value: float) -> None:
        self.studio.change_settings(text_scale=value)
        possible = layout.text_scale(value, *self.window)
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

    def ask_reference(self, folder: bool) -> None:
        if not self.files_available:
            self.studio.show(commands.say, "There is no system file dialog here; paste a path under View > Reference.")
        elif folder:
            self.files.ask("folder", "Choose a folder of images", self.set_reference)
        else:
            kinds = {"Videos": " ".join(f"*{suffix}" for suffix in VIDEO_SUFFIXES)}
            self.files.ask("open", "Choose a reference video", self.set_reference, kinds)

    def set_reference(self, path: Path) -> None:
        """Show a video or a folder of images beside the creature."""
        if self.studio.state.document.source is None:
            self.studio.show(commands.say, "Open a mesh first, then a reference for it.")
            return
        before = self.studio.state.document.reference or Reference(path)
        self.studio.do("choose reference", commands.set_reference, replace(before, path=path.absolute()))

    def take_clip_as_keys(self, name: str) -> None:
        """Fit handles and keys to an animation of the mesh's own file."""
        source = self.studio.state.document.source
        if source is None:
            return

        def done(motion: MeshSequence) -> None:
            if self.studio.state.document.source is source:
                self.studio.do("animation as keys", clip_as_keys, motion)
                self.studio.request_draft()

        work = lambda: clip_motion(Path(source.path), name, FPS, len(source.vertices))  # noqa: E731
        self.studio.tasks.run("Reading the animation", work, done, self._failed)

    def take_clip_as_reference(self, name: str) -> None:
        """Show an animation of the mesh's own file behind the creature."""
        document = self.studio.state.document
        if document.source is None:
            return
        motion = ReferenceMotion(Path(document.source.path).absolute(), name)

        def done(frames: int) -> None:
            self.studio.do("reference motion", commands.set_reference_motion, motion, frames)

        work = lambda: clip_length(motion.path, name, document.fps)  # noqa: E731
        self.studio.tasks.run("Reading the animation", work, done, self._failed)

    def _failed(self, notice: Notice) -> None:
        self.studio.show(commands.notify, notice)

    def update_reference(self) -> None:
        """Load the document's reference, and report errors."""
        for reader in (self.reference, self.reference_motion):
            reader.update(self.studio.state.document)  # type: ignore[attr-defined]
            if reader.fault is not None:  # type: ignore[attr-defined]
                self.studio.show(commands.notify, reader.fault)  # type: ignore[attr-defined]
                reader.fault = None  # type: ignore[attr-defined]

    def cut_by_box(self) -> None:
        """Remove scan points outside the box."""
        document = self.studio.state.document
        if document.scans is not None and document.alignment is not None:
            box = cut_box(document.alignment, document.box_shares, document.scans.sequence)
            self._read_again("cut scans by the box", replace(document.scans.reading, box=box))

    def ask_masks(self) -> None:
        if not self.files_available:
            self.studio.show(commands.say, "There is no system file dialog here; give --mask to m2v reconstruct.")
        else:
            self.files.ask("folder", "Choose a folder with a mask for each depth map", self.cut_by_masks)

    def cut_by_masks(self, path: Path) -> None:
        """Remove parts of depth maps that are black in these masks."""
        scans = self.studio.state.document.scans
        if scans is not None:
            self._read_again("cut scans by masks", replace(scans.reading, mask=str(path)))

    def whole_scans(self) -> None:
        scans = self.studio.state.document.scans
        if scans is not None:
            self._read_again("whole scans", replace(scans.reading, box=None, mask=""))

    def set_depth_scale(self, scale: float | None) -> None:
        """Set the units per metre of depth maps (None: detected), and guess the shape's box again."""
        scans = self.studio.state.document.scans
        if scans is not None:
            self._read_again("depth scale", Reading(depth_scale=scale, mask=scans.reading.mask))

    def _read_again(self, label: str, reading: Reading) -> None:
        scans = self.studio.state.document.scans
        if scans is None:
            return

        def done(again: OpenedScans) -> None:
            if self.studio.state.document.scans is scans:
                self.studio.do(label, scan_commands.reread_scans, again)

        work = lambda: read_scan_document(Path(scans.path), reading)  # noqa: E731
        self.studio.tasks.run("Reading the scans", work, done, self._failed)

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

    def open_export(self, rig: bool = False) -> None:
        why = why_not_rig(self.studio.state) if rig else why_not_results(self.studio.state)
        if why:
            self.studio.show(commands.say, why)
        else:
            self.export_open, self.export_rig = True, rig

    def open_motions(self) -> None:
        self.motions_open = True
        self.motions.read()

    def open_render(self) -> None:
        why = why_not_results(self.studio.state)
        if why:
            self.studio.show(commands.say, why)
        else:
            self.render_open = True

    def render(self, rows: tuple[int, ...], out: Path, options: FilmOptions, own_looks: bool) -> None:
        """Film results in the background."""
        state = self.studio.state
        colors = [theme.result_color(row) for row in rows]
        self.studio.tasks.run(
            f"Preparing {out.name}",
            lambda: film_actors(state, rows, colors, own_looks),
            lambda actors: self.films.start(actors, out, options),
            self._failed,
        )

    def poll_film(self) -> bool:
        """Report on the film; True when there is something new to show."""
        report = self.films.poll()
        if report is None:
            return False
        if report.finished:
            self.studio.show(commands.say, f"Rendered {self.films.out.name} to {self.films.out.parent}.")
        elif report.error:
            self.studio.show(commands.notify, Notice("Rendering failed", report.error, report.detail))
        return True

    def stop_film(self) -> None:
        if self.films.running:
            self.films.stop()
            self.studio.show(commands.say, f"Rendering of {self.films.out.name} was cancelled.")

    def ask_quit(self) -> None:
        self.studio.guarded(self._quit)

    def _quit(self) -> None:
        self.closing = True
