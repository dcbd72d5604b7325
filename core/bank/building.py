"""Reads many files into shapes of the bank, in parallel; broken files and duplicates are skipped and reported."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from core.bank.credits import Credit
from core.bank.read_motion import SUFFIXES, read_motion
from core.bank.read_rig import file_hash
from core.bank.shape import BankShape
from core.errors import DataError, M2VError
from core.usable_cores import usable_cores

Described = Callable[[BankShape], BankShape]  # fills heading and descriptors
OnProgress = Callable[[int, int, str], None]  # files done, files in all, the file's name


@dataclass
class Built:
    """The result for all files."""

    shapes: list[BankShape] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)  # with reasons


def motion_files(places: Iterable[str | Path]) -> list[Path]:
    """All files that may hold motion among files and folders, in order; raises DataError where there are none."""
    found: dict[Path, None] = {}
    for place in map(Path, places):
        if place.is_dir():
            found |= dict.fromkeys(sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES))
        elif place.is_file():
            found[place] = None
        else:
            raise DataError(f"There is no file or folder {place}; check the path.")
    if not found:
        raise DataError(f"No animated model ({', '.join(SUFFIXES)}) was found there; give another folder.")
    return list(found)


def build_shapes(
    paths: Sequence[Path],
    described: Described,
    known: Collection[str] = (),
    credit: Callable[[str], Credit] | None = None,
    on_progress: OnProgress | None = None,
    processes: int | None = None,
) -> Built:
    """Shapes of files, described, in the files' order.

    A file whose hash is in `known`, or equals an earlier file's, is skipped, and so is one that cannot be read.
    `credit` maps a file's stem to its credit, by default with the table of `core.bank.credits`. Anything raised in
    `on_progress` stops the work.
    """
    built, seen, wanted = Built(), set(known), []
    for path in paths:
        try:
            content = file_hash(path)
        except OSError as error:
            built.skipped.append((path, f"{path.name} cannot be read ({error.strerror}); check the file."))
            continue
        if content in seen:
            built.skipped.append((path, f"{path.name} is already there, under this name or another."))
            continue
        seen.add(content)
        wanted.append(path)
    credits_ = [None if credit is None else credit(path.stem) for path in wanted]
    count = min(processes or usable_cores(), len(wanted))
    for done, (path, result) in enumerate(zip(wanted, _read_all(wanted, credits_, count), strict=True), start=1):
        if isinstance(result, str):
            built.skipped.append((path, result))
        else:
            built.shapes.append(described(result))
        if on_progress is not None:
            on_progress(done, len(wanted), path.name)
    return built


def _read_all(paths: Sequence[Path], credits_: Sequence[Credit | None], processes: int) -> Iterable[BankShape | str]:
    if processes < 2:
        yield from map(_read_or_say, paths, credits_)
        return
    # Forked children of a process with running threads may hang; new ones do not.
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(_read_or_say, paths, credits_)
    finally:
        pool.shutdown(cancel_futures=True)


def _read_or_say(path: Path, credit: Credit | None) -> BankShape | str:
    """The shape, or the reason why there is none."""
    try:
        return read_motion(path, credit)
    except M2VError as error:
        return str(error)
    except Exception as error:  # one broken file must not stop the reading of hundreds
        return f"{path.name} cannot be read ({type(error).__name__}: {error}); export it again."
