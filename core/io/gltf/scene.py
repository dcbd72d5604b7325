"""Reads and poses a glTF scene: nodes, skins, morph targets and animation clips.

Every vertex is bound to bones: the joints of its skin, or its own node if it has none. So all files are posed alike:
`position = sum_k weight_k * bone_k @ (rest + morphs)`, with `bone = joint's world matrix @ inverse bind` (glTF 2.0,
section 3.7.3.3: the transform of a skinned mesh's own node is ignored).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import MeshError
from core.io.gltf.animation import Clip, Track, compose
from core.io.gltf.extensions import INSTANCING, instance_transforms, left_out
from core.io.gltf.file import DAMAGE, GltfFile, Json
from core.io.gltf.material_reader import Look, read_look
from core.io.gltf.primitives import PrimitiveData, attributes_note, read_primitive
from core.io.mesh.source_mesh import build_source_mesh
from core.quaternions import Floats, unit_quaternions
from core.sequence import MeshPart, SourceMesh

MAX_VERTICES = 5_000_000
MAX_PRIMITIVES = 10_000  # each node and instance of a mesh counts
MAX_MORPH_VALUES = 100_000_000  # vertices times targets, since an accessor may be named many times
_TRS = {"translation": 3, "rotation": 4, "scale": 3}


@dataclass(frozen=True, eq=False)
class MorphTarget:
    """Displacements [n, 3] of file vertices `start` to `start + n`, scaled by morph weight number `slot`."""

    slot: int
    start: int
    deltas: Floats


class GltfScene:
    """A file's geometry, bound to bones. The W file vertices are those of all primitives of all mesh nodes, in order.

    Attributes: `rest` [W, 3] in each mesh's own space, `bone_index` and `bone_weight` [W, K] (weights sum to 1),
    `parts` (faces into W, with materials), `uv` and `uv1` [W, 2] or None (origin bottom left), `colors` [W, 4] or None,
    `morphs`, `clips` (in file order), `notes`. Positions are in the file's world space and units. Each instance of a
    node (EXT_mesh_gpu_instancing) is separate geometry; faces mirrored by a node's transform are flipped. Raises
    MeshError for a damaged or too large file.
    """

    def __init__(self, path: str | Path) -> None:
        self.file = GltfFile(path)
        self.path = self.file.path
        self.notes: list[str] = left_out(self.file.json)
        self._looks: dict[int, Look] = {}
        try:
            self._read_nodes()
            self._read_meshes()
            self.clips = tuple(self._read_clip(info, i) for i, info in enumerate(self.file.items("animations")))
        except DAMAGE as error:
            raise self.file.damaged(error) from None
        except MemoryError:
            raise MeshError(f"{self.path.name} is too large for this machine's memory; reduce it.") from None

    # ------------------------------------------------------------------ posing

    @property
    def clip_names(self) -> tuple[str, ...]:
        return tuple(clip.name for clip in self.clips)

    def parent_of(self, node: int) -> int:
        """A node's parent; -1 for a root."""
        return int(self._parent[node])

    def world_matrices(self, clip: int | None = None, times: Floats | None = None) -> Floats:
        """World matrices [T, n, 4, 4] of all nodes at `times` [T], in seconds, of a clip; else of the default pose."""
        when = np.zeros(1) if clip is None or times is None else np.asarray(times, dtype=np.float64)
        local = {name: np.repeat(values[None], len(when), 0) for name, values in self._trs.items()}
        for track in self.clips[clip].tracks if clip is not None else ():
            if track.path in local:
                local[track.path][:, track.node] = track.at(when)
        matrices = compose(local["translation"], local["rotation"], local["scale"])
        for node, matrix in self._fixed.items():
            matrices[:, node] = matrix
        for node in self._order:  # parents come before their children
            if self._parent[node] >= 0:
                matrices[:, node] = matrices[:, self._parent[node]] @ matrices[:, node]
        return matrices

    def bones(self, clip: int | None = None, times: Floats | None = None) -> Floats:
        """Bone matrices [T, J, 4, 4] that take `rest` to world space."""
        return self.world_matrices(clip, times)[:, self.bone_node] @ self.bone_inverse_bind

    def morph_weights(self, clip: int | None = None, times: Floats | None = None) -> Floats:
        """Weights [T, S] of all morph slots at `times` [T] of a clip; without clip the default ones, T = 1."""
        when = np.zeros(1) if clip is None or times is None else np.asarray(times, dtype=np.float64)
        weights = np.repeat(self._morph_defaults[None], len(when), 0)
        for track in self.clips[clip].tracks if clip is not None else ():
            if track.path == "weights" and track.node in self._morph_slots:
                first, count = self._morph_slots[track.node]
                weights[:, first : first + count] = track.at(when)[:, :count]
        return weights

    def positions(self, clip: int | None = None, times: Floats | None = None) -> Floats:
        """World positions [T, W, 3] of all file vertices at `times` [T] of a clip; without clip the default pose."""
        bones, weights = self.bones(clip, times), self.morph_weights(clip, times)
        return np.stack([self.pose(bones[t], weights[t]) for t in range(len(bones))])

    def pose(self, bones: Floats, morph_weights: Floats) -> Floats:
        """World positions [W, 3] under bones [J, 4, 4] and morph weights [S]."""
        rest = self.rest
        if self.morphs:
            rest = rest.copy()
            for morph in self.morphs:
                rest[morph.start : morph.start + len(morph.deltas)] += morph_weights[morph.slot] * morph.deltas
        result = np.zeros_like(rest)
        for k in range(self.bone_index.shape[1]):
            matrix = bones[self.bone_index[:, k], :3]
            moved = np.einsum("vij,vj->vi", matrix[:, :, :3], rest) + matrix[:, :, 3]
            result += self.bone_weight[:, k, None] * moved
        return result

    # ------------------------------------------------------------------ reading

    def _read_nodes(self) -> None:
        nodes = self.file.items("nodes")
        count = len(nodes)
        self._parent = np.full(count, -1)
        for index, node in enumerate(nodes):
            for child in node.get("children") or ():
                self.file.item("nodes", child)
                if self._parent[child] >= 0 or child == index:
                    raise self.file.damaged(f"node {child} has two parents")
                self._parent[child] = index
        scenes = self.file.items("scenes")
        roots = [i for i in range(count) if self._parent[i] < 0]
        self._order = self._descend(roots, nodes)
        if len(self._order) != count:
            raise self.file.damaged("its nodes form a cycle")
        shown = self.file.item("scenes", self.file.json.get("scene", 0)).get("nodes") if scenes else roots
        self._shown = set(self._descend(list(shown or ()), nodes))
        self._trs = {
            "translation": self._default(nodes, "translation", [0.0, 0, 0]),
            "rotation": unit_quaternions(self._default(nodes, "rotation", [0.0, 0, 0, 1])),
            "scale": self._default(nodes, "scale", [1.0, 1, 1]),
        }
        # glTF stores matrices column by column.
        self._fixed = {
            i: np.asarray(node["matrix"], dtype=np.float64).reshape(4, 4).T
            for i, node in enumerate(nodes)
            if node.get("matrix") is not None
        }

    def _descend(self, roots: list[int], nodes: list[Json]) -> list[int]:
        order, seen, stack = [], set(), list(reversed(roots))
        while stack:
            index = stack.pop()
            self.file.item("nodes", index)
            if index not in seen:
                seen.add(index)
                order.append(index)
                stack.extend(reversed(nodes[index].get("children") or []))
        return order

    @staticmethod
    def _default(nodes: list[Json], key: str, neutral: list[float]) -> Floats:
        values = [node.get(key) if node.get(key) is not None else neutral for node in nodes]
        return np.asarray(values, dtype=np.float64).reshape(len(nodes), len(neutral))

    def _read_meshes(self) -> None:
        self._bones: dict[tuple[int, bytes], int] = {}
        self._morph_slots: dict[int, tuple[int, int]] = {}
        defaults: list[float] = []
        morphs: list[MorphTarget] = []
        found: list[PrimitiveData] = []
        indices: list[NDArray[np.int64]] = []
        start = morph_values = 0
        for index, node in enumerate(self.file.items("nodes")):
            if node.get("mesh") is None or index not in self._shown:
                continue
            mesh = self.file.item("meshes", node["mesh"])
            slots = max((len(p.get("targets") or ()) for p in mesh["primitives"]), default=0)
            first = len(defaults)
            weights = [float(w) for w in node.get("weights") or mesh.get("weights") or ()]
            defaults += (weights + [0.0] * slots)[:slots]
            self._morph_slots[index] = (first, slots)
            skin = self._skin(node["skin"]) if node.get("skin") is not None else None
            for place, name in self._instances(index, node, mesh):
                own = self._bone(index, place)
                for number, info in enumerate(mesh["primitives"]):
                    primitive = self._primitive(info, f"{name}.{number}" if number else name)
                    if primitive is None:
                        continue
                    if len(found) >= MAX_PRIMITIVES:
                        raise MeshError(f"{self.path.name} has over {MAX_PRIMITIVES:,} pieces; join them first.")
                    indices.append(self._bind(primitive, skin, own))
                    found.append(primitive)
                    morphs += [MorphTarget(first + m, start, deltas) for m, deltas in enumerate(primitive.morphs)]
                    start += len(primitive.positions)
                    morph_values += len(primitive.positions) * len(primitive.morphs)
                    if start > MAX_VERTICES:
                        raise MeshError(f"{self.path.name} has over {MAX_VERTICES:,} vertices; reduce it.")
                    if morph_values > MAX_MORPH_VALUES:
                        raise MeshError(f"{self.path.name} has too many morph targets; remove those not needed.")
        if not found:
            raise MeshError(f"{self.path.name} has no triangles; open a file with a surface.")
        self._collect(found, indices, defaults, morphs)

    def _instances(self, index: int, node: Json, mesh: Json) -> list[tuple[Floats, str]]:
        """(transform [4, 4] relative to the node, name) of every instance of a node's mesh."""
        name = str(node.get("name") or mesh.get("name") or f"mesh{index}")
        listed = ((node.get("extensions") or {}).get(INSTANCING) or {}).get("attributes") or {}
        known = {key: self.file.accessor(listed[key]) for key in ("TRANSLATION", "ROTATION", "SCALE") if key in listed}
        if not known:
            return [(np.eye(4), name)]
        return [(place, f"{name}_{number}") for number, place in enumerate(instance_transforms(known))]

    def _primitive(self, info: Json, name: str) -> PrimitiveData | None:
        look = None
        if (material := info.get("material")) is not None:
            if material not in self._looks:
                self._looks[material] = read_look(self.file, self.file.item("materials", material), self.notes)
            look = self._looks[material]
        return read_primitive(self.file, info, name, look, self.notes)

    def _collect(
        self,
        found: list[PrimitiveData],
        indices: list[NDArray[np.int64]],
        defaults: list[float],
        morphs: list[MorphTarget],
    ) -> None:
        self.notes += attributes_note(found)
        width = max(index.shape[1] for index in indices)
        self.rest = np.concatenate([p.positions for p in found])
        self.bone_index = np.concatenate([_padded(index, width) for index in indices])
        self.bone_weight = np.concatenate([_padded(p.weights, width) for p in found])
        self.bone_node = np.array([node for node, _ in self._bones])
        self.bone_inverse_bind = np.stack([np.frombuffer(raw).reshape(4, 4) for _, raw in self._bones])
        self.morphs, self._morph_defaults = tuple(morphs), np.asarray(defaults, dtype=np.float64)
        starts = np.cumsum([0] + [len(p.positions) for p in found])
        mirrored = self._mirrored()
        self.parts = tuple(
            MeshPart(p.name, _turned(p.triangles + s, mirrored).astype(np.int32), p.material)
            for p, s in zip(found, starts[:-1], strict=True)
        )
        joined = lambda columns, usual: _joined([(columns(p), len(p.positions)) for p in found], usual)  # noqa: E731
        self.uv = joined(lambda p: p.uv, [0.0, 0.0])
        self.uv1 = joined(lambda p: p.uv1, [0.0, 0.0])
        self.colors = joined(lambda p: p.colors, [1.0, 1.0, 1.0, 1.0])

    def _mirrored(self) -> NDArray[np.bool_]:
        """[W] true where the default pose mirrors the surface: its bones have a negative determinant."""
        sign = np.sign(np.linalg.det(self.bones()[0][:, :3, :3]))
        return np.asarray((self.bone_weight * sign[self.bone_index]).sum(axis=1) < 0)

    def _bone(self, node: int, inverse_bind: Floats) -> int:
        key = (node, np.ascontiguousarray(inverse_bind, dtype=np.float64).tobytes())
        return self._bones.setdefault(key, len(self._bones))

    def _skin(self, index: Any) -> NDArray[np.int64]:
        """Bone numbers [joints] of one skin."""
        skin = self.file.item("skins", index)
        joints = skin["joints"]
        inverse = np.repeat(np.eye(4)[None], len(joints), 0)
        if skin.get("inverseBindMatrices") is not None:
            stored = self.file.accessor(skin["inverseBindMatrices"])
            if len(stored) < len(joints) or stored.shape[1] != 16:
                raise self.file.damaged("a skin has fewer bind matrices than joints")
            inverse = stored[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
        for joint in joints:
            self.file.item("nodes", joint)
        return np.array([self._bone(j, m) for j, m in zip(joints, inverse, strict=True)], dtype=np.int64)

    def _bind(self, primitive: PrimitiveData, skin: NDArray[np.int64] | None, own: int) -> NDArray[np.int64]:
        """Bone numbers [n, K] of a primitive's vertices; `own`, the bone of the mesh's node, without a skin."""
        if skin is None or primitive.joints is None or not len(skin):
            count = len(primitive.positions)
            primitive.weights = np.ones((count, 1))
            return np.full((count, 1), own, dtype=np.int64)
        used = primitive.weights > 0
        bound = primitive.joints[used]
        if bound.size and (bound.min() < 0 or bound.max() >= len(skin)):
            raise self.file.damaged("a vertex is bound to a joint that its skin does not have")
        return skin[np.where(used, primitive.joints, 0)]

    def _read_clip(self, info: Json, index: int) -> Clip:
        tracks = []
        for channel in info.get("channels") or ():
            target, sampler = channel["target"], info["samplers"][channel["sampler"]]
            path, node = target.get("path"), target.get("node")
            if node is None or (path not in _TRS and path != "weights"):
                continue  # an extension animates something else than nodes
            self.file.item("nodes", node)
            times = np.asarray(self.file.accessor(sampler["input"])[:, 0], dtype=np.float64)
            values = np.asarray(self.file.accessor(sampler["output"]), dtype=np.float64)
            kind = sampler.get("interpolation") or "LINEAR"
            rows = 3 * len(times) if kind == "CUBICSPLINE" else len(times)
            width = _TRS.get(path) or self._morph_slots.get(node, (0, 0))[1]
            if not len(times) or not width:
                continue
            if values.size != rows * width or not np.isfinite(values).all() or not np.isfinite(times).all():
                raise self.file.damaged(f"animation {index} has a track that does not fit its keys")
            shape = (len(times), 3, width) if kind == "CUBICSPLINE" else (len(times), width)
            values = values.reshape(shape)
            if (np.diff(times) < 0).any():  # some exporters do not sort keys
                order = np.argsort(times, kind="stable")
                times, values = times[order], values[order]
            tracks.append(Track(node, path, kind, times, values))
        start = min((float(t.times[0]) for t in tracks), default=0.0)
        end = max((float(t.times[-1]) for t in tracks), default=0.0)
        return Clip(str(info.get("name") or f"clip{index}"), start, end, tuple(tracks))


def _padded(values: NDArray, width: int) -> NDArray:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])))


def _turned(faces: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Faces [f, 3], flipped where most of their corners are mirrored."""
    return np.where((mirrored[faces].sum(axis=1) > 1)[:, None], faces[:, ::-1], faces)


def _joined(columns: list[tuple[Floats | None, int]], usual: list[float]) -> NDArray[np.float32] | None:
    """The values of all primitives joined, `usual` where a primitive has none; None if no primitive has any."""
    if all(values is None for values, _ in columns):
        return None
    with np.errstate(over="ignore"):
        rows = [np.tile(usual, (count, 1)) if values is None else values for values, count in columns]
        return np.concatenate(rows).astype(np.float32)


def read_gltf_mesh(path: str | Path) -> SourceMesh:
    """Read a .glb or .gltf file in its default pose as one welded surface; the file's own vertices are kept for export.

    Positions are in the file's world space and units, Y up. Raises MeshError.
    """
    return source_mesh(GltfScene(path))


def source_mesh(scene: GltfScene) -> SourceMesh:
    """The default pose of an opened scene as a SourceMesh (see `read_gltf_mesh`)."""
    with np.errstate(all="ignore"):
        posed = scene.positions()[0]
    mesh = build_source_mesh(
        posed, parts=scene.parts, uv=scene.uv, uv1=scene.uv1, colors=scene.colors, name=scene.path.stem,
        path=scene.path, notes=scene.notes,
    )  # fmt: skip
    return replace(mesh, clips=tuple(clip.name for clip in scene.clips if clip.duration > 0))
