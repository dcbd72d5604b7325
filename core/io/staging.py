"""Makes exports complete or absent: they are written to a hidden folder beside the target and moved at the end."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.assets import config_folder
from core.atomic import is_orphan, owner_mark, remove_unfinished
from core.errors import ExportError

PREFIX = ".m2v-export-"
_RETIRED = ".old"  # suffix of a folder of frames that is being replaced


def check_target(out: Path, folder_of_frames: bool, own_files: re.Pattern[str]) -> None:
    """Raise ExportError if `out` exists and must not be replaced.

    A folder of frames may be replaced only if all its files are named like ours.
    """
    if not folder_of_frames:
        if out.is_dir():
            raise ExportError(f"{out} is a folder; give the name of a file.")
        return
    if not out.exists():
        return
    if not out.is_dir():
        raise ExportError(f"{out} is a file, but the frames need a folder; choose another name.")
    strangers = sorted(entry.name for entry in out.iterdir() if entry.is_dir() or not own_files.fullmatch(entry.name))
    if strangers:
        raise ExportError(
            f"The folder {out} holds other files than frames ({strangers[0]}); choose another folder or empty it."
        )


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield a temporary folder on the same disk as `out`. Raises ExportError where it cannot be written."""
    folder = out.parent / _fresh_name()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_orphans(out.parent)
        with noted(out.parent):
            try:
                folder.mkdir(mode=0o700)
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"{out} cannot be written ({reason}); choose another folder or free some space.") from error


@contextmanager
def noted(place: Path) -> Iterator[None]:
    """While the block writes to the folder `place`, keep a note of that in the settings folder for the next start.

    If there is no room for notes, files left by a killed process are deleted by the next write to that folder.
    """
    note = _notes() / _fresh_name()
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(place.resolve()), encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)


def remove_left_behind() -> None:
    """Delete the temporary files of killed exports and saves of this machine; called at program start."""
    for note in sorted(_notes().glob(f"{PREFIX}*")):
        if is_orphan(note.name[len(PREFIX) :]):
            with suppress(OSError, ValueError):  # the disk may fail, the note may be cut short
                place = Path(note.read_text(encoding="utf-8"))
                if place.is_dir():
                    remove_orphans(place)
                    remove_unfinished(place)
                note.unlink(missing_ok=True)


def _notes() -> Path:
    return config_folder() / "exports"


def _fresh_name() -> str:
    return f"{PREFIX}{owner_mark()}{secrets.token_hex(6)}"


def remove_orphans(place: Path) -> None:
    """Delete the staging folders of killed exports of this machine in `place`; frames being replaced are restored."""
    for left in place.iterdir():
        if left.name.startswith(PREFIX) and left.is_dir() and is_orphan(left.name[len(PREFIX) :]):
            for old in left.glob(f"*{_RETIRED}"):
                target = place / old.name.removesuffix(_RETIRED)
                if not target.exists():
                    old.rename(target)
            shutil.rmtree(left, ignore_errors=True)


def commit(folder: Path, out: Path) -> tuple[Path, ...]:
    """Move all files from the staging folder to the place of `out`, itself last; returns the paths, `out` first."""
    companions = [out.parent / entry.name for entry in sorted(folder.iterdir()) if entry.name != out.name]
    for target in (*companions, out):
        fresh = folder / target.name
        if target.is_dir():  # frames of an earlier export, by check_target
            retired = folder / f"{target.name}{_RETIRED}"
            target.rename(retired)
            try:
                fresh.rename(target)
            except OSError:
                retired.rename(target)
                raise
        else:
            fresh.replace(target)
    return (out, *companions)
