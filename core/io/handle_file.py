"""Reads and writes handle files, YAML that says which vertices go where, in the source mesh's units.

    frames: 17
    fps: 24
    handles:
      - vertex: 1203              # or `position: [x, y, z]`, snapped to the nearest vertex
        keys: {8: [0.1, 0.4, 0.0], 16: [0.3, 0.9, 0.1]}
        hold: false               # false: free before the first key and between keys; true: linear between
        pins: [[8, 12]]           # ranges of frames in which it stays where it is in the first of them
        easing: {8: smooth}       # to the next key: linear, smooth, hold, overshoot; or [smooth, 0.8] with its bend
        turns: {16: [0, 45, 0]}   # how its surroundings are turned at a key: an axis times degrees
        region: 0.2               # vertices that move and turn with it as one piece: a distance, or a list of vertices
      - vertex: 88
        pinned: true              # stays where it is in every frame

Vertices are numbered on the welded surface, as the program shows them; that is the file's numbering unless it repeats
positions. Frame 0 is always the rest pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from core.atomic import write_atomically
from core.config import unknown_key
from core.errors import HandleError
from core.handle_record import handle_record
from core.io.beside import utf8
from core.key_easing import Easing, easing_from
from core.safe_yaml import MAX_YAML_BYTES, BudgetError, FastLoader, number_in, parse_yaml, read_within
from core.sequence import NO_REGION, Handle, HandleTracks, SourceMesh

_TOP_KEYS = ("frames", "fps", "handles")
_HANDLE_KEYS = ("vertex", "position", "keys", "hold", "pinned", "name", "pins", "easing", "turns", "region")
# A key at frame 0 may repeat the rest position, up to this fraction of the size.
_REST_TOLERANCE = 1e-4


def read_handle_file(path: str | Path, mesh: SourceMesh, frames: int | None = None) -> HandleTracks:
    """Read a handle file and check it against its mesh; `frames` overrides the file's number of frames.

    Raises HandleError that names the file and the first fault.
    """
    path = Path(path)
    tree = _parse(path)
    try:
        tracks = _tracks(tree, mesh)
        if frames is not None:
            tracks = replace(tracks, frames=frames)
        tracks.validate(mesh.vertices)
        _check_first_frame(tracks, mesh)
    except HandleError as error:
        raise HandleError(f"{path.name}: {error}") from None
    return tracks


def write_handle_file(path: Path, tracks: HandleTracks, mesh: SourceMesh) -> None:
    """Write a file for `read_handle_file` with the same mesh. Raises HandleError where it cannot be written."""
    entries = []
    digits = 7 - int(np.floor(np.log10(mesh.size)))
    for handle in tracks.handles:
        record = {name: value for name, value in handle_record(handle).items() if value or name == "vertex"}
        for name in ("keys", "turns", "easing"):
            if name in record:
                record[name] = {int(frame): value for frame, value in record[name].items()}
        if "keys" in record:
            places = {frame: np.asarray(at) + mesh.origin for frame, at in record["keys"].items()}
            record["keys"] = {frame: np.round(at, digits).tolist() for frame, at in places.items()}
        entries.append(record)
    tree = {"frames": tracks.frames, "fps": tracks.fps, "handles": entries}
    text = yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"), HandleError)


class _StrictLoader(FastLoader):  # type: ignore[misc]
    """Safe YAML in which a repeated key is an error, not a silent choice of the last one."""


def _unique_mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        key = str(key_node.value)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise HandleError(f"the key {key!r} appears twice near line {line}; remove one.")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        text = utf8(read_within(path, 4 * MAX_YAML_BYTES)).decode("utf-8")  # UTF-32 takes four bytes a letter
    except BudgetError as error:
        raise HandleError(f"{path.name} {error}; a handle file has up to 64 handles.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise HandleError(f"The handle file {path} cannot be read ({reason}); check the path.") from error
    try:
        tree = parse_yaml(text, _StrictLoader)
    except HandleError as error:
        raise HandleError(f"{path.name}: {error}") from None
    except BudgetError as error:
        raise HandleError(f"{path.name} {error}.") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" near line {mark.line + 1}" if mark else ""
        raise HandleError(f"{path.name} is not valid YAML{where}; correct it.") from error
    if not isinstance(tree, dict):
        empty = "is empty" if tree is None else "has no names and values at its top level"
        raise HandleError(f"{path.name} {empty}; it needs 'handles:' with one entry per handle.")
    return tree


def _tracks(tree: Mapping[str, Any], mesh: SourceMesh) -> HandleTracks:
    _check_keys(tree, _TOP_KEYS, "")
    entries = tree.get("handles")
    if not isinstance(entries, list):
        raise HandleError("it needs 'handles:' with a list of handles, each starting with '- vertex: N'.")
    handles = tuple(_handle(entry, number, mesh) for number, entry in enumerate(entries, start=1))
    defaults = HandleTracks(())
    frames = _whole(tree.get("frames", defaults.frames), "frames")
    fps = _number(tree.get("fps", defaults.fps), "fps")
    return HandleTracks(handles, frames=frames, fps=fps)


def _handle(entry: Any, number: int, mesh: SourceMesh) -> Handle:
    where = f"handle {number}"
    if not isinstance(entry, dict):
        raise HandleError(f"{where} must contain names and values, such as 'vertex: 12'.")
    _check_keys(entry, _HANDLE_KEYS, f"{where}: ")
    if ("vertex" in entry) == ("position" in entry):
        raise HandleError(f"{where} needs either a vertex or a position (not both).")
    if "vertex" in entry:
        vertex = _whole(entry["vertex"], f"{where}: vertex")
    else:
        vertex = _nearest_vertex(_point(entry["position"], f"{where}: position") - mesh.origin, mesh)
    hold = _flag(entry.get("hold", False), f"{where}: hold")
    pinned = _flag(entry.get("pinned", False), f"{where}: pinned")
    keys = entry.get("keys") or {}
    if not isinstance(keys, dict):
        raise HandleError(f"{where}: keys must be written as {{frame: [x, y, z], ...}}.")
    if pinned and keys:
        raise HandleError(f"{where} is pinned and has keys; remove one of the two.")
    points = {_whole(frame, f"{where}: the frame of a key"): at for frame, at in keys.items()}
    return Handle(
        vertex=vertex,
        keys={frame: _point(at, f"{where}: the key at frame {frame}") - mesh.origin for frame, at in points.items()},
        hold=hold,
        pinned=pinned,
        name=_text(entry.get("name", ""), f"{where}: name"),
        pins=_pins(entry.get("pins") or [], where),
        easing=_easing(entry.get("easing") or {}, points, where),
        turns=_turns(entry.get("turns") or {}, points, where),
        region=_region(entry.get("region") or [], vertex, mesh, f"{where}: region"),
    )


def _pins(value: Any, where: str) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or any(not isinstance(pin, list) or len(pin) != 2 for pin in value):
        raise HandleError(f"{where}: pins must be written as [[first frame, last frame], ...].")
    return tuple((_whole(a, f"{where}: a frame of a pin"), _whole(b, f"{where}: a frame of a pin")) for a, b in value)


def _easing(value: Any, keys: Mapping[int, Any], where: str) -> dict[int, Easing]:
    if not isinstance(value, dict):
        raise HandleError(f"{where}: easing must be written as {{frame: smooth, ...}}.")
    found = {}
    for frame, kind in value.items():
        if _whole(frame, f"{where}: the frame of an easing") not in (0, *keys):
            raise HandleError(f"{where}: an easing starts at frame {frame}, where it has no key.")
        try:
            found[frame] = easing_from(kind)
        except HandleError as error:
            raise HandleError(f"{where}: {error}") from None
    return found


def _turns(value: Any, keys: Mapping[int, Any], where: str) -> dict[int, NDArray[np.float64]]:
    if not isinstance(value, dict):
        raise HandleError(f"{where}: turns must be written as {{frame: [x, y, z], ...}}, an axis times degrees.")
    for frame in value:
        if _whole(frame, f"{where}: the frame of a turn") not in keys:
            raise HandleError(f"{where}: there is a turn at frame {frame}, where it has no key.")
    return {frame: _point(turn, f"{where}: the turn at frame {frame}") for frame, turn in value.items()}


def _region(value: Any, vertex: int, mesh: SourceMesh, what: str) -> NDArray[np.int64]:
    if isinstance(value, list):
        return np.array([_whole(item, f"{what}: a vertex") for item in value], dtype=np.int64)
    reach = _number(value, what)
    if not 0 <= vertex < len(mesh.vertices):
        return NO_REGION  # a later check reports it
    return np.flatnonzero(np.linalg.norm(mesh.vertices - mesh.vertices[vertex], axis=1) <= reach)


def _check_first_frame(tracks: HandleTracks, mesh: SourceMesh) -> None:
    for handle in tracks.handles:
        at = handle.keys.get(0)
        if at is not None and np.abs(at - mesh.vertices[handle.vertex]).max() > _REST_TOLERANCE * mesh.size:
            raise HandleError(
                f"the handle at vertex {handle.vertex} has a key at frame 0, which always shows the mesh unchanged; "
                "move the key to a later frame."
            )


def _check_keys(tree: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    for key in tree:
        if key not in known:
            raise HandleError(where + unknown_key(str(key), str(key), known))


def _nearest_vertex(position: NDArray[np.float64], mesh: SourceMesh) -> int:
    return int(np.square(mesh.vertices.astype(np.float64) - position).sum(axis=1).argmin())


def _whole(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise HandleError(f"{what} must be a whole number, not {value!r}.")
    return value


def _number(value: Any, what: str) -> float:
    value = number_in(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise HandleError(f"{what} must be a number, not {value!r}.")
    try:
        return float(value)
    except OverflowError:
        raise HandleError(f"{what} is too large.") from None


def _point(value: Any, what: str) -> NDArray[np.float64]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise HandleError(f"{what} needs three numbers, [x, y, z].")
    point = np.array([_number(item, what) for item in value])
    if not np.isfinite(point).all():
        raise HandleError(f"{what} is not a finite number.")
    return point


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise HandleError(f"{what} must be true or false, not {value!r}.")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise HandleError(f"{what} must be text, not {value!r}.")
    return value
