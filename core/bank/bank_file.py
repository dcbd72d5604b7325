"""A bank of motions as one file: safetensors with a JSON header, lengths and rotations as 16-bit integers.

Normals of a closed surface are not stored, as its triangles give them. Clips are stored at `STORED_FPS`, half the rate
of the rigs, and interpolated smoothly when they are played. Of each quaternion the three smallest components are
stored, which bounds the error by 1e-4 radians.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from core.atomic import write_atomically
from core.bank.shape import BankClip, BankShape, Floats
from core.errors import DataError
from core.geometry.sampling import vertex_normals
from core.quaternions import continuous

FORMAT = "m2v-bank"
VERSION = 1
STORED_FPS = 12.0
MOST_BYTES = 1 << 30
MOST_VERTICES = 1 << 16  # of a surface
PLACE_RANGE = 4.0  # places are stored within this many sizes from the middle


class Listed(NamedTuple):
    """A shape's entry in a bank file's header, without its motions."""

    name: str
    pack: str
    category: str
    author: str
    clips: tuple[tuple[str, str, int], ...]  # name, behaviour, frames


def read_contents(path: str | Path) -> list[Listed]:
    """The entries of a bank file, read from its header alone. Raises DataError when it is missing or damaged."""
    path = Path(path)
    try:
        _check_regular(path)
        with safe_open(str(path), framework="np") as handle:
            shapes = json.loads((handle.metadata() or {})["shapes"])
        result = []
        for shape in shapes:
            clips = tuple((str(name), str(behaviour), int(frames)) for name, behaviour, frames, _ in shape["clips"])
            name, pack, category, author = (str(shape[key]) for key in ("name", "pack", "category", "author"))
            result.append(Listed(name, pack, category, author, clips))
        return result
    except Exception:  # whatever safetensors and json raise, or a value of another kind
        raise DataError(f"{path.name} is damaged or not a bank of motions; build it again.") from None


def _check_regular(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise OSError("a pipe could block forever")


def write_bank(path: str | Path, shapes: Iterable[BankShape]) -> None:
    """Write shapes atomically; raises DataError on disk errors."""
    every = list(shapes)
    headers, nodes, normals, index, weight, turns, largest, places, descriptors = ([] for _ in range(9))
    skeletons = [shape for shape in every if len(shape.parents)]
    for shape in every:
        clips = []
        for clip in shape.clips:
            clips.append([clip.name, clip.behaviour, clip.frames, clip.period])
            big = np.abs(clip.quaternions).argmax(axis=-1)
            positive = clip.quaternions * np.sign(np.take_along_axis(clip.quaternions, big[..., None], -1))
            rest = np.arange(3) + (np.arange(3) >= big[..., None])
            turns.append(_pack(np.take_along_axis(positive, rest, -1) * np.sqrt(2)).reshape(-1))
            largest.append(big.astype(np.uint8).reshape(-1))
            places.append(_pack(clip.places / PLACE_RANGE).reshape(-1))
        headers.append(
            {
                "name": shape.name,
                "category": shape.category,
                "author": shape.author,
                "licence": shape.licence,
                "pack": shape.pack,
                "parts": shape.part_names,
                "nodes": len(shape.nodes),
                "heading": shape.heading,
                "described_by": shape.described_by,
                "source": shape.source,
                "clips": clips,
                "faces": len(shape.faces),
                "joints": len(shape.parents),
            }
        )
        nodes.append(_pack(shape.nodes))
        if not len(shape.faces):  # a surface has its own
            normals.append((shape.normals * 127).round().astype(np.int8))
        index.append(shape.part_index)
        weight.append((shape.part_weight * 255).round().astype(np.uint8))
        descriptors.append((shape.descriptors * 127).round().astype(np.int8))
    if not every:
        raise DataError("None of these models is animated, so the bank would be empty; give animated models.")
    tensors = {
        "nodes": np.concatenate(nodes),
        "normals": np.concatenate([np.zeros((0, 3), np.int8), *normals]),
        "part_index": _least_integers(np.concatenate(index)),
        "part_weight": np.concatenate(weight),
        "turns": np.concatenate(turns),
        "largest": np.concatenate(largest),
        "places": np.concatenate(places),
        "descriptors": np.concatenate(descriptors, axis=1),
    }
    if skeletons:
        tensors["parents"] = np.concatenate([shape.parents for shape in skeletons]).astype(np.int16)
        tensors["joints"] = np.concatenate([_pack(shape.joints / PLACE_RANGE) for shape in skeletons])
    if any(len(shape.faces) for shape in every):
        if max(len(shape.nodes) for shape in every) > MOST_VERTICES:
            raise DataError(f"A surface of the bank has more than {MOST_VERTICES} vertices; simplify it first.")
        tensors["faces"] = np.concatenate([shape.faces for shape in every]).astype(np.uint16)
    header = {"format": FORMAT, "version": str(VERSION), "shapes": json.dumps(headers)}
    contiguous = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    write_atomically(Path(path), lambda temporary: temporary.write_bytes(save(contiguous, header)), DataError)


def read_bank(path: str | Path) -> list[BankShape]:
    """Every shape of a bank file. Raises DataError when it is missing, damaged or of another version."""
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path.name} is larger than 1 GB, more than any bank of motions; give another file.")
        _check_regular(path)
        with safe_open(str(path), framework="np") as handle:
            header = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError:
        raise DataError(f"There is no bank of motions at {path}; build one with 'm2v bank build'.") from None
    except (SafetensorError, OSError, ValueError):
        raise DataError(f"{path.name} is damaged or not a bank of motions; build it again.") from None
    if header.get("format") != FORMAT or header.get("version") != str(VERSION):
        raise DataError(f"{path.name} is not a bank of motions of this version; build it again with 'm2v bank build'.")
    try:
        return _shapes(json.loads(header["shapes"]), tensors)
    except Exception as error:  # values of another kind, nested too deeply, out of range
        raise DataError(f"{path.name} is damaged ({type(error).__name__}); build it again.") from None


def _shapes(headers: list[dict[str, Any]], tensors: dict[str, NDArray[Any]]) -> list[BankShape]:
    result, first, frame, triangle, joint, bare = [], 0, 0, 0, 0, 0
    above, joints = tensors.get("parents", np.zeros(0, np.int16)), tensors.get("joints", np.zeros((0, 3), np.int16))
    corners = tensors.get("faces", np.zeros((0, 3), np.uint16)).astype(np.int32)
    turns = tensors["turns"].astype(np.float32) / (32767 * np.sqrt(2))
    places = tensors["places"].astype(np.float32) * (PLACE_RANGE / 32767)
    for info in headers:
        rows = slice(first, first + int(info["nodes"]))
        first = rows.stop
        parts, clips = len(info["parts"]), []
        triangles = corners[triangle : triangle + int(info.get("faces", 0))]
        triangle += int(info.get("faces", 0))
        if triangles.max(initial=-1) >= int(info["nodes"]):
            raise ValueError("triangles of vertices that are not there")
        nodes = tensors["nodes"][rows].astype(np.float32) / 32767
        if len(triangles):
            normals: Floats = vertex_normals(nodes, triangles).astype(np.float32)
        else:
            normals = tensors["normals"][bare : bare + len(nodes)].astype(np.float32) / 127
            bare += len(nodes)
            if len(normals) != len(nodes):
                raise ValueError("nodes without normals")
        hung = slice(joint, joint + int(info.get("joints", 0)))
        joint = hung.stop
        if hung.stop > hung.start and not _one_tree(above[hung], parts):
            raise ValueError("joints that are not connected")
        for name, behaviour, frames, period in info["clips"]:
            span = slice(frame, frame + frames * parts)
            frame = span.stop
            three = turns[3 * span.start : 3 * span.stop].reshape(frames, parts, 3)
            big = tensors["largest"][span].reshape(frames, parts).astype(np.int64)
            quaternions = np.empty((frames, parts, 4), np.float32)
            rest = np.arange(3) + (np.arange(3) >= big[..., None])
            np.put_along_axis(quaternions, rest, three, -1)
            whole = np.sqrt((1 - np.square(three).sum(axis=-1, keepdims=True)).clip(0))
            np.put_along_axis(quaternions, big[..., None], whole, -1)
            clips.append(
                BankClip(
                    str(name),
                    str(behaviour),
                    continuous(quaternions).astype(np.float32),
                    places[3 * span.start : 3 * span.stop].reshape(frames, parts, 3),
                    float(period),
                )
            )
        if not clips or not parts or tensors["part_index"][rows].max(initial=0) >= parts:
            raise ValueError("a shape without clips or parts")
        result.append(
            BankShape(
                str(info["name"]),
                str(info["category"]),
                str(info["author"]),
                str(info["licence"]),
                nodes,
                normals,
                tuple(map(str, info["parts"])),
                tensors["part_index"][rows].astype(np.int16),
                tensors["part_weight"][rows].astype(np.float32) / 255,
                tuple(clips),
                str(info["pack"]),
                float(info["heading"]),
                tensors["descriptors"][:, rows].astype(np.float32) / 127,
                str(info.get("described_by", "")),
                str(info.get("source", "")),
                triangles,
                above[hung].astype(np.int16),
                joints[hung].astype(np.float32) * (PLACE_RANGE / 32767),
            )
        )
    fit = first == len(tensors["nodes"]) and 3 * frame == len(places) and triangle == len(corners)
    if not fit or bare != len(tensors["normals"]) or joint != len(above) or joint != len(joints):
        raise ValueError("lengths that do not fit")
    return result


def _one_tree(parents: NDArray[Any], parts: int) -> bool:
    """True when parents [J] lead from each of this many parts to one root."""
    if len(parents) != parts or (parents >= parts).any() or (parents < 0).sum() != 1:
        return False
    reached = parents.astype(np.int64)
    for _ in range(parts):
        reached = np.where(reached < 0, -1, parents[reached])
    return bool((reached < 0).all())


def _least_integers(values: NDArray[Any]) -> NDArray[Any]:
    """Non-negative integers in the smallest type."""
    return values.astype(np.uint8 if values.max(initial=0) < 256 else np.int16)


def _pack(values: NDArray[Any]) -> NDArray[np.int16]:
    result: NDArray[np.int16] = (np.clip(values, -1, 1) * 32767).round().astype(np.int16)
    return result
