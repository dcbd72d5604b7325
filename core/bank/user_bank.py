"""Locations of the banks: the shipped one, and the user's own, to which animations can be added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from core.assets import asset_path, config_folder
from core.bank.bank_file import read_bank, write_bank
from core.bank.building import Built, Described, OnProgress, build_shapes, motion_files
from core.bank.credits import OWN_AUTHOR, Credit
from core.bank.shape import BankShape
from core.errors import DataError


def shipped_bank() -> Path:
    """The bank that comes with the program."""
    return asset_path("bank", "motions.safetensors")


def user_bank() -> Path:
    """The path of the user's own bank, which may not exist yet."""
    return config_folder() / "motions.safetensors"


def bank_files() -> list[Path]:
    """Existing banks, the shipped one first."""
    return [path for path in (shipped_bank(), user_bank()) if path.is_file()]


def user_shapes() -> list[BankShape]:
    """The user's own shapes in order; raises DataError if their bank is damaged."""
    return read_bank(user_bank()) if user_bank().is_file() else []


def add_motions(
    places: Iterable[str | Path],
    described: Described,
    on_progress: OnProgress | None = None,
    processes: int | None = None,
) -> Built:
    """Add animated files, or folders of them, to the user's bank; returns what was added and what was skipped, and why.

    Files that are in a bank already, by content, are skipped. A name that is taken gets a number. Raises DataError
    where there is no file or a bank cannot be read or written.
    """
    mine = user_shapes()
    known = {shape.source for path in bank_files() for shape in read_bank(path)}
    built = build_shapes(motion_files(places), described, known, _own_credit, on_progress, processes)
    names = {shape.name for shape in mine}
    for number, shape in enumerate(built.shapes):
        built.shapes[number] = shape.renamed(free_name(shape.name, names))
        names.add(built.shapes[number].name)
    if built.shapes:
        write_bank(user_bank(), [*mine, *built.shapes])
    return built


def remove_motions(names: Sequence[str]) -> list[str]:
    """Remove shapes from the user's bank by name; returns their names. Raises DataError for one that is not in it."""
    mine = user_shapes()
    for name in names:
        if name not in {shape.name for shape in mine}:
            known = ", ".join(shape.name for shape in mine[:20]) or "nothing"
            raise DataError(f"There is no {name!r} among your own motions; they hold {known}.")
    kept = [shape for shape in mine if shape.name not in names]
    if kept:
        write_bank(user_bank(), kept)
    else:
        user_bank().unlink()
    return list(dict.fromkeys(names))


def free_name(name: str, taken: Iterable[str]) -> str:
    """The name, numbered if it is taken."""
    every, result, number = set(taken), name, 1
    while result in every:
        number += 1
        result = f"{name} {number}"
    return result


def _own_credit(stem: str) -> Credit:
    return Credit(OWN_AUTHOR, "", stem)
