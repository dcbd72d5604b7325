"""The motion bank in the window: lists it, adds the user's own files and removes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.bank.bank_file import read_contents
from core.bank.user_bank import bank_files, remove_motions, user_bank
from m2v_studio.document.motion_switches import Pack, packs_of
from m2v_studio.document.state import Notice
from m2v_studio.work.process_job import ProcessJob, Say
from m2v_studio.work.tasks import Tasks


@dataclass(frozen=True)
class Added:
    """The outcome of adding files."""

    names: tuple[str, ...]
    skipped: tuple[str, ...]  # a sentence for each file that was left out


def read_packs() -> tuple[Pack, ...]:
    """All packs, shipped and the user's own; raises DataError when a bank is damaged."""
    own = user_bank()
    shipped = [model for path in bank_files() if path != own for model in read_contents(path)]
    return packs_of(shipped, read_contents(own) if own.is_file() else ())


def remove(name: str) -> tuple[Pack, ...]:
    """Remove one of the user's own models; returns the packs that are left."""
    remove_motions([name])
    return read_packs()


class AddJob(ProcessJob):
    """Reads an animated file, or a folder of them, into the user's bank; returns `Added`."""

    def __init__(self, place: Path) -> None:
        super().__init__(add, place, "Adding motions", "add fewer files at a time")


def add(place: Path, say: Say) -> Added:
    """Read files into the user's bank. Imports torch, as a model labels the parts of each body."""
    from core.bank.user_bank import add_motions
    from core.pipelines.part_descriptions import PartDescriptions

    def on_progress(done: int, total: int, name: str) -> None:
        say(f"{name} ({done} of {total})")

    say("loading the model")
    built = add_motions([place], PartDescriptions.load("small").described, on_progress, processes=1)
    return Added(tuple(shape.name for shape in built.shapes), tuple(why for _, why in built.skipped))


class MotionList:
    """The packs that the window lists; they are read and changed in the background."""

    def __init__(self, tasks: Tasks, failed: Callable[[Notice], None]) -> None:
        self._tasks, self._failed = tasks, failed
        self._job: AddJob | None = None
        self.packs: tuple[Pack, ...] | None = None  # None: not read yet
        self.skipped: tuple[str, ...] = ()  # of the last addition: a sentence for each file left out

    @property
    def adding(self) -> bool:
        return self._job is not None

    @property
    def progress(self) -> str:
        return "" if self._job is None else self._job.progress

    def read(self) -> None:
        """Read the packs again."""
        self._tasks.run("Reading the motions", read_packs, self._got, self._failed, quiet=True)

    def add(self, place: Path) -> None:
        """Add a file or a folder; ignored while another is being added."""
        if self._job is None:
            self.skipped = ()
            self._job = AddJob(place)
            self._tasks.run(f"Adding {place.name}", self._job, self._added, self._not_added, stop=self._job.stop)

    def stop(self) -> None:
        if self._job is not None:
            self._job.stop()
            self._job = None

    def remove(self, name: str) -> None:
        self._tasks.run(f"Removing {name}", lambda: remove(name), self._got, self._failed)

    def _got(self, packs: tuple[Pack, ...]) -> None:
        self.packs = packs

    def _added(self, added: Added) -> None:
        self._job, self.skipped = None, added.skipped
        self.read()

    def _not_added(self, notice: Notice) -> None:
        self._job = None
        self._failed(notice)
