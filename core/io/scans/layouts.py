"""Finds the scans in a folder or file, their kind, and their companion files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from core.errors import DataError
from core.io.arrays import SkippedError, array_shapes, read_bytes
from core.io.beside import utf8
from core.io.scans.camera_files import INTRINSICS_STEMS, POSES_STEMS
from core.io.scans.colour_frames import IMAGES
from core.io.scans.dataset_layouts import find_depth_layout, images_folder
from core.io.scans.depth import DEPTH
from core.io.scans.points import ARRAY_SUFFIXES, POINTS
from core.io.scans.scan_files import check_path, natural_key, some_names
from core.io.scans.scan_kind import ScanKind, ScanLayout
from core.io.scans.voxels import VOXELS

SETTINGS_NAME = "scan.json"
TRUTH_STEM = "truth"  # name of a ground truth beside the scans
_MOST_ENTRIES = 100_000
# All kinds of scan; with equal numbers of files the earlier one is chosen, as it says more about the shape.
KINDS = (POINTS, DEPTH, VOXELS, IMAGES)
_FORMATS = ", ".join(kind.formats for kind in KINDS[:-1]) + f" or {KINDS[-1].formats}"


def scan_kind(name: str) -> ScanKind:
    """The kind of this name. Raises DataError that lists the names."""
    found = next((kind for kind in KINDS if kind.name == name), None)
    if found is None:
        names = ", ".join(kind.name for kind in KINDS)
        raise DataError(f"Unknown modality {name!r}; choose {names}.")
    return found


def find_scans(path: Path, modality: str | None) -> ScanLayout:
    """The scans in a folder or file. Raises DataError if there are none, or not of this modality."""
    check_path(path)
    asked = None if modality is None else scan_kind(modality)
    if path.is_file():
        kind = _kind(path)
        if kind is None:
            if path.suffix.lower() not in _suffixes():
                raise DataError(f"{path.name} is not a scan that can be read; open a folder or file of {_FORMATS}.")
            kind = asked or _usual(path.suffix.lower())
        if path.suffix.lower() in ARRAY_SUFFIXES and asked is not None and {kind, asked} == {DEPTH, VOXELS}:
            kind = asked  # arrays with three axes may be either, so the caller decides
        if not _fits(kind, modality):
            raise DataError(f"{path.name} holds {kind.name}, not {modality}; leave the modality out.")
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
        if asked is IMAGES and (images := images_folder(known.files[0].parent.parent)) is not None:
            return find_scans(images, modality)
        if asked not in (None, DEPTH):
            raise DataError(f"{path} holds depth maps of {known.name}, not {modality}; leave the modality out.")
        said = f"The folder has the layout of {known.name}; its {len(known.files):,} depth maps are read."
        notes = [said, *known.notes]
        return ScanLayout(DEPTH, known.files, _settings(path / SETTINGS_NAME, notes), notes, known)
    notes = []
    settings = _settings(path / SETTINGS_NAME, notes)
    aside = (*INTRINSICS_STEMS, *POSES_STEMS, TRUTH_STEM)
    own = [f for f in files if f.name != SETTINGS_NAME and f.stem.casefold() not in aside]
    groups = _groups(own)
    fitting = {key: group for key, group in groups.items() if _fits(key[0], modality)}
    if not fitting:
        raise DataError(_nothing(path, entries, groups, modality))
    chosen = min(fitting, key=lambda key: (-len(fitting[key]), KINDS.index(key[0]), key[1]))
    kind = chosen[0]
    if kind.whole_arrays and chosen[1] in ARRAY_SUFFIXES and len(fitting[chosen]) > 1:
        names = some_names(file.name for file in fitting[chosen])
        raise DataError(f"{path} holds several sequences of {kind.name} ({names}); open one of these files.")
    others = [f.name for f in own if f not in set(fitting[chosen])]
    if others:
        verb = "was" if len(others) == 1 else "were"
        notes.append(
            f"The folder holds several formats; {len(fitting[chosen]):,} {chosen[1]} files ({kind.name}) are used, and "
            f"{some_names(others)} {verb} skipped."
        )
    return ScanLayout(kind, fitting[chosen], settings, notes)


def _fits(kind: ScanKind, modality: str | None) -> bool:
    return modality is None or modality == kind.name or modality in kind.stands_for


def _suffixes() -> set[str]:
    return {*ARRAY_SUFFIXES, *(suffix for kind in KINDS for suffix in kind.suffixes)}


def _usual(suffix: str) -> ScanKind:
    """The usual kind of files with this suffix, for damaged ones."""
    return next((kind for kind in reversed(KINDS) if suffix in kind.suffixes), POINTS)


def _groups(files: list[Path]) -> dict[tuple[ScanKind, str], list[Path]]:
    """{(kind, suffix): files}; a file too damaged for its kind to be known joins the others of its suffix."""
    kinds = {file: _kind(file) for file in files if file.suffix.lower() in _suffixes()}
    usual: dict[str, ScanKind] = {}
    for suffix in {file.suffix.lower() for file in kinds}:
        known = Counter(kind for file, kind in kinds.items() if file.suffix.lower() == suffix and kind is not None)
        usual[suffix] = known.most_common(1)[0][0] if known else _usual(suffix)
    groups: dict[tuple[ScanKind, str], list[Path]] = {}
    for file, kind in kinds.items():
        suffix = file.suffix.lower()
        groups.setdefault((kind or usual[suffix], ".jpg" if suffix == ".jpeg" else suffix), []).append(file)
    return groups


def _kind(path: Path) -> ScanKind | None:
    """The kind of one file, by its header; None if that does not tell it."""
    suffix = path.suffix.lower()
    if suffix not in ARRAY_SUFFIXES:
        return next((kind for kind in KINDS if suffix in kind.suffixes and kind.recognised(path)), None)
    try:
        shapes = array_shapes(path)
    except SkippedError:  # the reader will report the damage
        return None
    for kind in KINDS:
        if kind.array and any(name.startswith(kind.array) for name in shapes):
            return kind
    fitting = (kind for shape, number in shapes.values() for kind in KINDS if kind.fitting(shape, number))
    return next(fitting, None)


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


def _nothing(path: Path, entries: list[Path], groups: dict, modality: str | None) -> str:
    if not entries:
        return f"The folder {path} is empty; give a folder that holds {_FORMATS}."
    if groups:
        held = ", ".join(kind.name for kind in KINDS if kind in {key[0] for key in groups})
        return f"The folder {path} holds {held}, not {modality}; leave the modality out or give another folder."
    inner = [entry.name for entry in entries if entry.is_dir()]
    where = f"; the scans may be in its folder {inner[0]}" if inner else f"; give a folder that holds {_FORMATS}"
    return f"The folder {path} holds no scans{where}."
