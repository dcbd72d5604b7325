"""Opening scans from disk, and the sample scans that come with the studio. No Polyscope, no torch."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from core.assets import asset_path
from core.errors import DataError, MeshError
from core.sequence import MeshSequence
from m2v_studio.document.scan_document import OpenedScans, Reading
from m2v_studio.document.scan_truth import read_truth, truth_path

# Single files that hold a whole scan sequence; a folder may hold any kind the reader knows.
SCAN_SUFFIXES = (".npz", ".npy", ".pcd", ".xyz")
KINDS = "a folder of PLY, PCD, XYZ, OBJ, NPY or NPZ frames, depth or colour images or voxel grids, or one .npz file"


def is_scans(path: Path) -> bool:
    """Whether an opened or dropped path is treated as scans rather than as a mesh or a project."""
    return path.is_dir() or path.suffix.lower() in SCAN_SUFFIXES


def read_scan_document(path: Path, reading: Reading | None = None) -> OpenedScans:
    """Read scans, guess where the whole shape lies, and read the true surface if there is one.

    Raises DataError that says what is wrong with the scans. A true surface that cannot be used only adds a note.
    """
    from core.geometry.scan_normalization import guess_normalization
    from core.io.scans.cutting import Cut
    from core.io.scans.scan_reader import read_scans

    reading = reading or Reading()
    cut = Cut(reading.box, Path(reading.mask) if reading.mask else None)
    sequence = read_scans(path, cut=cut, depth_scale=reading.depth_scale)
    guess = guess_normalization(sequence)
    beside = truth_path(path)
    truth: MeshSequence | None = None
    if beside is not None:
        try:
            truth = read_truth(beside, sequence.frames, sequence.fps)
        except (DataError, MeshError) as error:
            note = f"The true surface is not used: {str(error).rstrip('.')}."
            sequence = replace(sequence, notes=(*sequence.notes, note))
    if not sequence.path:
        sequence = replace(sequence, path=str(path))
    return OpenedScans(sequence, guess, truth, reading)


@lru_cache(maxsize=1)
def bundled_scans() -> tuple[Path, ...]:
    """The scan sequences that ship with the studio, by name; the folder is read once."""
    folder = asset_path("scans")
    if not folder.is_dir():
        return ()
    return tuple(
        sorted(
            path
            for path in folder.iterdir()
            if not path.name.startswith(".") and is_scans(path) and not path.stem.endswith("-truth")
        )
    )
