"""Reads and writes the project's sequence file, a `.npz` without pickled objects.

It has vertices, faces and fps, and may have uv, handles_json and origin. Positions, including those of handles, are
relative to `origin` [3], which shapes far from 0 need.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import HandleError, MeshError
from core.handle_record import handle_from_record, handle_record
from core.io.arrays import SkippedError, read_arrays
from core.io.export_clip import ExportClip
from core.io.mesh.mesh_formats import blender_sentence
from core.sequence import HandleTracks, MeshSequence, frozen_array

_ARRAYS = ("vertices", "faces", "fps", "uv", "origin", "handles_json")
_MAX_JSON = 8 << 20


def write_sequence_file(clip: ExportClip, path: Path) -> None:
    """Write `vertices` float32 [T, V, 3], `faces` int32 [F, 3], `fps`, and if known `uv` [V, 2] and `handles_json`."""
    arrays: dict[str, Any] = {"faces": clip.faces, "fps": np.float64(clip.fps)}
    if clip.uv is not None:
        arrays["uv"] = np.asarray(clip.uv, dtype=np.float32)
    if any(clip.origin):
        arrays["origin"] = np.array(clip.origin, dtype=np.float64)
    if clip.handles is not None:
        arrays["handles_json"] = np.array(_handles_to_json(clip.handles))
    with zipfile.ZipFile(path, "w") as archive:  # as numpy writes it, but the frames one by one
        with archive.open("vertices.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": clip.frames.shape}
            np.lib.format.write_array_header_1_0(file, header)
            for frame in clip.frames:
                file.write(np.ascontiguousarray(frame, "<f4").tobytes())
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


def read_sequence(path: Path | str) -> MeshSequence:
    """Read a `.npz` sequence file. Raises MeshError that says what is wrong with it."""
    path = Path(path)
    if sentence := blender_sentence(path):
        raise MeshError(sentence)
    if not path.exists():
        raise MeshError(f"{path} does not exist; check the name of the sequence file.")
    if path.is_dir():
        raise MeshError(f"{path} is a folder; give a .npz sequence file.")
    try:
        arrays = read_arrays(path, _ARRAYS, text=True)
    except SkippedError as error:
        raise MeshError(f"{path} {error}, so it cannot be read as a sequence file; export it again.") from error
    try:
        return _sequence(arrays, path.stem)
    except (MeshError, HandleError) as error:
        raise MeshError(f"{path} cannot be used: {error}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise MeshError(f"{path} is damaged ({type(error).__name__}); export it again.") from error


def _sequence(arrays: dict[str, NDArray], name: str) -> MeshSequence:
    for key, kinds in (("vertices", "fiu"), ("faces", "iu"), ("fps", "fiu")):
        if key not in arrays:
            raise MeshError(f"It has no {key!r}, which every sequence file needs.")
        if arrays[key].dtype.kind not in kinds:
            raise MeshError(f"Its {key!r} has the type {arrays[key].dtype}, which is not allowed there.")
    vertices, faces = arrays["vertices"], arrays["faces"]
    if vertices.ndim != 3 or vertices.shape[2] != 3 or 0 in vertices.shape:
        raise MeshError(f"Its vertices have the shape {vertices.shape}, expected frames x vertices x 3.")
    fps = float(arrays["fps"].flat[0]) if arrays["fps"].size == 1 else 0.0
    if not (np.isfinite(fps) and fps > 0):
        raise MeshError("Its 'fps' is not one positive number.")
    if faces.size and not 0 <= int(faces.min()) <= int(faces.max()) < vertices.shape[1]:
        raise MeshError(f"Its faces refer to vertices outside 0 to {vertices.shape[1] - 1}.")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise MeshError(f"Its faces have the shape {faces.shape}, expected faces x 3.")
    if "uv" in arrays and arrays["uv"].dtype.kind not in "fiu":
        raise MeshError(f"Its 'uv' has the type {arrays['uv'].dtype}, which is not allowed there.")
    origin = arrays.get("origin", np.zeros(3))
    if origin.shape != (3,) or origin.dtype.kind != "f" or not np.isfinite(origin).all():
        raise MeshError("Its 'origin' is not three finite numbers.")
    uv = frozen_array(arrays["uv"], np.float32, (vertices.shape[1], 2), "uv") if "uv" in arrays else None
    if uv is not None and not np.isfinite(uv).all():
        raise MeshError("Its 'uv' has numbers that are not finite.")
    text = arrays.get("handles_json")
    handles = None if text is None else _handles_from_json(str(text), vertices.shape[1])
    x, y, z = origin.tolist()
    return MeshSequence(vertices, faces, fps=fps, uv=uv, handles=handles, name=name, origin=(x, y, z))


def _handles_to_json(tracks: HandleTracks) -> str:
    """The layout of the YAML handle file, as JSON."""
    handles = [handle_record(handle) for handle in tracks.handles]
    return json.dumps({"frames": tracks.frames, "fps": tracks.fps, "handles": handles})


def _handles_from_json(text: str, vertices: int) -> HandleTracks:
    try:
        if len(text) > _MAX_JSON:
            raise ValueError("too long")
        data = json.loads(text)
        handles = tuple(handle_from_record(entry) for entry in data["handles"])
        if any(not 0 <= handle.vertex < vertices for handle in handles):
            raise ValueError("a handle refers to a vertex that does not exist")
        return HandleTracks(handles=handles, frames=int(data["frames"]), fps=float(data["fps"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, HandleError) as error:
        raise MeshError("Its 'handles_json' cannot be read; remove it or export the sequence again.") from error
