"""The bank of motions as the window sees it: what is in it, adding files of one's own, taking them out again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.bank.bank_file import read_contents
from core.bank.user_bank import bank_files, remove_motions, user_bank
from m2v_studio.document.motion_switches import Pack, packs_of
from m2v_studio.document.state import Notice
from m2v_studio.work.apart import Apart, Say
from m2v_studio.work.tasks import Tasks


@dataclass(frozen=True)
class Added:
    """What became of files that were to be added."""

    names: tuple[str, ...]
    skipped: tuple[str, ...]  # a sentence for each file that was left out


def read_packs() -> tuple[Pack, ...]:
    """Everything at hand; raises DataError where a bank is damaged."""
    own = user_bank()
    shipped = [model for path in bank_files() if path != own for model in read_contents(path)]
    return packs_of(shipped, read_contents(own) if own.is_file() else ())


def remove(name: str) -> tuple[Pack, ...]:
    """Take one of the user's own models out; what is left."""
    remove_motions([name])
    return read_packs()


class AddJob(Apart):
    """Reads animated files, or a folder of them, into the user's bank; its answer is `Added`."""

    def __init__(self, place: Path) -> None:
        super().__init__(add, place, "Adding motions", "add fewer files at a time")


def add(place: Path, say: Say) -> Added:
    """Imports torch, to say which part of a body is which."""
    from core.bank.user_bank import add_motions
    from core.pipelines.part_descriptions import PartDescriptions

    def on_progress(done: int, total: int, name: str) -> None:
        say(f"{name} ({done} of {total})")

    say("loading the model")
    built = add_motions([place], PartDescriptions.load("small").described, on_progress, processes=1)
    return Added(tuple(shape.name for shape in built.shapes), tuple(why for _, why in built.skipped))


class Shelf:
    """What the window knows of the bank; reads and changes it in the background."""

    def __init__(self, tasks: Tasks, failed: Callable[[Notice], None]) -> None:
        self._tasks, self._failed = tasks, failed
        self._job: AddJob | None = None
        self.packs: tuple[Pack, ...] | None = None  # None: not read yet
        self.skipped: tuple[str, ...] = ()  # of the files that were added last, a sentence for each that was not

    @property
    def adding(self) -> bool:
        return self._job is not None

    @property
    def progress(self) -> str:
        return "" if self._job is None else self._job.progress

    def read(self) -> None:
        """Read again what is there."""
        self._tasks.run("Reading the motions", read_packs, self._got, self._failed, quiet=True)

    def add(self, place: Path) -> None:
        """Add a file or a folder; one at a time."""
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
