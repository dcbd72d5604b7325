"""Holds a rig bank on the training device: tables of rigs, clips and reference poses, and batched skinning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.clips import SPLITS
from core.data.rig_format import query_box, read_bank
from core.errors import DataError

CATEGORY_WEIGHTS = {"animals": 0.4, "humans": 0.25, "bodies": 0.3, "objects": 0.05}
# What ClipBatch.category holds; procedural kinds count from 0, so the two never meet.
CATEGORY_NUMBERS = {name: 100 + number for number, name in enumerate(CATEGORY_WEIGHTS)}
LIVELY = 0.15  # of the size; a clip in which some point moves farther is more than an idle
MAX_DENSE = 1 << 25  # numbers in one batched product; larger batches are cut


@dataclass(frozen=True, eq=False)
class Choices:
    """Rigs to draw from: cumulative probabilities [n], and each rig's range of `items` (clips or reference poses)."""

    cumulative: Tensor
    first: Tensor
    count: Tensor
    items: Tensor


class RigTables:
    """A bank file as tensors on `device`. Raises DataError for a file that it cannot use."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self.device = device
        self.meta, arrays = read_bank(path)
        try:
            self.fps, self.pool = float(self.meta["fps"]), int(self.meta["pool"])
            self.rigs: list[dict[str, Any]] = self.meta["rigs"]
            self._read_points(arrays)
            self._read_clips(arrays)
            self._read_references(arrays)
        except (KeyError, IndexError, ValueError, TypeError, RuntimeError) as error:
            raise DataError(f"{path} is damaged ({error}); prepare the rigs again.") from None

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
        self.bone = bone.view(shape).to(self.device)
        self.hang = hang.view(*shape, 4).to(self.device)
        normals = torch.from_numpy(arrays["normals"]).float() / 32767
        self.normals = normals.view(len(self.rigs), self.pool, 3).to(self.device)

    def _read_clips(self, arrays: dict[str, np.ndarray]) -> None:
        """Bone matrices of all clips in one table [X, 12], and where each clip's frames start in it."""
        start, low = 0, 0
        parts, starts, rows, lengths, bones, cyclic, periods = [], [], [], [], [], [], []
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
                periods.append(max(float(clip.get("period", 0.0)), clip["frames"] - 1.0))
                start, low = start + size, low + joints
        self.transforms = torch.cat(parts).to(self.device)
        self.clip_start, self.clip_rig, self.clip_frames, self.clip_bones = (
            torch.tensor(values, device=self.device) for values in (starts, rows, lengths, bones)
        )
        self.clip_cyclic = torch.tensor(cyclic, device=self.device)
        self.clip_period = torch.tensor(periods, device=self.device)  # frames until a cyclic clip starts again
        self.category = torch.tensor([CATEGORY_NUMBERS[rig["category"]] for rig in self.rigs], device=self.device)
        every = [(n, clip) for n, rig in enumerate(self.rigs) for clip in rig["clip_list"]]
        # Nearly half of all clips are idles: a lively clip is in the table, and so drawn, three times as often.
        often = [3 if clip["motion"] > LIVELY else 1 for _, clip in every]
        self.clips = {
            s: self._choices([(r, i) for i, (r, c) in enumerate(every) for _ in range(often[i]) if c["split"] == s])
            for s in SPLITS
        }

    def _read_references(self, arrays: dict[str, np.ndarray]) -> None:
        """Reference poses: their clip, frame, box and labelled queries (normalised rig space)."""
        uniform, near = self.meta["queries"]
        clips: list[int] = []
        frames, lows, highs, members = [], [], [], []
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
        self.reference_clip = torch.tensor(clips, device=self.device)
        self.reference_frame = torch.tensor(frames, device=self.device)
        self.reference_box = torch.tensor([lows, highs], device=self.device)  # [2, number of references, 3]
        spans = np.array([query_box(np.array(a), np.array(b)) for a, b in zip(lows, highs, strict=True)], np.float32)
        self.query_span = torch.from_numpy(spans).to(self.device)
        stored = arrays["queries"].reshape(len(clips), uniform + near, 3)
        self.queries = torch.from_numpy((stored.astype(np.int32) - 32768).astype(np.int16)).to(self.device)
        inside = np.unpackbits(arrays["inside"], count=stored.shape[0] * stored.shape[1])
        self.inside = torch.from_numpy(inside.reshape(stored.shape[:2])).to(self.device)
        self.references = {s: self._choices([(r, i) for split, r, i in members if split == s]) for s in SPLITS}

    def _choices(self, members: list[tuple[int, int]]) -> Choices:
        """`members` are (rig, item) pairs, grouped by rig."""
        rigs = list(dict.fromkeys(rig for rig, _ in members))
        names = [self.rigs[rig]["category"] for rig in rigs]
        weights = torch.tensor([CATEGORY_WEIGHTS[name] / names.count(name) for name in names], dtype=torch.float64)
        owners = [rig for rig, _ in members]
        return Choices(
            (weights.cumsum(0) / weights.sum().clamp_min(1e-9)).float().to(self.device),
            torch.tensor([owners.index(rig) for rig in rigs], dtype=torch.long, device=self.device),
            torch.tensor([owners.count(rig) for rig in rigs], dtype=torch.long, device=self.device),
            torch.tensor([item for _, item in members], dtype=torch.long, device=self.device),
        )

    def skin(self, clip: Tensor, when: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Points [B, T, N, 3] and reference normals [B, N, 3] in normalised rig space."""
        joints = int(self.clip_bones[clip].max())
        share = max(1, MAX_DENSE // (4 * joints * chosen.shape[1]))
        parts = [
            self._skin_part(clip[i : i + share], when[i : i + share], chosen[i : i + share], joints)
            for i in range(0, len(clip), share)
        ]
        return torch.cat([p for p, _ in parts]), torch.cat([n for _, n in parts])

    def _skin_part(self, clip: Tensor, when: Tensor, chosen: Tensor, joints: int) -> tuple[Tensor, Tensor]:
        batch, frames = when.shape
        count = chosen.shape[1]
        rig = self.clip_rig[clip]
        bones = self.clip_bones[clip][:, None, None]
        joint = torch.minimum(torch.arange(joints, device=self.device), bones - 1)  # beyond the rig's: any, unused
        before = when.floor().long()
        last = self.clip_frames[clip][:, None] - 1
        # A loop's last frame lies up to one frame before the first one comes again.
        gap = (self.clip_period[clip][:, None] - last).clamp_min(1e-4)
        loops = self.clip_cyclic[clip][:, None] & (before == last)
        after = torch.where(loops, torch.zeros_like(before), torch.minimum(before + 1, last))
        share = torch.where(loops, (when - before) / gap, when - before).clamp(0, 1)
        row = self.clip_start[clip][:, None, None] + joint
        a = self.transforms[row + before[..., None] * bones]
        b = self.transforms[row + after[..., None] * bones]
        matrix = torch.lerp(a, b, share[..., None, None]).view(batch, frames, joints, 3, 4)
        used = self.bone[rig[:, None], chosen].long()  # [B, N, K]
        hang = self.hang[rig[:, None], chosen]  # [B, N, K, 4]
        dense = torch.zeros(batch, count, joints, 4, device=self.device)
        dense.scatter_add_(2, used[..., None].expand_as(hang), hang)
        left = matrix.transpose(2, 3).reshape(batch, frames * 3, joints * 4)
        moved = torch.bmm(left, dense.view(batch, count, joints * 4).transpose(1, 2))
        moved = moved.view(batch, frames, 3, count).transpose(2, 3)
        blend = torch.einsum("bnj,bjik->bnik", dense[..., 3], matrix[:, 0, :, :, :3])
        x, y, z = blend.unbind(-1)  # the cofactor matrix turns normals, whatever the blended scale
        cofactor = torch.stack([y.cross(z, -1), z.cross(x, -1), x.cross(y, -1)], -1)
        return moved, (cofactor @ self.normals[rig[:, None], chosen][..., None])[..., 0]
