"""The `m2v` command. Heavy imports wait until a command needs them, so that `--help` answers at once.

Exit codes: 0 done, 1 an internal fault, 2 bad input or usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Cancelled, ExportError, M2VError

if TYPE_CHECKING:
    from core.pipelines.request import OnStep, SampleSet

DONE, FAULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
# Commands whose arguments belong to another module; they are passed on as they are.
_PASSED_ON = ("train", "evaluate")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what a person has to know goes to the error stream."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in _PASSED_ON:
            return _pass_on(arguments[0], arguments[1:])
        options = parser().parse_args(arguments)
        if options.command is None:
            parser().print_help(sys.stderr)
            return BAD_INPUT
        run: Callable[[argparse.Namespace], None] = options.run
        run(options)
        return DONE
    except SystemExit as stop:  # argparse: 0 for --help, 2 for a usage error
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    except M2VError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except (KeyboardInterrupt, Cancelled):
        print("Interrupted; nothing is left half-written.", file=sys.stderr)
        return INTERRUPTED
    except MemoryError:
        print(
            "There is not enough memory for this; ask for fewer seeds or frames, or a smaller mesh.",
            file=sys.stderr,
        )
        return FAULT
    except Exception as error:
        if os.environ.get("M2V_DEBUG") == "1":
            traceback.print_exc()
        print(
            f"m2v stopped because of a fault in it ({type(error).__name__}: {error}); "
            "set M2V_DEBUG=1 to see where, and report it.",
            file=sys.stderr,
        )
        return FAULT


def parser() -> argparse.ArgumentParser:
    """All commands with their arguments."""
    top = argparse.ArgumentParser(
        prog="m2v",
        description="Animate meshes with a learned motion prior.",
        formatter_class=_Help,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text, formatter_class=_Help)
        made.set_defaults(run=run)
        return made

    animate = command(
        "animate",
        run_animate,
        "Sample motions of a mesh that follow handles, and export them.",
    )
    animate.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="mesh: .obj .ply .stl .off .glb .gltf",
    )
    animate.add_argument("--handles", type=Path, required=True, metavar="H.yaml", help="handle file")
    animate.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="OUT",
        help="its suffix picks the format",
    )
    animate.add_argument(
        "--seeds",
        type=int,
        default=4,
        help="how many motions; several are named OUT-seed0, ...",
    )
    animate.add_argument("--seed", type=int, default=0, help="the first seed")
    animate.add_argument("--frames", type=int, metavar="N", help="2 to 200, instead of the handle file's")
    animate.add_argument(
        "--quality",
        default="normal",
        metavar="Q",
        help="draft (one motion, the mean), normal or best",
    )
    animate.add_argument("--steps", type=int, metavar="N", help="sampler steps, instead of the quality's")
    animate.add_argument(
        "--guidance",
        type=float,
        default=1.0,
        metavar="W",
        help="0 invents freely, above 1 obeys harder",
    )
    animate.add_argument(
        "--variety",
        type=float,
        metavar="V",
        help="how far motions depart from their mean: 0 not at all, 1 as far as the model does",
    )
    animate.add_argument(
        "--up",
        choices=("x", "y", "z"),
        help="the mesh's up axis, when it is not the format's own",
    )
    _model_arguments(animate)

    for name, text in (
        ("train", "Train one stage or all of them."),
        ("evaluate", "Measure a model by a protocol and write a report."),
    ):
        commands.add_parser(name, help=text, add_help=False)

    bench = command("bench", run_bench, "Time the pipeline on this machine and write a report.")
    bench.add_argument("--out", type=Path, required=True, metavar="BENCH.json", help="a .md is written beside it")
    bench.add_argument("--repeats", type=int, default=3, help="calls of which the median counts")
    bench.add_argument("--untrained", action="store_true", help="fresh weights: speed does not depend on them")
    bench.add_argument("--no-window", action="store_true", help="leave the editor's window out")
    _model_arguments(bench)

    export = command("export", run_export, "Convert a sequence file to another format.")
    export.add_argument("sequence", type=Path, metavar="SEQ.npz")
    export.add_argument("out", type=Path, metavar="OUT", help="its suffix picks the format")
    export.add_argument(
        "--source",
        type=Path,
        metavar="MESH",
        help="the mesh it was made from: its vertices and materials",
    )
    export.add_argument("--fps", type=float, help="instead of the sequence's own")
    export.add_argument("--start", type=int, default=0, metavar="N", help="first frame")
    export.add_argument("--end", type=int, metavar="N", help="last frame")
    export.add_argument(
        "--up",
        choices=("x", "y", "z"),
        default="y",
        help="the axis that points up in the file",
    )
    export.add_argument("--scale", type=float, default=1.0, help="multiplies every position")

    info = command("info", run_info, "Show what a checkpoint or preset is and how it was trained.")
    info.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a .safetensors file, a folder of them, or a preset",
    )

    demo = command(
        "demo",
        run_demo,
        "Drive the editor through its whole story, with screenshots; needs no display.",
    )
    demo.add_argument("--out", type=Path, required=True, metavar="DIR")

    prepare = command("prepare", run_prepare, "Turn a data set into one compact training file.")
    prepare.add_argument("format", choices=("rigs",), help="rigs: a folder of skinned .glb files")
    prepare.add_argument("source", type=Path, metavar="SRC")
    prepare.add_argument("out", type=Path, metavar="DST")
    return top


class _Help(argparse.HelpFormatter):
    """Shows defaults of options that have one worth showing."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        shown = action.default not in (None, False, argparse.SUPPRESS) and action.option_strings
        return f"{action.help or ''} (default: %(default)s)".strip() if shown else action.help


def _model_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--preset",
        default="small",
        metavar="P",
        help="bundled weights by name, or a folder with them",
    )
    command.add_argument("--device", default="auto", metavar="D", help="auto, cpu or cuda")


def run_animate(options: argparse.Namespace) -> None:
    """`m2v animate`: everything that can be wrong is found before the model is loaded."""
    from core.geometry.mesh import guess_up_axis, read_mesh
    from core.handle_file import read_handle_file
    from core.pipelines.request import SamplingOptions

    sampling = SamplingOptions(
        options.seeds, options.seed, options.quality, options.steps, options.guidance, options.variety
    )
    sampling.validate()
    check_output(options.out)
    mesh = read_mesh(options.source, options.up)
    tracks = read_handle_file(options.handles, mesh, options.frames)
    for note in mesh.notes:
        print(f"{options.source.name}: {note}", file=sys.stderr)
    if options.up is None and (up := guess_up_axis(mesh)) != mesh.up_axis:
        print(f"{options.source.name} seems to stand on the ground with {up} up; say --up {up} if so.", file=sys.stderr)

    from core.export import export_sequence
    from core.pipelines.animate import Animator

    animator = Animator.load(options.preset, options.device)
    with progress_bar() as on_step:
        samples = animator.animate(mesh, tracks, sampling, on_step)
    several = len(samples.samples) > 1
    for sample in samples.samples:
        out = options.out
        if several:
            out = out.with_name(f"{out.stem}-seed{sample.seed}{out.suffix}")
        export_sequence(sample.sequence, out, mesh)
        print(out)
    _print_samples(samples)


def check_output(out: Path) -> None:
    """Raises ExportError when `out` has no known suffix or lies where nothing can be written; leaves no trace."""
    import re

    from core.export import FORMATS
    from core.export.mesh_files import FRAME_FILES
    from core.export.staging import check_target
    from core.export.writer import FOLDERS

    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        raise ExportError(f"{out}: its name has to end in one of {', '.join(FORMATS)}; change the suffix.")
    check_target(out, suffix in FOLDERS, re.compile(FRAME_FILES))
    check_writable(out)


def check_writable(out: Path) -> None:
    """Raises ExportError when nothing can be written at `out`."""
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"{out} cannot be written ({reason}); choose another folder.") from error


@contextmanager
def progress_bar() -> Iterator[OnStep]:
    """A rich bar on the error stream that follows a pipeline's progress."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Starting", total=None)
        yield lambda report: bar.update(
            task,
            completed=report.done,
            total=report.total or None,
            description=report.message,
        )


def _print_samples(samples: SampleSet) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{samples.preset} on {samples.device}, {samples.seconds:.1f} s; figures in % of the size")
    for column in (
        "seed",
        "handle error",
        "before the exact solve",
        "difference from the mean",
    ):
        table.add_column(column, justify="right")
    for sample in samples.samples:
        figures = (sample.handle_error, sample.soft_handle_error, sample.difference)
        table.add_row(str(sample.seed), *(f"{100 * figure:.4f}" for figure in figures))
    Console(stderr=True).print(table)


def run_bench(options: argparse.Namespace) -> None:
    """`m2v bench`."""
    check_writable(options.out)
    from core.evaluation.benchmark import run_benchmark
    from core.pipelines.request import Progress

    with progress_bar() as on_step:
        run_benchmark(
            options.out,
            preset=options.preset,
            device=options.device,
            untrained=options.untrained,
            repeats=options.repeats,
            window=not options.no_window,
            on_progress=lambda done, total, what: on_step(Progress(done, total, what)),
        )
    print(options.out)


def run_export(options: argparse.Namespace) -> None:
    """`m2v export`."""
    check_output(options.out)
    from core.export import ExportOptions, export_sequence, read_sequence
    from core.geometry.mesh import read_mesh

    sequence = read_sequence(options.sequence)
    source = None if options.source is None else read_mesh(options.source)
    chosen = ExportOptions(options.fps, options.start, options.end, options.up, options.scale)
    for path in export_sequence(sequence, options.out, source, options=chosen):
        print(path)


def run_info(options: argparse.Namespace) -> None:
    """`m2v info`."""
    from core.cli_info import show_info

    show_info(options.checkpoint)


def run_demo(options: argparse.Namespace) -> None:
    """`m2v demo`."""
    check_writable(options.out)
    from m2v_studio.demo import run_demo as demo

    demo(options.out)


def run_prepare(options: argparse.Namespace) -> None:
    """`m2v prepare rigs SRC DST`."""
    check_writable(options.out)
    from core.data.rig_prepare import prepare_rigs
    from core.pipelines.request import Progress

    with progress_bar() as on_step:
        prepare_rigs(
            options.source,
            options.out,
            lambda done, total, name: on_step(Progress(done, total, name)),
        )
    print(options.out)


def _pass_on(command: str, arguments: list[str]) -> int:
    if command == "train":
        from core.training.__main__ import main as train

        return train(arguments)
    from core.evaluation.__main__ import main as evaluate

    return evaluate(arguments)


if __name__ == "__main__":
    sys.exit(main())
