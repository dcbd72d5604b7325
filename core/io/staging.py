"""All-or-nothing export: writes into a hidden folder beside the target and moves everything at the end."""

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
_RETIRED = ".old"  # after the name of frames that are being replaced


def check_target(out: Path, folder_of_frames: bool, own_files: re.Pattern[str]) -> None:
    """Raises ExportError when `out` is there already and must not be replaced.

    A folder of frames may be replaced only while it holds nothing but files named like ours.
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
    """A temporary folder on the same disk as `out`; raises ExportError when it cannot be written."""
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
    """While the block writes in the folder `place`, a note in the settings folder says so to the next start.

    Without room for notes, what a killed process leaves goes with the next write there.
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
    """Delete what killed exports and saves of this machine left anywhere; called at program start."""
    for note in sorted(_notes().glob(f"{PREFIX}*")):
        if is_orphan(note.name[len(PREFIX) :]):
            with suppress(OSError, ValueError):  # a disk that refuses, a note that was cut short
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
    """Delete the staging folders in `place` that killed exports of this machine left there.

    Frames that were being replaced are restored.
    """
    for left in place.iterdir():
        if left.name.startswith(PREFIX) and left.is_dir() and is_orphan(left.name[len(PREFIX) :]):
            for old in left.glob(f"*{_RETIRED}"):
                target = place / old.name.removesuffix(_RETIRED)
                if not target.exists():
                    old.rename(target)
            shutil.rmtree(left, ignore_errors=True)


def commit(folder: Path, out: Path) -> tuple[Path, ...]:
    """Move everything in the staging folder beside `out`, `out` itself last; returns the paths, `out` first."""
    companions = [out.parent / entry.name for entry in sorted(folder.iterdir()) if entry.name != out.name]
    for target in (*companions, out):
        fresh = folder / target.name
        if target.is_dir():  # frames of an earlier export, as check_target made sure
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
