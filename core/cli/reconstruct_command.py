"""`m2v reconstruct`: turns partial scans into complete, tracked meshes, several seeds of each."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.arguments import (
    AddCommand,
    add_model_arguments,
    add_output,
    add_sampling_arguments,
    check_output,
    percent,
    print_notes,
    print_table,
    progress_bar,
    sampling_options,
)
from core.errors import DataError
from core.io.export_formats import seed_path

if TYPE_CHECKING:
    from core.pipelines.request import ReconstructionSet
    from core.sequence import MeshSequence, Normalization, ScanSequence, SourceMesh


def add_command(command: AddCommand) -> None:
    """Register `m2v reconstruct`."""
    reconstruct = command("reconstruct", run_reconstruct, "Turn partial scans into complete, tracked meshes.")
    reconstruct.add_argument(
        "scans", type=Path, metavar="SCANS", help="a folder with one file per frame, or a .npz with points [T, N, 3]"
    )
    add_output(reconstruct)
    add_sampling_arguments(reconstruct)
    reading = reconstruct.add_argument_group("reading the scans")
    reading.add_argument("--modality", metavar="M", help="points, depth, voxels or images, if that is not recognised")
    reading.add_argument("--up", choices=("x", "y", "z"), help="the scans' up axis, if it is not recognised")
    reading.add_argument("--fps", type=float, help="frames per second, if the scans do not say")
    reading.add_argument(
        "--tracked",
        action=argparse.BooleanOptionalAction,
        help="row i is, or is not, the same surface point in every frame",
    )
    reading.add_argument(
        "--partial", action=argparse.BooleanOptionalAction, help="large parts of the surface are, or are not, unseen"
    )
    reading.add_argument("--intrinsics", type=Path, metavar="K.txt", help="3 x 3 matrix of the depth camera")
    reading.add_argument(
        "--depth-scale",
        type=float,
        metavar="N",
        help="depth units per metre, such as 1000 (or 5000 for TUM), instead of the guess",
    )
    reading.add_argument("--depth-max", type=float, metavar="M", help="metres beyond which depth is background")
    cut = reconstruct.add_argument_group("cutting the shape out")
    cut.add_argument(
        "--mask",
        type=Path,
        metavar="PNG",
        help="masks of the shape in the depth maps: an image, or a folder with one per frame",
    )
    cut.add_argument(
        "--box",
        type=float,
        nargs=6,
        metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help="keep what lies between two corners, in the scans' units",
    )
    cut.add_argument("--no-cleaning", action="store_true", help="keep a floor and isolated points")
    shape = reconstruct.add_argument_group("the shape")
    shape.add_argument(
        "--center",
        type=float,
        nargs=3,
        metavar=("X", "Y", "Z"),
        help="middle of the whole shape in frame 0, in the scans' units, instead of the guess",
    )
    shape.add_argument("--scale", type=float, metavar="S", help="its longest side, instead of the guess")
    shape.add_argument("--resolution", type=int, default=128, help="surface cells along a side: 32, 64, 128 or 256")
    shape.add_argument("--faces", type=int, metavar="N", help="reduce the meshes to about this many faces")
    shape.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help="never complete the scan with this body, pack or author; may be repeated",
    )
    shape.add_argument("--one-shape", action="store_true", help="all seeds share one shape; only their motions differ")
    add_model_arguments(reconstruct)


def run_reconstruct(options: argparse.Namespace) -> None:
    """`m2v reconstruct`: all input is checked before the model is loaded."""
    from core.io.scans.cutting import Cut
    from core.io.scans.scan_reader import read_scans
    from core.pipelines.request import ReconstructionOptions

    sampling = sampling_options(options)
    chosen = ReconstructionOptions(
        sampling, resolution=options.resolution, faces=options.faces, one_shape=options.one_shape
    )
    chosen.validate()
    check_placement(options.center, options.scale)
    check_output(options.out)
    scans = read_scans(
        options.scans,
        modality=options.modality,
        up_axis=options.up,
        fps=options.fps,
        tracked=options.tracked,
        partial=options.partial,
        intrinsics=options.intrinsics,
        depth_max=options.depth_max,
        depth_scale=options.depth_scale,
        cut=Cut(None if options.box is None else tuple(options.box), options.mask, not options.no_cleaning),
    )
    print_notes(options.scans, scans.notes)
    chosen = replace(chosen, normalization=placement(scans, options.center, options.scale))

    from core.io.export import export_sequence
    from core.pipelines.reconstruct import Reconstructor

    reconstructor = Reconstructor.load(options.preset, options.device)
    with progress_bar() as on_step:
        result = reconstructor.reconstruct(scans, chosen, on_step)
    for sample in result.samples:
        out = seed_path(options.out, sample.seed, len(result.samples) > 1)
        placed = replace(sample.sequence, origin=scans.origin)
        export_sequence(placed, out, source_of(placed, result.normalization.up_axis))
        print(out)
    for note in result.notes:
        print(note, file=sys.stderr)
    _print_reconstructions(result, scans.origin, guessed=chosen.normalization is None)


def check_placement(center: Sequence[float] | None, scale: float | None) -> None:
    """Raises DataError for an impossible centre or longest side."""
    if center is not None and not all(map(math.isfinite, center)):
        raise DataError("The centre needs three finite numbers, in the scans' units; correct --center.")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise DataError(f"The scale {scale} is out of range; give the shape's longest side, a positive number.")


def placement(scans: ScanSequence, center: Sequence[float] | None, scale: float | None) -> Normalization | None:
    """The whole shape's box from the options, missing values guessed; None without these options."""
    if center is None and scale is None:
        return None
    import numpy as np

    from core.sequence import Normalization

    given = None if center is None else np.asarray(center, dtype=np.float64) - scans.origin
    if given is not None and scale is not None:
        return Normalization(given, float(scale), scans.up_axis)
    from core.geometry.scan_normalization import guess_normalization

    guess = guess_normalization(scans)
    middle = guess.center if given is None else given
    return Normalization(middle, guess.scale if scale is None else float(scale), guess.up_axis)


def source_of(sequence: MeshSequence, up_axis: str) -> SourceMesh | None:
    """Frame 0 as a mesh with the scans' up axis, for the exporter; None if that is Y."""
    if up_axis == "y":
        return None
    import numpy as np

    from core.sequence import MeshPart, SourceMesh

    rest, faces = sequence.vertices[0], sequence.faces
    everyone = np.arange(len(rest), dtype=np.int32)
    return SourceMesh(
        sequence.name, rest, faces, everyone, (MeshPart(sequence.name, faces),), sequence.uv, up_axis=up_axis,
        origin=sequence.origin,
    )  # fmt: skip


def _print_reconstructions(result: ReconstructionSet, origin: tuple[float, float, float], guessed: bool) -> None:
    """Print how well each seed fits the scans, and the assumed position and size of the shape."""
    import numpy as np

    place = result.normalization
    # Without exponents: argparse would read a negative number with one as an option.
    plain = lambda value: np.format_float_positional(value, precision=6, fractional=False, trim="-")  # noqa: E731
    center = " ".join(plain(value) for value in place.center + np.array(origin))
    how = "a guess" if guessed else "as given"
    flags = f"--center {center} --scale {plain(place.scale)} --up {place.up_axis}"
    print(f"Position and size of the shape, {how}: {flags}", file=sys.stderr)
    rows = []
    for sample in result.samples:
        seen = sample.fit[np.isfinite(sample.fit)]
        fit = (percent(float(seen.mean())), percent(float(seen.max()))) if len(seen) else ("-", "-")
        vertices = f"{sample.sequence.vertices.shape[1]:,}"
        rows.append([str(sample.seed), vertices, *fit, percent(float(sample.disagreement.mean())), sample.body])
    title = f"{result.preset} on {result.device}, {result.seconds:.1f} s; distances in % of the size"
    columns = ("seed", "vertices", "scan to surface, mean", "worst frame", "difference from other seeds", "unseen like")
    print_table(title, columns, rows)
