"""Files are whole or not there: written under a temporary name in the same folder, then renamed. Needs no torch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import CheckpointError, M2VError


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well and is deleted otherwise.

    Makes the folder if it is not there. Raises OSError where the disk does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp makes files private
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object], error: type[M2VError] = CheckpointError) -> None:
    """Call `write` with the temporary path of `fresh_file`; raises `error` with a sentence when the disk refuses."""
    try:
        with fresh_file(path) as temporary:
            write(temporary)
    except OSError as refused:
        reason = refused.strerror or str(refused)
        raise error(f"{path} cannot be written ({reason}); choose another folder or free some space.") from refused


def check_writable(folder: Path, error: type[M2VError] = CheckpointError) -> None:
    """Raise `error` now, not after hours, when `folder` cannot be made or written; leaves no trace but the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as refused:
        reason = refused.strerror or str(refused)
        raise error(f"{folder} cannot be written ({reason}); choose another folder.") from refused
