"""The editor without its window: session, background worker, files, settings.

Panels, shortcuts and the mouse call these methods; everything they change goes through a command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.assets import asset_path
from core.errors import M2VError
from core.pipelines.request import ReconstructionSet, SamplingOptions, Windows
from core.sequence import SourceMesh
from m2v_studio.document import block_edits, commands, job_commands, scan_commands
from m2v_studio.document.history import Session
from m2v_studio.document.looks import first_color
from m2v_studio.document.mesh_files import read_source
from m2v_studio.document.project import load_project
from m2v_studio.document.scan_document import OpenedScans
from m2v_studio.document.scan_files import is_scans, read_scan_document
from m2v_studio.document.scan_truth import truth_errors
from m2v_studio.document.selection import chosen_keys, chosen_rows
from m2v_studio.document.settings import DEFAULT_WINDOW, Settings, load_settings, save_settings
from m2v_studio.document.state import (
    Document,
    Notice,
    Results,
    State,
    is_worth_keeping,
    reconstruction,
    sampling,
    tracks,
    why_not_generate,
    why_not_play,
    why_not_results,
    why_not_rig,
)
from m2v_studio.work import messages, worker
from m2v_studio.work.autosave import Autosave, autosave_path, left_behind
from m2v_studio.work.export_job import export_job
from m2v_studio.work.exporting import Written
from m2v_studio.work.posing import Posing
from m2v_studio.work.project_lock import ProjectLock
from m2v_studio.work.tasks import Tasks, notice_of

PROJECT_SUFFIX = ".m2v"


class Studio:
    """The state and background work of one window."""

    def __init__(self, factory: worker.AnimatorFactory = worker.load_animator, isolate: bool = True) -> None:
        self.worker = worker.GenerationWorker(factory, isolate=isolate)
        self.tasks = Tasks()
        self.settings: Settings = load_settings()
        self.session = Session(State(Document(without=self.settings.without)))
        self.frozen = False  # holds back background reports while an image is taken
        self.ask: Callable[[], None] | None = None  # waiting for an answer about unsaved work
        self.autosave = Autosave(self.tasks, self._failed)
        self.project_lock = ProjectLock()
        self.posing = Posing()
        self.heading: float | None = None  # the creature's heading, if known
        self.offered: SourceMesh | None = None  # a mesh whose animations wait to be chosen from
        self._prepared: SourceMesh | None = None  # last sent to the model's process
        self.recovery = left_behind()

    @property
    def state(self) -> State:
        return self.session.state

    def tick(self, seconds: float) -> None:
        """Process background reports and move the playhead by `seconds` of wall-clock time."""
        if not self.frozen:
            for event in self.worker.poll():
                self._on_event(event)
        self.tasks.poll()
        self._follow_source()
        show = self.session.show
        if self.tasks.busy != self.state.busy:
            show(commands.set_busy, self.tasks.busy)
        show(commands.advance, seconds)
        self.autosave.tick(self.state)
        self.project_lock.follow(self.state.project, self._failed)

    def _on_event(self, event: messages.Event) -> None:
        show = self.session.show
        match event:
            case messages.EngineReady(label):
                show(commands.engine_ready, label)
            case messages.EngineFailed(message, detail):
                show(commands.engine_failed, message)
                show(commands.notify, Notice("The model is not available", message, detail))
            case messages.DragReady(_, system):
                self.posing.system = system
            case messages.FacingKnown(_, heading):
                self.heading = heading
            case messages.Progressed(request, progress):
                show(job_commands.job_progressed, request, progress)
            case messages.Finished(request, samples):
                show(job_commands.job_finished, request, samples, self.posing.held)
                self.autosave.soon()
                self._compare_with_truth()
            case messages.Stopped(request):
                show(job_commands.job_stopped, request)
            case messages.Failed(request, message, detail):
                show(job_commands.job_stopped, request, "Generation failed.")
                show(commands.notify, Notice("Generation failed", message, detail))

    def do(self, label: str, command: Callable[..., State], *args: Any, **kwargs: Any) -> None:
        """One undoable edit; an edit that is not possible becomes a notice."""
        try:
            self.session.do(label, command, *args, **kwargs)
        except M2VError as error:
            self.fail(label, error)

    def drag(self, gesture: str, label: str, command: Callable[..., State], *args: Any, **kwargs: Any) -> None:
        try:
            self.session.drag(gesture, label, command, *args, **kwargs)
        except M2VError as error:
            self.fail(label, error)

    def show(self, command: Callable[..., State], *args: Any, **kwargs: Any) -> None:
        self.session.show(command, *args, **kwargs)

    def fail(self, title: str, error: BaseException) -> None:
        """Show an error in a dialog."""
        self.show(commands.notify, notice_of(title, error))

    def delete_selected(self) -> None:
        """Delete the selected keys, or if there are none, the selected handles."""
        keys, rows = chosen_keys(self.state), chosen_rows(self.state)
        if keys or rows:
            noun = "key" if keys else "handle"
            self.do(f"delete {noun}{'s' if len(keys or rows) > 1 else ''}", block_edits.delete_chosen)
            self.request_draft()

    def pose(self, figure: str, frame: int) -> None:
        """Show the mesh posed by the handles, and request a draft of the motion."""
        vertices = self.posing.pose(self.state.document, frame)
        if vertices is not None:
            self.show(job_commands.set_pose, figure, frame, vertices)
        if self.state.job is None:
            self.request_draft()

    def let_go(self) -> None:
        """End a drag: one undo step, and a draft of the result."""
        self.posing.release()
        self.session.end_gesture()
        self.request_draft()

    # ---- generation ---------------------------------------------------------------------------------------

    def generate(self) -> None:
        """Sample with the document's settings."""
        if why_not_generate(self.state):
            self.show(commands.say, why_not_generate(self.state))
            return
        self._submit(sampling(self.state.document))

    def request_draft(self) -> None:
        """Request a draft of the first seed, to show the effect of an edit soon."""
        document = self.state.document
        if document.source is None:
            return  # scans take too long for drafts: they are reconstructed on request only
        if why_not_generate(self.state):
            self.cancel()
            return
        self._submit(replace(sampling(document), seeds=1, quality="draft"))

    def _submit(self, options: SamplingOptions) -> None:
        document = self.state.document
        self._follow_source()  # before the request, which it would interrupt
        try:
            if document.scans is not None:
                wanted = reconstruction(document)
                wanted.validate()
                request = self.worker.submit_scans(document.scans.sequence, wanted)
            else:
                assert document.source is not None
                asked = tracks(document)
                asked.validate(document.source.vertices)
                options.validate()
                request = self.worker.submit(document.source, asked, options)
        except M2VError as error:
            self.fail("Generation is not possible", error)
            return
        self.show(job_commands.job_started, request, options.quality, options.seeds)

    def cancel(self) -> None:
        self.worker.cancel()
        self.show(job_commands.job_stopped)

    def _compare_with_truth(self) -> None:
        """Compute the distance of new results from the ground truth, if that came with the scans."""
        results, scans = self.state.results, self.state.document.scans
        if results is None or scans is None or scans.truth is None or results.truth_error is not None:
            return
        samples, truth = results.samples, scans.truth
        if not isinstance(samples, ReconstructionSet):
            return
        self.tasks.run(
            "Comparing with the true surface",
            lambda: truth_errors(samples, truth),
            lambda errors: self.show(scan_commands.set_truth_error, results, errors),
            self._failed,
            quiet=True,
        )

    def play(self) -> None:
        if why_not_play(self.state):
            self.show(commands.say, why_not_play(self.state))
        self.show(commands.toggle_play)

    # ---- files --------------------------------------------------------------------------------------------

    def guarded(self, action: Callable[[], None]) -> None:
        """Run an action that discards the document, asking first if there is unsaved work."""
        if is_worth_keeping(self.state):
            self.ask = action
        else:
            action()

    def open_path(self, path: Path, guard: bool = True) -> None:
        """Open a mesh, scans or a project, depending on the name."""
        if guard:
            self.guarded(lambda: self.open_path(path, guard=False))
            return
        title = f"Opening {path.name}"
        if path.suffix.lower() == PROJECT_SUFFIX:
            self.tasks.run(
                title, lambda: load_project(path), lambda got: self._opened_project(path, *got), self._failed
            )
        elif is_scans(path):
            self.tasks.run(
                title, lambda: read_scan_document(path), lambda scans: self._opened_scans(path, scans), self._failed
            )
        else:
            self.tasks.run(title, lambda: read_source(path), lambda mesh: self._opened_mesh(path, mesh), self._failed)

    def _failed(self, notice: Notice) -> None:
        self.show(commands.notify, notice)

    def _opened_mesh(self, path: Path, mesh: SourceMesh) -> None:
        self.worker.cancel()
        state = self._colored(commands.open_source(self.state, mesh))
        self.session.reset(replace(state, saved=None, notice=None))
        self._prepare_drags(mesh)
        self._remember(path)
        self.offered = mesh if mesh.clips else None

    def _prepare_drags(self, mesh: SourceMesh | None) -> None:
        self.posing.forget()
        self.heading, self._prepared = None, mesh
        if mesh is not None:
            self.worker.prepare(mesh)

    def _follow_source(self) -> None:
        """Tell the model about a changed mesh: another up axis or pose, also after undo."""
        source, before = self.state.document.source, self._prepared
        if source is not before and source and before and source.faces is before.faces:
            self._prepare_drags(source)

    def _opened_scans(self, path: Path, scans: OpenedScans) -> None:
        self.worker.cancel()
        state = scan_commands.open_scans(self.state, scans)
        self.session.reset(replace(state, saved=None, notice=None))
        self._remember(path)

    def _opened_project(self, path: Path, document: Document, results: Results | None) -> None:
        self.worker.cancel()
        recovered = path == self.recovery
        old = self.state
        state = commands.opened_project(document, results, "" if recovered else str(path))
        state = self._colored(replace(state, engine=old.engine, engine_label=old.engine_label))
        if recovered:
            state = replace(state, saved=None, saved_results=None, message="Recovered the unsaved work of last time.")
            self.recovery = None
            path.replace(autosave_path())
        else:
            self._remember(path)
        self.session.reset(state)
        self._prepare_drags(document.source)
        self._compare_with_truth()

    def _colored(self, state: State) -> State:
        """The state with the user's last choice of colours."""
        return commands.set_color(state, first_color(state.document, self.settings.color))

    def _remember(self, path: Path) -> None:
        bundled = (asset_path("meshes").resolve(), asset_path("scans").resolve())
        if not any(folder in path.resolve().parents for folder in bundled):
            self.settings = self.settings.with_recent(path)
            save_settings(self.settings)

    def save(self, path: Path, then: Callable[[], None] | None = None) -> None:
        """Save the project in the background, then call `then`."""
        path = path if path.suffix.lower() == PROJECT_SUFFIX else path.with_name(path.name + PROJECT_SUFFIX)
        snapshot = self.state

        def done(_: object) -> None:
            self.show(commands.mark_saved, str(path), snapshot)
            self._remember(path)
            autosave_path().unlink(missing_ok=True)
            if then is not None:
                then()

        self.tasks.run(f"Saving {path.name}", lambda: self.project_lock.save(snapshot, path), done, self._failed)

    def recover(self) -> None:
        if self.recovery is not None:
            self.open_path(self.recovery)

    def forget_recovery(self) -> None:
        if self.recovery is not None:
            self.recovery.unlink(missing_ok=True)
            self.recovery = None

    def export(self, out: Path, rows: tuple[int, ...], options: Any, rig: Windows | None = None) -> None:
        """Export results in the background, or a rig."""
        results, document = self.state.results, self.state.document
        if why := why_not_results(self.state) if rig is None else why_not_rig(self.state):
            self.show(commands.say, why)
            return
        title, work, stop = export_job(results, rows, out, document, options, rig)

        def done(written: Written) -> None:
            self.show(commands.say, written.sentence)

        self.tasks.run(title, work, done, self._failed, stop=stop)

    def change_settings(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)
        save_settings(self.settings)

    def fit_display(self, scale: float) -> None:
        """On the first start, scale text and window to the display."""
        width, height = (round(side * scale) for side in DEFAULT_WINDOW)
        self.settings = replace(self.settings, text_scale=scale, width=width, height=height)

    def close(self) -> None:
        """End background work and delete the autosave, as the user has closed the window."""
        self.worker.close()
        self.tasks.close()
        self.tasks.poll()
        save_settings(self.settings)
        self.project_lock.let_go()
        autosave_path().unlink(missing_ok=True)
