"""`m2v bank`: builds a bank of motions from animated models, and adds, lists and removes a user's own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.arguments import AddCommand, Help, counting_bar, print_table
from core.errors import DataError

if TYPE_CHECKING:
    from core.bank.building import Built
    from core.bank.shape import BankShape


def add_command(command: AddCommand) -> None:
    """Register `m2v bank` with build, add, list and remove."""
    bank = command("bank", lambda _: bank.print_help(sys.stderr), "Build, extend or list the bank of motions.")
    actions = bank.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text, formatter_class=Help)
        made.set_defaults(run=run)
        return made

    build = action("build", run_build, "Make a bank of motions from animated models.")
    build.add_argument("rigs", nargs="+", metavar="RIGS", help="folders or files: glTF, USD, .npz, .pc2, .mdd")
    build.add_argument("--out", type=Path, required=True, metavar="FILE", help="the bank, .safetensors")
    build.add_argument("--processes", type=int, metavar="N", help="files read at once; all cores, if left out")
    text = "also N procedural creatures or appliances of each kind, 100 at most"
    build.add_argument("--procedural", type=int, default=0, metavar="N", help=text)
    add = action("add", run_add, "Add animated models to your own motions, from which animations may borrow.")
    add.add_argument("files", nargs="+", metavar="FILE", help="files or folders: glTF, USD, .npz, .pc2, .mdd")
    for made in (build, add):
        made.add_argument("--preset", default="small", metavar="P", help="whose part descriptor to use")
    show = action("list", run_list, "List the motions of a bank, or all available ones.")
    show.add_argument("bank", nargs="?", type=Path, metavar="FILE", help="a bank; all available ones, if left out")
    show.add_argument("--clips", action="store_true", help="every clip of every model")
    remove = action("remove", run_remove, "Remove models from your own motions.")
    remove.add_argument("names", nargs="+", metavar="NAME", help="as `m2v bank list` shows them")


def run_build(options: argparse.Namespace) -> None:
    """`m2v bank build`."""
    from core.bank.bank_file import write_bank
    from core.bank.building import build_shapes, motion_files
    from core.experiments.procedural_shapes import check_count, procedural_shapes
    from core.pipelines.part_descriptions import PartDescriptions

    if options.out.suffix != ".safetensors":
        raise DataError(f"The bank {options.out} must end in .safetensors; change its name.")
    check_count(options.procedural)
    if options.processes is not None and options.processes < 1:
        raise DataError(f"{options.processes} processes is out of range; ask for 1 or more.")
    paths, describe = motion_files(options.rigs), PartDescriptions.load(options.preset)
    with counting_bar() as on_progress:
        built = build_shapes(paths, describe.described, on_progress=on_progress, processes=options.processes)
        made = procedural_shapes(options.procedural, on_progress=on_progress)
        built.shapes += map(describe.described, made)
    _say_skipped(built)
    write_bank(options.out, built.shapes)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {_clips(built.shapes)} of {len(built.shapes)} models, {size:.1f} MB.")


def run_add(options: argparse.Namespace) -> None:
    """`m2v bank add`."""
    from core.bank.user_bank import add_motions, user_bank
    from core.pipelines.part_descriptions import PartDescriptions

    describe = PartDescriptions.load(options.preset)
    with counting_bar() as on_progress:
        built = add_motions(options.files, describe.described, on_progress)
    _say_skipped(built)
    for shape in built.shapes:
        print(f"{shape.name}: {_clips([shape])} added to {user_bank()}.")
    if not built.shapes:
        raise DataError("Nothing was added.")


def run_list(options: argparse.Namespace) -> None:
    """`m2v bank list`."""
    from core.bank.bank_file import read_bank
    from core.bank.user_bank import bank_files

    for path in [options.bank] if options.bank else bank_files():
        shapes = read_bank(path)
        title = f"{path}: {_clips(shapes)} of {len(shapes)} models"
        if options.clips:
            rows = [
                [shape.name, clip.name, clip.behaviour, str(clip.frames), "yes" if clip.period else ""]
                for shape in shapes
                for clip in shape.clips
            ]
            print_table(title, ["model", "clip", "behaviour", "frames", "cyclic"], rows)
        else:
            columns = ["model", "folder", "pack", "clips", "behaviours", "author", "licence"]
            print_table(title, columns, [_row(shape) for shape in shapes])


def run_remove(options: argparse.Namespace) -> None:
    """`m2v bank remove`."""
    from core.bank.user_bank import remove_motions

    for name in remove_motions(options.names):
        print(f"{name} is no longer among your motions.")


def _row(shape: BankShape) -> list[str]:
    behaviours = sorted({clip.behaviour for clip in shape.clips})
    return [
        shape.name,
        shape.category,
        shape.pack,
        str(len(shape.clips)),
        ", ".join(behaviours),
        shape.author,
        shape.licence,
    ]


def _clips(shapes: Sequence[BankShape]) -> str:
    count = sum(len(shape.clips) for shape in shapes)
    return "1 clip" if count == 1 else f"{count} clips"


def _say_skipped(built: Built) -> None:
    for path, why in built.skipped:
        print(f"{path} is left out: {why}", file=sys.stderr)
