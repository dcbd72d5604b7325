"""Reads USD in a separate process, since its library may exhaust memory, hang or crash on damaged files.

`read_usd_apart(path)` starts `python -m core.io.usd.usd_apart PATH OUT`, which writes the mesh's arrays to OUT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from core.assets import search_path
from core.errors import MeshError
from core.io.arrays import SkippedError, read_arrays
from core.io.material_record import material_from_record, material_record
from core.io.usd.usd_mesh import read_usd_mesh
from core.sequence import MeshPart, SourceMesh, frozen_array

PATIENCE = 100.0  # seconds of wall-clock time for a file; large ones get more
REFUSED = 3  # exit code; the message is on the standard output
_ARRAYS = ("vertices", "faces", "file_to_vertex", "uv", "uv1", "colors")


def read_usd_apart(path: Path) -> SourceMesh:
    """The mesh of `read_usd_mesh`. Raises MeshError, also if the process crashes or exceeds its time or memory."""
    with tempfile.TemporaryDirectory(prefix="m2v-usd-") as folder:
        out = Path(folder) / "mesh.npz"
        environment = {**os.environ, "PYTHONPATH": search_path()}
        command = [sys.executable, "-m", "core.io.usd.usd_apart", str(path), str(out)]
        # Generous, for busy machines: the process limits its own CPU time.
        seconds = PATIENCE + path.stat().st_size / 4e6
        try:
            done = subprocess.run(command, capture_output=True, env=environment, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise MeshError(
                f"{path.name} takes too long to read, so it is probably damaged; export it again."
            ) from None
        if done.returncode == REFUSED:
            raise MeshError(done.stdout.decode("utf-8", errors="replace").strip())
        if done.returncode != 0 or not out.is_file():
            raise MeshError(f"{path.name} is damaged or too large to be read; export it again.")
        return _unpacked(out, path)


def _unpacked(out: Path, path: Path) -> SourceMesh:
    try:
        arrays = read_arrays(out, text=True)
        about = json.loads(str(arrays["about"]))
    except (SkippedError, KeyError, ValueError) as error:
        raise MeshError(f"{path.name} is too large to be read; reduce (decimate) it first.") from error
    images = [arrays[f"picture{number}"].tobytes() for number in range(about["pictures"])]
    parts = []
    for number, (name, record) in enumerate(about["parts"]):
        material = None if record is None else material_from_record(record, images)
        faces = frozen_array(arrays[f"part{number}"], np.int32, (None, 3), "faces")
        parts.append(MeshPart(name, faces, material, arrays.get(f"corner_uv{number}")))
    x, y, z = about["origin"]
    values: dict[str, Any] = {name: arrays.get(name) for name in _ARRAYS}
    return SourceMesh(
        name=about["name"], parts=tuple(parts), up_axis=about["up_axis"], path=str(path), notes=tuple(about["notes"]),
        origin=(x, y, z), **values,
    )  # fmt: skip


def _pack(mesh: SourceMesh, out: Path) -> None:
    arrays: dict[str, Any] = {name: value for name in _ARRAYS if (value := getattr(mesh, name)) is not None}
    images: list[bytes] = []
    parts = []
    for number, part in enumerate(mesh.parts):
        arrays[f"part{number}"] = part.faces
        if part.corner_uv is not None:
            arrays[f"corner_uv{number}"] = part.corner_uv
        parts.append((part.name, None if part.material is None else material_record(part.material, images)))
    arrays |= {f"picture{number}": np.frombuffer(data, np.uint8) for number, data in enumerate(images)}
    about = {"name": mesh.name, "up_axis": mesh.up_axis, "notes": mesh.notes, "origin": mesh.origin}
    arrays["about"] = np.array(json.dumps({**about, "parts": parts, "pictures": len(images)}))
    np.savez(out, **arrays)


def _limit(size: int) -> None:
    """Limit this process's memory and CPU time by the size of the file, where the system can (not on Windows)."""
    try:
        import resource
    except ImportError:
        return
    memory = (3 << 29) + 12 * size
    seconds = 4 + size // 4_000_000
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    """Read argv[1] and write argv[2]. For a file that cannot be read, print the reason and return REFUSED."""
    path, out = Path(sys.argv[1]), Path(sys.argv[2])
    _limit(path.stat().st_size)
    try:
        _pack(read_usd_mesh(path), out)
    except MeshError as error:
        print(error)
        return REFUSED
    except MemoryError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
