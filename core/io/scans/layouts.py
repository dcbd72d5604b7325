"""Which files under a path are the scans, what they observe, and their companion files."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import DataError
from core.io.arrays import SkippedError, array_shapes, read_bytes
from core.io.beside import utf8
from core.io.scans.camera_files import INTRINSICS_STEMS, POSES_STEMS
from core.io.scans.dataset_layouts import DepthLayout, find_depth_layout, pictures_folder
from core.io.scans.images import IMAGE_SUFFIXES, png_kind
from core.io.scans.points import ARRAY_SUFFIXES, POINT_SUFFIXES, is_points
from core.io.scans.scan_files import check_path, natural_key, some_names
from core.io.scans.voxels import is_grid
from core.sequence import MODALITIES, Modality

SETTINGS_NAME = "scan.json"
TRUTH_STEM = "truth"  # the real surface, kept beside the scans to compare with
_MOST_ENTRIES = 100_000
_FORMATS = "PLY, PCD, XYZ, OBJ, NPY or NPZ points, depth PNGs, pictures or voxel grids"
# Two kinds with as many files each: the one that says most about the shape.
_PREFERENCE = ("points", "depth", "voxels", "images")


@dataclass(frozen=True)
class ScanLayout:
    """Files of one format in natural order, what they hold, and what was left aside."""

    kind: Modality  # what the files hold; points may stand for a back-projected depth scan
    files: list[Path]
    settings: dict = field(default_factory=dict)  # of scan.json
    notes: list[str] = field(default_factory=list)
    depth: DepthLayout | None = None  # of a data set's folder: its cameras, units and times


def find_scans(path: Path, modality: Modality | None) -> ScanLayout:
    """What to read under a file or folder; raises DataError when there is nothing."""
    check_path(path)
    if path.is_file():
        kind = _kind(path)
        if kind is None:
            if path.suffix.lower() not in (*POINT_SUFFIXES, *ARRAY_SUFFIXES, *IMAGE_SUFFIXES, ".binvox"):
                raise DataError(f"{path.name} is not a scan that can be read; open a folder or file of {_FORMATS}.")
            kind = modality or ("images" if path.suffix.lower() in IMAGE_SUFFIXES else "points")
        if path.suffix.lower() in ARRAY_SUFFIXES and {kind, modality} == {"depth", "voxels"}:
            kind = modality or kind  # arrays of three axes may be either, and who opens them knows
        if not _fits(kind, modality):
            raise DataError(f"{path.name} holds {kind}, not {modality}; leave the modality out.")
        return ScanLayout(kind, [path])
    try:
        entries = sorted((e for e in path.iterdir() if not e.name.startswith(".")), key=natural_key)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); check its permissions.") from error
    files = [entry for entry in entries if entry.is_file()]
    if len(files) > _MOST_ENTRIES:
        raise DataError(
            f"{path} holds {len(files):,} files, which is too many; put the scans into a folder of their own."
        )
    known = find_depth_layout(path)
    if known is not None and known.files:
        if modality == "images" and (pictures := pictures_folder(known.files[0].parent.parent)) is not None:
            return find_scans(pictures, modality)
        if modality not in (None, "depth"):
            raise DataError(f"{path} holds depth maps as {known.name} lays them out, not {modality}; leave it out.")
        said = f"The folder is laid out as {known.name} does it: {len(known.files):,} depth maps are read."
        notes = [said, *known.notes]
        return ScanLayout("depth", known.files, _settings(path / SETTINGS_NAME, notes), notes, known)
    notes = []
    settings = _settings(path / SETTINGS_NAME, notes)
    aside = (*INTRINSICS_STEMS, *POSES_STEMS, TRUTH_STEM)
    own = [f for f in files if f.name != SETTINGS_NAME and f.stem.casefold() not in aside]
    groups = _groups(own)
    fitting = {key: group for key, group in groups.items() if _fits(key[0], modality)}
    if not fitting:
        raise DataError(_nothing(path, entries, groups, modality))
    chosen = min(fitting, key=lambda key: (-len(fitting[key]), _PREFERENCE.index(key[0]), key[1]))
    if chosen[0] in ("depth", "images") and chosen[1] in ARRAY_SUFFIXES and len(fitting[chosen]) > 1:
        names = some_names(file.name for file in fitting[chosen])
        raise DataError(f"{path} holds several sequences of {chosen[0]} ({names}); open one of these files.")
    others = [f.name for f in own if f not in set(fitting[chosen])]
    if others:
        verb = "was" if len(others) == 1 else "were"
        notes.append(
            f"The folder holds several formats; {len(fitting[chosen]):,} {chosen[1]} files ({chosen[0]}) are used, and "
            f"{some_names(others)} {verb} skipped."
        )
    return ScanLayout(chosen[0], fitting[chosen], settings, notes)


def _fits(kind: str, modality: Modality | None) -> bool:
    # A scan from one side may come as points that another program back-projected.
    return modality is None or kind == modality or (kind == "points" and modality == "depth")


def _groups(files: list[Path]) -> dict[tuple[Modality, str], list[Path]]:
    """Files by what they hold and their ending; a file too damaged to tell goes with the others of its ending."""
    kinds = {file: _kind(file) for file in files}
    usual: dict[str, Modality] = {}
    for suffix in {file.suffix.lower() for file in files}:
        known = Counter(kind for file, kind in kinds.items() if file.suffix.lower() == suffix and kind is not None)
        fallback: Modality = "images" if suffix in IMAGE_SUFFIXES else "points"
        usual[suffix] = known.most_common(1)[0][0] if known else fallback
    groups: dict[tuple[Modality, str], list[Path]] = {}
    for file, kind in kinds.items():
        suffix = file.suffix.lower()
        if suffix in (*POINT_SUFFIXES, *ARRAY_SUFFIXES, *IMAGE_SUFFIXES, ".binvox"):
            kind = kind or usual[suffix]
            groups.setdefault((kind, ".jpg" if suffix == ".jpeg" else suffix), []).append(file)
    return groups


def _kind(path: Path) -> Modality | None:
    """What one file holds, by its heading; None when that does not say."""
    suffix = path.suffix.lower()
    if suffix in POINT_SUFFIXES:
        return "points"
    if suffix == ".binvox":
        return "voxels"
    if suffix in IMAGE_SUFFIXES:
        return "images" if suffix != ".png" else ("depth" if (kind := png_kind(path)) == "depth" else kind and "images")  # type: ignore[return-value]
    if suffix not in ARRAY_SUFFIXES:
        return None
    try:
        shapes = array_shapes(path)
    except SkippedError:
        return None
    for name, kind in (("points", "points"), ("depth", "depth"), ("voxels", "voxels"), ("images", "images")):
        if any(key.startswith(name) for key in shapes):
            return kind  # type: ignore[return-value]
    for shape, number in shapes.values():
        if number == "uint8" and len(shape) == 4 and shape[-1] == 3:
            return "images"
        if number.kind in "biuf" and is_points(shape):
            return "points"
        if number.kind in "biuf" and is_grid(shape):
            return "voxels"
    return None


def _settings(path: Path, notes: list[str]) -> dict:
    if not path.is_file():
        return {}
    try:
        found = json.loads(utf8(read_bytes(path)).decode("utf-8"))
        if isinstance(found, dict):
            return found
        why = "holds no settings"
    except (SkippedError, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, SkippedError) else "is not valid JSON"
    notes.append(f"{path.name} {why}, so it was skipped.")
    return {}


def _nothing(path: Path, entries: list[Path], groups: dict, modality: Modality | None) -> str:
    if not entries:
        return f"The folder {path} is empty; give a folder that holds {_FORMATS}."
    if groups:
        held = ", ".join(sorted({kind for kind, _ in groups}, key=MODALITIES.index))
        return f"The folder {path} holds {held}, not {modality}; leave the modality out or give another folder."
    inner = [entry.name for entry in entries if entry.is_dir()]
    where = f"; the scans may be in its folder {inner[0]}" if inner else f"; give a folder that holds {_FORMATS}"
    return f"The folder {path} holds no scans{where}."
