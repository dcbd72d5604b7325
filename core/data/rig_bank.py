"""`RigSource`: training clips from rigged characters, skinned in batches on the training device.

Reads the one file that `prepare_rigs` wrote (see `core.data.rig_prepare` for what is stored); needs torch, numpy and
safetensors only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from core.data.clips import SPLITS, ClipBatch
from core.data.rig_prepare import FORMAT, VERSION, prepare_rigs, query_box
from core.errors import DataError

__all__ = ["CATEGORY_WEIGHTS", "EvaluationClip", "RigSource", "prepare_rigs"]

CATEGORY_WEIGHTS = {"animals": 0.4, "humans": 0.25, "bodies": 0.3, "objects": 0.05}
CATEGORY_NUMBERS = {name: number for number, name in enumerate(CATEGORY_WEIGHTS)}  # what ClipBatch.category holds
SPEEDS = (0.5, 2.0)  # playback speeds, drawn log-uniformly
HALF_BOX = 0.55  # uniform occupancy queries fill the box of side 1.1
MAX_DENSE = 1 << 25  # numbers in one batched product; larger batches are cut


class EvaluationClip(NamedTuple):
    """Frames `start` to `start + frames` at the bank's frame rate of clip number `clip` of the file `file` (stem)."""

    file: str
    clip: int
    name: str
    start: int
    frames: int


class _Choices(NamedTuple):
    """Rigs to draw from: cumulative probability [n], and per rig a run of `items` (clips or reference poses)."""

    cumulative: Tensor
    first: Tensor
    count: Tensor
    items: Tensor


class RigSource:
    """A ClipSource over a rig bank. All tables live on `device`; raises DataError for a file it cannot use."""

    def __init__(self, bank_file: str | Path, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.path = Path(bank_file)
        self.meta, arrays = _load(self.path)
        self.fps = float(self.meta["fps"])
        self.rigs: list[dict[str, Any]] = self.meta["rigs"]
        self.pool = int(self.meta["pool"])
        try:
            self._read_points(arrays)
            self._read_clips(arrays)
            self._read_references(arrays)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            raise DataError(f"{self.path} is damaged ({error}); prepare the rigs again.") from None

    @torch.no_grad()
    def sample(
        self,
        batch: int,
        frames: int,
        points: int,
        generator: torch.Generator,
        split: str = "train",
        occupancy_queries: int = 0,
    ) -> ClipBatch:
        """Draw clips (see ClipSource). With `occupancy_queries` each clip starts at a pose with stored queries.

        Rigs are drawn by CATEGORY_WEIGHTS, evenly within a category; clips evenly; speed 0.5x to 2x; training clips
        are turned about Y at random. `fps` is the rate of the original motion, so slow playback has a high rate.
        """
        if split not in SPLITS:
            raise DataError(f"The split {split!r} does not exist; choose {', '.join(SPLITS)}.")
        if not 1 <= points <= self.pool:
            raise DataError(f"{points} points are not possible; this rig bank gives 1 to {self.pool}.")
        if batch < 1 or frames < 1 or occupancy_queries < 0:
            raise DataError(f"{batch} clips of {frames} frames are not possible; ask for 1 or more.")
        choices = (self._references if occupancy_queries else self._clips)[split]
        if not len(choices.items):
            raise DataError(f"{self.path.name} has no clips of the split {split!r}; prepare it from more rigs.")
        draw = self._uniform(generator, 5, batch)
        which = torch.searchsorted(choices.cumulative, draw[0], right=True).clamp_max(len(choices.cumulative) - 1)
        offset = torch.minimum((draw[1] * choices.count[which]).long(), choices.count[which] - 1)
        item = choices.items[choices.first[which] + offset]
        clip = self._reference_clip[item] if occupancy_queries else item
        stride = SPEEDS[0] * (SPEEDS[1] / SPEEDS[0]) ** draw[2]
        when, stride = self._window(clip, frames, stride, draw[3], item if occupancy_queries else None)
        chosen = self._uniform(generator, batch, self.pool).topk(points, dim=1, sorted=False).indices
        position, normal = self._skin(clip, when, chosen)
        turn = _yaw(draw[4] * 2 * torch.pi if split == "train" else torch.zeros_like(draw[4]))  # [B, 3, 3]
        position = torch.einsum("bij,btnj->btni", turn, position)
        low, high = position[:, 0].amin(1), position[:, 0].amax(1)
        center, size = (low + high) / 2, (high - low).amax(1).clamp_min(1e-8)
        position = (position - center[:, None, None]) / size[:, None, None, None]
        normal = torch.einsum("bij,bnj->bni", turn, normal)
        result = ClipBatch(
            points=position,
            normals=torch.nn.functional.normalize(normal, dim=-1),
            fps=self.fps / stride,
            category=self._category[self._clip_rig[clip]],
        )
        if occupancy_queries:
            self._add_occupancy(result, item, occupancy_queries, generator, turn, center, size)
        return result

    def evaluation_clips(self, split: str, frames: int = 17, per_rig: int = 6) -> list[EvaluationClip]:
        """A fixed list: of each rig up to `per_rig` clips, evenly over the file, each at its liveliest window.

        Clips shorter than `frames` are left out. `read_clip(path, c.clip, fps, c.frames, c.start)` gives the mesh.
        """
        result = []
        first = 0
        for rig in self.rigs:
            clips = rig["clip_list"]
            usable = [n for n, c in enumerate(clips) if c["split"] == split and c["frames"] >= frames]
            picks = sorted({round(i) for i in np.linspace(0, len(usable) - 1, min(per_rig, len(usable)))})
            for n in (usable[i] for i in picks):
                start = self._liveliest(first + n, frames)
                result.append(EvaluationClip(rig["file"], clips[n]["index"], clips[n]["name"], start, frames))
            first += len(clips)
        return result

    # ------------------------------------------------------------------ tables

    def _read_points(self, arrays: dict[str, np.ndarray]) -> None:
        """Padded per-rig tables: bones [R, P, K] and q [R, P, K, 4] (zero where unused), normals [R, P, 3]."""
        counts = torch.from_numpy(arrays["counts"]).long()
        width, rows = int(counts.max()), torch.arange(len(counts)).repeat_interleave(counts)
        column = torch.arange(len(rows)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        shape = (len(self.rigs), self.pool, width)
        bone = torch.zeros(len(counts), width, dtype=torch.int16)
        hang = torch.zeros(len(counts), width, 4)
        bone[rows, column] = torch.from_numpy(arrays["bone"])
        hang[rows, column] = torch.from_numpy(arrays["hang"]).float() * (self.meta["hang_range"] / 32767)
        self._bone = bone.view(shape).to(self.device)
        self._hang = hang.view(*shape, 4).to(self.device)
        normals = torch.from_numpy(arrays["normals"]).float() / 32767
        self._normals = normals.view(len(self.rigs), self.pool, 3).to(self.device)

    def _read_clips(self, arrays: dict[str, np.ndarray]) -> None:
        """Bone matrices of all clips in one table [X, 12], and where each clip's frames start in it."""
        start, low = 0, 0
        parts, starts, rows, lengths, bones, cyclic = [], [], [], [], [], []
        for number, rig in enumerate(self.rigs):
            for clip in rig["clip_list"]:
                size, joints = clip["frames"] * rig["bones"], rig["bones"]
                stored = torch.from_numpy(arrays["transforms"][start : start + size].astype(np.float32))
                step = torch.from_numpy(arrays["transform_step"][low : low + joints])
                base = torch.from_numpy(arrays["transform_low"][low : low + joints])
                parts.append((stored.view(-1, joints, 12) * step + base).view(-1, 12))
                starts.append(start)
                rows.append(number)
                lengths.append(clip["frames"])
                bones.append(joints)
                cyclic.append(clip["cyclic"])
                start, low = start + size, low + joints
        self._transforms = torch.cat(parts).to(self.device)
        self._clip_start, self._clip_rig, self._clip_frames, self._clip_bones = (
            torch.tensor(values, device=self.device) for values in (starts, rows, lengths, bones)
        )
        self._clip_cyclic = torch.tensor(cyclic, device=self.device)
        self._category = torch.tensor([CATEGORY_NUMBERS[rig["category"]] for rig in self.rigs], device=self.device)
        every = [(n, clip) for n, rig in enumerate(self.rigs) for clip in rig["clip_list"]]
        self._clips = {s: self._choices([(r, i) for i, (r, c) in enumerate(every) if c["split"] == s]) for s in SPLITS}

    def _read_references(self, arrays: dict[str, np.ndarray]) -> None:
        """Reference poses: their clip, frame, box and labelled queries (normalised rig space)."""
        uniform, near = self.meta["queries"]
        clips, frames, lows, highs, members = [], [], [], [], []
        first = 0
        for number, rig in enumerate(self.rigs):
            for reference in rig["references"]:
                split = rig["clip_list"][reference["clip"]]["split"].removeprefix("rest:")
                members.append((split, number, len(clips)))
                clips.append(first + reference["clip"])
                frames.append(reference["frame"])
                lows.append(reference["low"])
                highs.append(reference["high"])
            first += len(rig["clip_list"])
        self._reference_clip = torch.tensor(clips, device=self.device)
        self._reference_frame = torch.tensor(frames, device=self.device)
        self._reference_box = torch.tensor([lows, highs], device=self.device)  # [2, number of references, 3]
        spans = np.array([query_box(np.array(a), np.array(b)) for a, b in zip(lows, highs, strict=True)], np.float32)
        self._query_span = torch.from_numpy(spans).to(self.device)
        stored = arrays["queries"].reshape(len(clips), uniform + near, 3)
        self._queries = torch.from_numpy((stored.astype(np.int32) - 32768).astype(np.int16)).to(self.device)
        inside = np.unpackbits(arrays["inside"], count=stored.shape[0] * stored.shape[1])
        self._inside = torch.from_numpy(inside.reshape(stored.shape[:2])).to(self.device)
        self._references = {s: self._choices([(r, i) for split, r, i in members if split == s]) for s in SPLITS}

    def _choices(self, members: list[tuple[int, int]]) -> _Choices:
        """`members` are (rig, item) pairs, grouped by rig."""
        rigs = list(dict.fromkeys(rig for rig, _ in members))
        names = [self.rigs[rig]["category"] for rig in rigs]
        weights = torch.tensor([CATEGORY_WEIGHTS[name] / names.count(name) for name in names], dtype=torch.float64)
        owners = [rig for rig, _ in members]
        return _Choices(
            (weights.cumsum(0) / weights.sum().clamp_min(1e-9)).float().to(self.device),
            torch.tensor([owners.index(rig) for rig in rigs], dtype=torch.long, device=self.device),
            torch.tensor([owners.count(rig) for rig in rigs], dtype=torch.long, device=self.device),
            torch.tensor([item for _, item in members], dtype=torch.long, device=self.device),
        )

    # ------------------------------------------------------------------ drawing

    def _uniform(self, generator: torch.Generator, *shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=generator.device).to(self.device)

    def _window(
        self, clip: Tensor, frames: int, stride: Tensor, u: Tensor, reference: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Frame numbers [B, T] (fractional) inside each clip and the stride [B] that was possible.

        A cyclic clip wraps around. Any other is slowed down until the window fits, from wherever it starts.
        """
        last = (self._clip_frames[clip] - 1).float()
        cyclic = self._clip_cyclic[clip]
        steps = max(frames - 1, 1)
        if reference is None:
            stride = torch.where(cyclic, stride, torch.minimum(stride, last / steps))
            start = u * torch.where(cyclic, last, last - stride * (frames - 1))
        else:
            start = self._reference_frame[reference].float()
            stride = torch.where(cyclic, stride, torch.minimum(stride, (last - start) / steps))
        when = start[:, None] + torch.arange(frames, device=self.device) * stride[:, None]
        wrapped = torch.remainder(when, last.clamp_min(1)[:, None])
        when = torch.where(cyclic[:, None], wrapped, torch.minimum(when, last[:, None])).clamp_min(0)
        return when, stride.clamp_min(1e-3)

    def _skin(self, clip: Tensor, when: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Points [B, T, N, 3] and reference normals [B, N, 3] in normalised rig space."""
        joints = int(self._clip_bones[clip].max())
        share = max(1, MAX_DENSE // (4 * joints * chosen.shape[1]))
        parts = [
            self._skin_part(clip[i : i + share], when[i : i + share], chosen[i : i + share], joints)
            for i in range(0, len(clip), share)
        ]
        return torch.cat([p for p, _ in parts]), torch.cat([n for _, n in parts])

    def _skin_part(self, clip: Tensor, when: Tensor, chosen: Tensor, joints: int) -> tuple[Tensor, Tensor]:
        batch, frames = when.shape
        count = chosen.shape[1]
        rig = self._clip_rig[clip]
        bones = self._clip_bones[clip][:, None, None]
        joint = torch.minimum(torch.arange(joints, device=self.device), bones - 1)  # beyond the rig's: any, unused
        before = when.floor().long()
        after = torch.minimum(before + 1, self._clip_frames[clip][:, None] - 1)
        row = self._clip_start[clip][:, None, None] + joint
        a = self._transforms[row + before[..., None] * bones]
        b = self._transforms[row + after[..., None] * bones]
        matrix = torch.lerp(a, b, (when - before)[..., None, None]).view(batch, frames, joints, 3, 4)
        used = self._bone[rig[:, None], chosen].long()  # [B, N, K]
        hang = self._hang[rig[:, None], chosen]  # [B, N, K, 4]
        dense = torch.zeros(batch, count, joints, 4, device=self.device)
        dense.scatter_add_(2, used[..., None].expand_as(hang), hang)
        left = matrix.transpose(2, 3).reshape(batch, frames * 3, joints * 4)
        moved = torch.bmm(left, dense.view(batch, count, joints * 4).transpose(1, 2))
        moved = moved.view(batch, frames, 3, count).transpose(2, 3)
        blend = torch.einsum("bnj,bjik->bnik", dense[..., 3], matrix[:, 0, :, :, :3])
        x, y, z = blend.unbind(-1)  # the cofactor matrix turns normals, whatever the blended scale
        cofactor = torch.stack([y.cross(z, -1), z.cross(x, -1), x.cross(y, -1)], -1)
        return moved, (cofactor @ self._normals[rig[:, None], chosen][..., None])[..., 0]

    def _add_occupancy(
        self,
        result: ClipBatch,
        reference: Tensor,
        queries: int,
        generator: torch.Generator,
        turn: Tensor,
        center: Tensor,
        size: Tensor,
    ) -> None:
        """Queries [B, Q, 3]: the first half uniform in the box of side 1.1, the others near the surface.

        The stored uniform queries fill the pose's own box only: a fresh point outside it is outside the shape, one
        inside it is exchanged for a stored one, which is distributed in the same way.
        """
        batch, stored = len(reference), self.meta["queries"][0]
        half = queries - queries // 2
        fresh = (self._uniform(generator, batch, half, 3) - 0.5) * (2 * HALF_BOX)
        in_rig = torch.einsum("bji,bqj->bqi", turn, fresh * size[:, None, None] + center[:, None])
        low, high = self._reference_box[0, reference][:, None], self._reference_box[1, reference][:, None]
        boxed = ((in_rig >= low) & (in_rig <= high)).all(-1)
        picks = [self._pick(generator, batch, 0, stored, half)]
        if queries - half:
            picks.append(self._pick(generator, batch, stored, self._queries.shape[1], queries - half))
        pick = torch.cat(picks, 1)
        span = self._query_span[reference][:, :, None]  # [B, 2, 1, 3]
        unit = (self._queries[reference[:, None], pick].float() + 32768) / 65535
        known = torch.einsum("bij,bqj->bqi", turn, span[:, 0] + unit * (span[:, 1] - span[:, 0]))
        known = (known - center[:, None]) / size[:, None, None]
        inside = self._inside[reference[:, None], pick].float()
        known[:, :half] = torch.where(boxed[..., None], known[:, :half], fresh)
        inside[:, :half] = torch.where(boxed, inside[:, :half], torch.zeros_like(inside[:, :half]))
        result.occupancy_points, result.occupancy = known, inside

    def _pick(self, generator: torch.Generator, batch: int, first: int, last: int, count: int) -> Tensor:
        """Random stored queries [B, count] of `first` to `last`, without repetition while there are enough."""
        order = self._uniform(generator, batch, last - first).argsort(1)
        return first + order[:, torch.arange(count, device=self.device) % (last - first)]

    @torch.no_grad()
    def _liveliest(self, clip: int, frames: int) -> int:
        length = int(self._clip_frames[clip])
        number = torch.tensor([clip], device=self.device)
        chosen = torch.arange(0, self.pool, max(1, self.pool // 64), device=self.device)[None]
        when = torch.arange(length, device=self.device, dtype=torch.float32)[None]
        points = self._skin(number, when, chosen)[0][0]  # [length, n, 3]
        starts = range(0, length - frames + 1, 2)
        scores = [float((points[s : s + frames] - points[s]).norm(dim=-1).mean()) for s in starts]
        return starts[int(np.argmax(scores))]


def _yaw(angle: Tensor) -> Tensor:
    """Rotations [B, 3, 3] about Y."""
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    cosine, sine = angle.cos(), angle.sin()
    rows = [torch.stack(row, -1) for row in ((cosine, zero, sine), (zero, one, zero), (-sine, zero, cosine))]
    return torch.stack(rows, -2)


def _load(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DataError(f"{path} does not exist; make it with `m2v prepare rigs FOLDER {path}`.")
    try:
        with safe_open(path, framework="numpy") as bank:
            meta = json.loads((bank.metadata() or {}).get("m2v", "{}"))
            arrays = {key: bank.get_tensor(key) for key in bank.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path} is not a rig bank or is damaged ({error}); prepare the rigs again.") from None
    if meta.get("format") != FORMAT:
        raise DataError(f"{path} is not a rig bank; make one with `m2v prepare rigs FOLDER {path}`.")
    if meta.get("version") != VERSION:
        raise DataError(f"{path} is a rig bank of version {meta.get('version')}; prepare the rigs again.")
    return meta, arrays
