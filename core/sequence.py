"""The values that travel through the library: meshes, sequences, handles, normalisation.

Everything here is immutable and numpy only, so that the editor can use it before torch is loaded. Arrays
are made read-only on construction. Frames are numbered from 0; frame 0 is the reference (rest) shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core import handle_paths
from core.errors import HandleError, MeshError
from core.key_easing import Easing

MIN_FRAMES = 2
MAX_FRAMES = 1000
NO_REGION = np.zeros(0, dtype=np.int64)
# A target farther than this many times the longest side is a typing error.
MAX_TARGET_DISTANCE = 100.0
BOX_SIDE = 1.1  # of the box in normalised space that occupancy is learned and extracted in


def frozen_array(values: ArrayLike, dtype: type, shape: tuple[int | None, ...], name: str) -> NDArray:
    """`values` as a read-only contiguous array, copied unless they are; raises MeshError if the shape does not fit."""
    array: NDArray = np.asarray(values, dtype=dtype, order="C")
    if not array.flags.owndata or (array is values and array.flags.writeable):
        array = array.copy()
    if array.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, array.shape, strict=True)):
        wanted = "x".join("any" if side is None else str(side) for side in shape)
        raise MeshError(f"{name} has shape {array.shape}, expected {wanted}.")
    array.setflags(write=False)
    return array


@dataclass(frozen=True)
class Texture:
    """An image with the input file's bytes, and its placement on the surface."""

    data: bytes = field(repr=False)  # encoded: PNG or JPEG, from glTF also WebP or KTX2
    mime: str = "image/png"
    wrap: tuple[str, str] = ("repeat", "repeat")  # along u and v: repeat, clamp or mirror
    nearest: bool = False  # not filtered, as pixel art is
    uv_set: int = 0  # 0: SourceMesh.uv, 1: SourceMesh.uv1


@dataclass(frozen=True)
class Material:
    """A surface's look, kept from the input file for export (glTF metallic-roughness terms).

    Factors multiply their textures. `extensions` is JSON text of glTF material extensions, for formats that support
    them; its textures are indices into `extension_textures`.
    """

    name: str = ""
    base_color: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 1.0)
    metallic: float = 0.0
    roughness: float = 0.8
    emissive: tuple[float, float, float] = (0.0, 0.0, 0.0)
    base_color_texture: Texture | None = None
    metallic_roughness_texture: Texture | None = None  # roughness in green, metal in blue
    normal_texture: Texture | None = None
    occlusion_texture: Texture | None = None  # in red
    emissive_texture: Texture | None = None
    normal_scale: float = 1.0
    occlusion_strength: float = 1.0
    double_sided: bool = False
    alpha_mode: Literal["OPAQUE", "MASK", "BLEND"] = "OPAQUE"
    alpha_cutoff: float = 0.5  # of MASK
    unlit: bool = False
    extensions: str = ""
    extension_textures: tuple[Texture, ...] = ()


@dataclass(frozen=True, eq=False)
class MeshPart:
    """A run of faces of the file's own mesh that shares one material."""

    name: str
    faces: NDArray[np.int32]  # [F_part, 3], into the file's vertices
    material: Material | None = None
    # [F_part, 3, 2] where a vertex has several texture coordinates (OBJ seams), else None: SourceMesh.uv says it all.
    corner_uv: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class SourceMesh:
    """A mesh to animate (welded) together with its file's data (for export).

    `vertices` [V, 3] float32 and `faces` [F, 3] int32 are the welded surface in the file's units and axes, relative to
    `origin`, which is 0 unless the coordinates are too far from 0 for single precision. The file's own vertices are
    `vertices[file_to_vertex]` ([W] int32); `parts` index those. Handles and sequences always use welded vertex indices
    and positions relative to `origin`; handle files and exports use absolute positions.
    """

    name: str
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    file_to_vertex: NDArray[np.int32]
    parts: tuple[MeshPart, ...]
    uv: NDArray[np.float32] | None = None  # [W, 2], origin at the bottom left (OBJ convention)
    up_axis: str = "y"  # "x", "y" or "z"
    path: str = ""
    notes: tuple[str, ...] = ()  # what the reader repaired or dropped, one sentence each
    uv1: NDArray[np.float32] | None = None  # [W, 2], for textures that lie differently from the first
    colors: NDArray[np.float32] | None = None  # [W, 4] red, green, blue, alpha from 0 to 1, the file's own numbers
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    clips: tuple[str, ...] = ()  # names of the file's animations, which are read separately

    @cached_property  # needed in every frame drawn
    def size(self) -> float:
        """Longest side of the bounding box, in the file's units."""
        return float(np.ptp(self.vertices, axis=0).max())


@dataclass(frozen=True, eq=False)
class Normalization:
    """The map from a file's units to normalised space: box centre at 0, longest side 1, Y up.

    normalised = (rotation @ (p - center)) / scale; `rotation` is a proper axis permutation.
    """

    center: NDArray[np.float64]  # [3]
    scale: float
    up_axis: str = "y"

    @classmethod
    def of(cls, vertices: ArrayLike, up_axis: str = "y") -> Normalization:
        """Fit to vertices [V, 3] of the reference frame; raises MeshError when empty, not finite or of zero size."""
        points = np.asarray(vertices, dtype=np.float64)
        if points.size == 0:
            raise MeshError("The mesh has no vertices, so it has no size; open another file.")
        if not np.isfinite(points).all():
            raise MeshError("The mesh has vertices that are not finite numbers; repair it in a modelling tool.")
        low, high = points.min(0), points.max(0)
        scale = float((high - low).max())
        if scale <= 0.0:
            raise MeshError("All vertices coincide, so the mesh has no size; open another file.")
        return cls(center=(low + high) / 2, scale=scale, up_axis=up_axis)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """[3, 3] rotation from the file's axes to Y up."""
        if self.up_axis == "y":
            return np.eye(3)
        if self.up_axis == "z":  # x stays, z becomes y
            return np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
        if self.up_axis == "x":  # z stays, x becomes y
            return np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
        raise MeshError(f"The up axis is {self.up_axis!r}, but it must be x, y or z.")

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """File units to normalised space; any shape that ends in 3."""
        return ((np.asarray(points, dtype=np.float64) - self.center) @ self.rotation.T) / self.scale

    def invert(self, points: ArrayLike) -> NDArray[np.float64]:
        """Normalised space to file units; any shape that ends in 3."""
        return (np.asarray(points, dtype=np.float64) * self.scale) @ self.rotation + self.center


IDENTITY = Normalization(center=np.zeros(3), scale=1.0)


@dataclass(frozen=True, eq=False)
class Handle:
    """One surface vertex with its target positions, in the source mesh's units.

    `keys` maps a frame to a position [3]. Between keys the motion is free, unless `hold`: then it is
    linear between keys (and constant after the last). `pinned` keeps the rest position in every frame.

    `pins` are ranges of frames (first, last) in which it stays at the key of the first frame, or else at the key before
    or the rest position. `easing` maps frame 0 or a key's frame to the easing towards the next key, which then is not
    free. `turns` maps a key's frame to a rotation of the surroundings from the rest pose, an axis [3] times degrees;
    without one they are free, except a `region`, which keeps its rest rotation.
    """

    vertex: int
    keys: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    hold: bool = False
    pinned: bool = False
    name: str = ""
    pins: tuple[tuple[int, int], ...] = ()
    easing: Mapping[int, Easing] = field(default_factory=dict)
    turns: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    # Further vertices [N] that move with it as one rigid piece.
    region: NDArray[np.int64] = field(default_factory=lambda: NO_REGION)

    def __post_init__(self) -> None:
        keys = handle_paths.checked_keys(self.keys, self.vertex)
        easing = {frame: self.easing[frame] for frame in sorted(self.easing) if frame == 0 or frame in keys}
        turned = {frame: self.turns[frame] for frame in sorted(self.turns) if frame in keys}
        object.__setattr__(self, "keys", MappingProxyType(keys))
        object.__setattr__(self, "pins", handle_paths.checked_pins(self.pins, self.vertex))
        object.__setattr__(self, "easing", MappingProxyType(easing))
        object.__setattr__(self, "turns", MappingProxyType(handle_paths.checked_turns(turned, self.vertex)))
        region = np.setdiff1d(np.asarray(self.region, dtype=np.int64).reshape(-1), [self.vertex])
        region.setflags(write=False)
        object.__setattr__(self, "region", region)

    def path(self, rest: ArrayLike, frames: int) -> handle_paths.HandlePath:
        """Its path over `frames` frames from its rest position [3]."""
        place, unturned = np.asarray(rest, dtype=np.float64), handle_paths.quaternion_of_degrees(np.zeros(3))
        usual = unturned if len(self.region) else None
        if self.pinned:
            return handle_paths.path_through({0: handle_paths.Stop(place, usual)}, frames, (), {}, hold=True)
        stops = {0: handle_paths.Stop(place, unturned)}
        for frame, target in self.keys.items():
            if 0 < frame < frames:
                turn = handle_paths.quaternion_of_degrees(self.turns[frame]) if frame in self.turns else usual
                stops[frame] = handle_paths.Stop(target, turn)
        return handle_paths.path_through(stops, frames, self.pins, self.easing, self.hold)


@dataclass(frozen=True, eq=False)
class HandleTracks:
    """All handles of one animation with its number of frames and frames per second."""

    handles: tuple[Handle, ...]
    frames: int = 17
    fps: float = 24.0

    def validate(self, rest: NDArray) -> None:
        """Check against rest vertices [V, 3] (source units); raises HandleError with the first fault."""
        if not MIN_FRAMES <= self.frames <= MAX_FRAMES:
            raise HandleError(
                f"The number of frames, {self.frames}, is out of range; give {MIN_FRAMES} to {MAX_FRAMES}, "
                "or make the animation in parts."
            )
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise HandleError(f"{self.fps} frames per second is out of range; give a positive number.")
        size = float(np.ptp(rest, axis=0).max())
        seen: set[int] = set()
        for handle in self.handles:
            where = f"Handle at vertex {handle.vertex}"
            if not 0 <= handle.vertex < len(rest):
                raise HandleError(f"{where}: the mesh has vertices 0 to {len(rest) - 1} only.")
            if handle.vertex in seen:
                raise HandleError(f"{where}: this vertex already has a handle; merge them.")
            seen.add(handle.vertex)
            if len(handle.region) and not 0 <= handle.region[0] <= handle.region[-1] < len(rest):
                raise HandleError(f"{where}: its region refers to vertices beyond {len(rest) - 1}, the last one.")
            if not (handle.pinned or handle.keys or handle.pins):
                raise HandleError(f"{where}: it has no keys; add a key or pin it.")
            if handle.pins and handle.pins[-1][1] >= self.frames:
                raise HandleError(f"{where}: a pin ends at frame {handle.pins[-1][1]} of {self.frames} frames.")
            for frame, position in handle.keys.items():
                if not 0 <= frame < self.frames:
                    raise HandleError(f"{where}: its key is at frame {frame}, but frames are 0 to {self.frames - 1}.")
                if not np.isfinite(position).all():
                    raise HandleError(f"{where}: the position at frame {frame} is not a finite number.")
                if np.abs(position - rest[handle.vertex]).max() > MAX_TARGET_DISTANCE * size:
                    raise HandleError(
                        f"{where}: the position at frame {frame} is over {MAX_TARGET_DISTANCE:.0f} times the "
                        "shape's size away; check its units."
                    )

    def constraints(self, rest: NDArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Targets [K, T, 3] in source units and the mask [K, T] of frames where they are given.

        Frame 0 is always the rest pose and given, whatever a key at frame 0 says.
        """
        targets = np.zeros((len(self.handles), self.frames, 3))
        keyframe_mask = np.zeros((len(self.handles), self.frames), dtype=bool)
        for row, handle in enumerate(self.handles):
            targets[row], keyframe_mask[row] = handle.path(rest[handle.vertex], self.frames)[:2]
        return targets, keyframe_mask

    def turns(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Unit quaternions [K, T, 4] (x, y, z, w) from the rest pose on, and the mask [K, T] of frames with one.

        Handles without a region and without turns have none.
        """
        paths = [handle.path(np.zeros(3), self.frames) for handle in self.handles]
        with_turn = [bool(handle.turns) or len(handle.region) > 0 for handle in self.handles]
        masks = [path.turned & turns for path, turns in zip(paths, with_turn, strict=True)]
        turns = np.array([path.turns for path in paths]).reshape(len(paths), self.frames, 4)
        return turns, np.array(masks, dtype=bool).reshape(len(paths), self.frames)


@dataclass(frozen=True, eq=False)
class MeshSequence:
    """A tracked mesh in motion: vertices [T, V, 3] float32 counted from `origin`, one topology faces [F, 3] int32."""

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    fps: float = 24.0
    uv: NDArray[np.float32] | None = None
    handles: HandleTracks | None = None
    name: str = "motion"
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vertices", frozen_array(self.vertices, np.float32, (None, None, 3), "vertices"))
        object.__setattr__(self, "faces", frozen_array(self.faces, np.int32, (None, 3), "faces"))
        if not all(np.isfinite(frame).all() for frame in self.vertices):
            raise MeshError("The sequence has vertices that are not finite numbers.")
        if len(self.faces) and (self.faces.min() < 0 or self.faces.max() >= self.vertices.shape[1]):
            raise MeshError(f"The faces refer to vertices outside 0 to {self.vertices.shape[1] - 1}.")

    @property
    def frames(self) -> int:
        return self.vertices.shape[0]


@dataclass(frozen=True, eq=False)
class ScanSequence:
    """Observations of a moving shape, frame by frame, in the scanner's units and axes, relative to `origin`.

    `points` [N_t, 3] per frame: measured points, for voxels the centres of occupied cells, for images empty. `tracked`
    says that row i is the same surface point in every frame. `dense` holds grids [T, R, R, R] of voxels (index order x,
    y, z), which fill the box of side `voxel_side` around `voxel_center`, and pixels [T, H, W, 3] of images.
    """

    points: tuple[NDArray[np.float32], ...]
    fps: float = 24.0
    tracked: bool = False
    name: str = "scan"
    modality: str = "points"  # the name of a kind in core.observation_kinds
    partial: bool = False  # large parts of the surface are unseen, as from one side
    up_axis: str = "y"
    dense: NDArray | None = None  # further data of each frame, by modality
    voxel_center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    voxel_side: float = BOX_SIDE
    viewpoint: tuple[float, float, float] | None = None  # the camera's position in frame 0, if known
    viewpoints: NDArray[np.float64] | None = None  # [T, 3] its position in each frame, if it moved
    path: str = ""
    notes: tuple[str, ...] = ()  # what the reader skipped or repaired, one sentence each
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)  # 0 unless the coordinates lie too far from it

    @property
    def frames(self) -> int:
        return len(self.points)

    @property
    def voxels(self) -> NDArray[np.bool_] | None:
        return self.dense if self.modality == "voxels" else None

    @property
    def images(self) -> NDArray[np.uint8] | None:
        return self.dense if self.modality == "images" else None
