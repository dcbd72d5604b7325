"""The project's own sequence file, `.npz`: vertices, faces, fps, optional uv and handles_json; never pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import HandleError, MeshError
from core.io.export_clip import ExportClip
from core.sequence import Handle, HandleTracks, MeshSequence, frozen_array


def write_sequence_file(clip: ExportClip, path: Path) -> None:
    """`vertices` float32 [T, V, 3], `faces` int32 [F, 3], `fps`, and `uv` [V, 2] and `handles_json` where known."""
    arrays: dict[str, Any] = {
        "vertices": clip.frames,
        "faces": clip.faces,
        "fps": np.float64(clip.fps),
    }
    if clip.uv is not None:
        arrays["uv"] = np.asarray(clip.uv, dtype=np.float32)
    if clip.handles is not None:
        arrays["handles_json"] = np.array(_handles_to_json(clip.handles))
    with path.open("wb") as file:
        np.savez(file, **arrays)


def read_sequence(path: Path | str) -> MeshSequence:
    """Read a `.npz` sequence file; raises MeshError with what is wrong with the file."""
    path = Path(path)
    if not path.exists():
        raise MeshError(f"{path} does not exist; check the name of the sequence file.")
    if path.is_dir():
        raise MeshError(f"{path} is a folder; give a .npz sequence file.")
    try:
        archive = np.load(path, allow_pickle=False)
        arrays = {name: archive[name] for name in archive.files}
        archive.close()
    except PermissionError:
        raise MeshError(f"{path} cannot be read; check its permissions.") from None
    except Exception as error:  # damaged archives raise whatever zipfile, zlib, struct or numpy's header parser meets
        raise MeshError(f"{path} is damaged, cut short or not a .npz sequence file; export it again.") from error
    try:
        return _sequence(arrays, path.stem)
    except (MeshError, HandleError) as error:
        raise MeshError(f"{path} cannot be used: {error}") from None


def _sequence(arrays: dict[str, NDArray], name: str) -> MeshSequence:
    for key, kinds in (("vertices", "fiu"), ("faces", "iu"), ("fps", "fiu")):
        if key not in arrays:
            raise MeshError(f"It has no {key!r}, which every sequence file has.")
        if arrays[key].dtype.kind not in kinds:
            raise MeshError(f"Its {key!r} has the type {arrays[key].dtype}, which is not possible there.")
    vertices, faces = arrays["vertices"], arrays["faces"]
    if vertices.ndim != 3 or 0 in vertices.shape:
        raise MeshError(f"Its vertices have the shape {vertices.shape}, but frames x vertices x 3 is needed.")
    fps = float(arrays["fps"].flat[0]) if arrays["fps"].size == 1 else 0.0
    if not (np.isfinite(fps) and fps > 0):
        raise MeshError("Its 'fps' is not one positive number.")
    if faces.size and not 0 <= int(faces.min()) <= int(faces.max()) < vertices.shape[1]:
        raise MeshError(f"Its faces name vertices outside 0 to {vertices.shape[1] - 1}.")
    uv = frozen_array(arrays["uv"], np.float32, (vertices.shape[1], 2), "uv") if "uv" in arrays else None
    handles = _handles_from_json(str(arrays["handles_json"])) if "handles_json" in arrays else None
    return MeshSequence(vertices=vertices, faces=faces, fps=fps, uv=uv, handles=handles, name=name)


def _handles_to_json(tracks: HandleTracks) -> str:
    """The layout of the YAML handle file, as JSON."""
    handles = [
        {
            "vertex": handle.vertex,
            "keys": {str(frame): position.tolist() for frame, position in handle.keys.items()},
            "hold": handle.hold,
            "pinned": handle.pinned,
            "name": handle.name,
        }
        for handle in tracks.handles
    ]
    return json.dumps({"frames": tracks.frames, "fps": tracks.fps, "handles": handles})


def _handles_from_json(text: str) -> HandleTracks:
    try:
        data = json.loads(text)
        handles = tuple(
            Handle(
                vertex=int(entry["vertex"]),
                keys={int(frame): np.asarray(place, dtype=np.float64) for frame, place in entry["keys"].items()},
                hold=bool(entry["hold"]),
                pinned=bool(entry["pinned"]),
                name=str(entry["name"]),
            )
            for entry in data["handles"]
        )
        return HandleTracks(handles=handles, frames=int(data["frames"]), fps=float(data["fps"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeshError("Its 'handles_json' cannot be read; remove it or export the sequence again.") from error
