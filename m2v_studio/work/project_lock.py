"""Locks the open project, so that two studios do not overwrite each other's work."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from core.assets import config_folder
from core.atomic import try_lock
from core.errors import DataError
from m2v_studio.document.project import save_project
from m2v_studio.document.state import Notice, State

ELSEWHERE = "{name} is open in another studio{so}; save under another name, or close it there."


class ProjectLock:
    """Holds the lock of the open project as long as this process runs."""

    def __init__(self) -> None:
        self._project = ""
        self._held: IO[str] | None = None

    def follow(self, project: str, told: Callable[[Notice], None]) -> None:
        """Lock the project that is open now, by its path; `told` gets a notice if another studio has it open."""
        if project == self._project:
            return
        self.let_go()
        self._project = project
        if project and not self._take():
            name = Path(project).name
            told(Notice("This project is open twice", ELSEWHERE.format(name=name, so=", so it cannot be saved here")))

    def save(self, state: State, path: Path) -> None:
        """Write the project; raises DataError when another studio has it open or the file cannot be written."""
        own = str(path) == self._project
        if own and (self._held is not None or self._take()):
            save_project(state, path)
            return
        with suppress(OSError):  # if no lock can be written, no studio holds one
            file = None if own else try_lock(_lock_path(path))
            if file is None:
                raise DataError(ELSEWHERE.format(name=path.name, so=", whose work this would overwrite"))
            _close(file, path)
        save_project(state, path)

    def let_go(self) -> None:
        if self._held is not None:
            _close(self._held, Path(self._project))
        self._project, self._held = "", None

    def _take(self) -> bool:
        """True when this studio holds the lock now, or when no lock can be written."""
        with suppress(OSError):
            self._held = try_lock(_lock_path(Path(self._project)))
            return self._held is not None
        return True


def _lock_path(project: Path) -> Path:
    folder = config_folder() / "open"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / hashlib.sha256(str(project.resolve()).encode()).hexdigest()[:24]


def _close(file: IO[str], project: Path) -> None:
    with suppress(OSError):  # Windows keeps an open file
        _lock_path(project).unlink(missing_ok=True)
    file.close()
