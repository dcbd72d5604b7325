"""Atomic file writes: under a temporary name in the same folder, then renamed. Needs no torch."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from core.errors import CheckpointError, M2VError

_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def owner_mark() -> str:
    """Marks a temporary name with its process, so that others notice when that is gone."""
    return f"{_HOST}-{os.getpid()}-"


def is_orphan(mark: str) -> bool:
    """Whether text that begins with an `owner_mark` belongs to a process of this machine that has ended."""
    host, _, rest = mark.partition("-")
    pid = rest.partition("-")[0]
    if host != _HOST or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it is another user's
        return False
    return False


@contextmanager
def folder_lock(folder: Path, error: type[M2VError] = CheckpointError) -> Iterator[None]:
    """Keeps other processes from writing to `folder` within the block; raises `error` when one is at it already.

    It is a system lock, so it ends with a killed process; its empty file stays, but a folder made for it is removed if
    nothing else was written there.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = try_lock(folder / ".m2v-lock")
    except OSError as refused:
        raise error(f"{folder} cannot be written ({refused.strerror or refused}); choose another folder.") from refused
    if file is None:
        raise error(f"Another process is writing to {folder}; wait for it to finish, or choose another folder.")
    with file:
        try:
            yield
        finally:
            if made and [path.name for path in folder.iterdir()] == [".m2v-lock"]:
                (folder / ".m2v-lock").unlink()
                folder.rmdir()


def try_lock(path: Path) -> IO[str] | None:
    """The file at `path`, locked until it is closed or its process ends; None while another has it locked.

    It may be deleted before it is closed. Raises OSError where the disk refuses.
    """
    while True:
        file = path.open("a")
        try:
            _lock(file.fileno())
        except OSError:
            file.close()
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # its owner has deleted it


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well and is deleted otherwise.

    Makes the folder if it is not there, and deletes what killed processes left there. Raises OSError where the disk
    does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{owner_mark()}", suffix=".tmp")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes files private
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Delete the temporary files in `folder` that processes of this machine left there when they were killed."""
    for left in folder.iterdir():
        if left.name.startswith(".") and left.suffix == ".tmp" and is_orphan(left.stem.rpartition(".")[2]):
            left.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object], error: type[M2VError] = CheckpointError) -> None:
    """Call `write` with the temporary path of `fresh_file`; raises `error` with a sentence when the disk refuses.

    `write` must not create further files: the one of safetensors' `save_file` would stay after a kill.
    """
    try:
        with fresh_file(path) as temporary:
            write(temporary)
    except Exception as refused:
        reason = disk_reason(refused)
        if reason is None:
            raise
        raise error(f"{path} cannot be written ({reason}); choose another folder or free some space.") from refused


def disk_reason(error: Exception) -> str | None:
    """Why the disk refused, in a few words; None for errors of other kinds.

    safetensors wraps the system's error in its own: `... IoError(Os { code: 28, ..., message: "No space left" })`.
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = re.search(r"\(os error (\d+)\)|Os \{.*?code: (\d+)", str(error))
    return None if found is None else os.strerror(int(found[1] or found[2]))


def check_writable(path: Path, error: type[M2VError] = CheckpointError, make: bool = False) -> None:
    """Raise `error` now, not after hours, when nothing can be written at `path`; `make`: it is a folder, and made."""
    try:
        if make:
            path.mkdir(parents=True, exist_ok=True)
        folder = path if make else next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as refused:
        reason = refused.strerror or str(refused)
        raise error(f"{path} cannot be written ({reason}); choose another folder.") from refused
