"""What the commands share: arguments, checks of outputs, progress bars, notes and tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from core.atomic import check_writable
from core.errors import ExportError

if TYPE_CHECKING:
    from core.pipelines.request import OnStep, SamplingOptions
    from core.sequence import SourceMesh

Run = Callable[[argparse.Namespace], None]


class AddCommand(Protocol):
    """Adds a command to the parser and returns it, for its arguments."""

    def __call__(self, name: str, run: Run, text: str) -> argparse.ArgumentParser: ...


class Help(argparse.HelpFormatter):
    """Shows the defaults of options that have a telling one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default not in (None, False, argparse.SUPPRESS) and action.option_strings
        return f"{action.help or ''} (default: %(default)s)".strip() if shown else action.help


def add_model_arguments(command: argparse.ArgumentParser) -> None:
    """`--preset` and `--device`."""
    command.add_argument(
        "--preset", default="small", metavar="P", help="bundled weights by name, or a folder with them"
    )
    command.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:N or mps")


def add_output(command: argparse.ArgumentParser) -> None:
    """`--out`; its suffix picks the format."""
    command.add_argument("--out", type=Path, required=True, metavar="OUT", help="its suffix picks the format")


def add_sampling_arguments(command: argparse.ArgumentParser) -> None:
    """Options of the sampler: seeds, quality, steps."""
    command.add_argument("--seeds", type=int, default=4, help="how many results; several are named OUT-seed0, ...")
    command.add_argument("--seed", type=int, default=0, help="the first seed")
    command.add_argument(
        "--quality", default="normal", metavar="Q", help="draft (one result, the mean), normal or best"
    )
    command.add_argument("--steps", type=int, metavar="N", help="sampler steps, instead of the quality's")


def add_motion_arguments(command: argparse.ArgumentParser) -> None:
    """Options of the motion: behaviour, loop, what not to borrow, contacts."""
    from core.bank.behaviours import BEHAVIOURS

    command.add_argument("--behaviour", choices=BEHAVIOURS, default="", help="kind of motion; any, if left out")
    command.add_argument("--loop", action="store_true", help="the last frame flows into the first")
    command.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="borrow nothing from a pack, model or clip (MODEL/CLIP), as `m2v bank list` has them; may be repeated",
    )
    command.add_argument("--no-contacts", action="store_true", help="let feet slide")


def sampling_options(options: argparse.Namespace) -> SamplingOptions:
    """The parsed options as SamplingOptions. Raises M2VError for impossible values."""
    from core.pipelines.request import SamplingOptions

    sampling = SamplingOptions(
        options.seeds,
        options.seed,
        options.quality,
        options.steps,
        getattr(options, "behaviour", ""),
        getattr(options, "loop", False),
        not getattr(options, "no_contacts", False),
        tuple(getattr(options, "without", ())),
    )
    sampling.validate()
    return sampling


def check_output(out: Path) -> None:
    """Check that `out` has a known suffix and can be written, and leave no trace. Raises ExportError."""
    import re

    from core.io.export_formats import FOLDERS, FORMATS
    from core.io.mesh.frame_files import FRAME_FILES
    from core.io.staging import check_target

    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        raise ExportError(f"{out}: its name must end in one of {', '.join(FORMATS)}; change the suffix.")
    check_target(out, suffix in FOLDERS, re.compile(FRAME_FILES))
    check_writable(out, ExportError)


@contextmanager
def counting_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on the error stream; yields a function of (done, total, current task)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Starting", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total or None, description=what)


@contextmanager
def progress_bar() -> Iterator[OnStep]:
    """A progress bar for a pipeline's `on_step`."""
    with counting_bar() as tell:
        yield lambda report: tell(report.done, report.total, report.message)


def print_notes(path: Path, notes: Iterable[str]) -> None:
    """Print a reader's notes on a file to the error stream."""
    for note in notes:
        print(f"{path.name}: {note}", file=sys.stderr)


def print_mesh_notes(path: Path, mesh: SourceMesh, up: str | None = None) -> None:
    """Print a mesh's notes, its likely up axis if none was given, and its units."""
    from core.io.mesh.source_mesh import guess_up_axis, units_note

    print_notes(path, mesh.notes)
    if up is None and (likely := guess_up_axis(mesh)) != mesh.up_axis:
        print_notes(path, [f"It probably has {likely} up; if so, give --up {likely}."])
    print_notes(path, filter(None, [units_note(mesh)]))


def percent(fraction: float) -> str:
    """A fraction in %, without the sign."""
    return f"{100 * fraction:.4f}"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to the error stream."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(stderr=True).print(table)
