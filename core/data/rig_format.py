"""The rig bank's file: what `rig_prepare` writes and `rig_bank` reads (numpy and safetensors only).

One safetensors file. Tensors: `transforms` [X, 12] uint16 with `transform_low` and `transform_step` [Y, 12] per clip
and bone; `counts` [R * P], `bone` [nnz] and `hang` [nnz, 4]: the sparse q of every surface point; `normals` [R * P, 3];
`queries` and `inside`: labelled occupancy queries per reference pose. The header's `m2v` entry is JSON with the
rigs, their clips (name, index in the file, frames, split, cyclic, period in frames) and reference poses.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.atomic import write_atomically
from core.errors import DataError

FORMAT, VERSION = "m2v-rig-bank", 1


def query_box(low: NDArray, high: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box that the 16-bit query coordinates span: the pose's box with a margin of a quarter of its size."""
    margin = 0.25 * np.max(np.asarray(high) - np.asarray(low))
    return np.asarray(low) - margin, np.asarray(high) + margin


def pack(values: NDArray[np.float64]) -> tuple[NDArray[np.uint16], NDArray[np.float32], NDArray[np.float32]]:
    """Values [T, ...] as 16 bits over each column's own range, with its lowest value and step."""
    low, span = values.min(0), np.ptp(values, axis=0)
    packed = ((values - low) / np.where(span > 0, span, 1.0) * 65535).round().astype("<u2")
    return packed, low.astype("<f4"), (span / 65535.0).astype("<f4")


def write_bank(out: Path, tensors: dict[str, NDArray], meta: dict[str, Any]) -> None:
    """Write whole or not at all. Raises DataError where that is impossible."""
    from safetensors import SafetensorError
    from safetensors.numpy import save

    header = {"m2v": json.dumps({"format": FORMAT, "version": VERSION, **meta})}
    try:
        write_atomically(out, lambda temporary: temporary.write_bytes(save(tensors, header)), DataError)
    except SafetensorError as error:
        raise DataError(f"{out} cannot be written ({error}); choose another place.") from None


def read_bank(path: Path) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The header and tensors of a bank. Raises DataError for a damaged file or another one."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DataError(f"{path} does not exist; make it with `m2v prepare rigs FOLDER {path}`.")
    try:
        with safe_open(path, framework="numpy") as bank:
            meta = json.loads((bank.metadata() or {}).get("m2v", "{}"))
            arrays = {key: bank.get_tensor(key) for key in bank.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path} is not a rig bank or is damaged ({error}); prepare the rigs again.") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DataError(f"{path} is not a rig bank; make one with `m2v prepare rigs FOLDER {path}`.")
    if meta.get("version") != VERSION:
        raise DataError(f"{path} is a rig bank of version {meta.get('version')}; prepare the rigs again.")
    return meta, arrays
