"""`ShardSource`: training clips from prepared shards, memory-mapped and assembled on the training device.

Windows start anywhere in a clip and play at a speed of 0.5 to 2, in normalised space, as in `RigSource`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.clips import ClipBatch, ClipRequest, ClipSource, turn_and_fit, with_occupancy
from core.data.rig_bank import SPEEDS
from core.data.rig_format import query_box
from core.data.rig_tables import CATEGORY_NUMBERS, CATEGORY_WEIGHTS, LIVELY
from core.data.shard_format import SUFFIX, open_shard, unpack_normals, unpack_tracks
from core.data.splits import STORED_SPLITS, drawn_splits
from core.errors import DataError
from core.sequence import BOX_SIDE

FIRST_CATEGORY = 200  # numbers of categories other than the rigs'; procedural kinds count from 0, rigs from 100


@dataclass(frozen=True, eq=False)
class _Clip:
    header: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class _Window:
    """One drawn window in its clip's normalised space: points [T, N, 3], normals [N, 3], and stored queries or None."""

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    fps: float
    queries: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]] | None


class ShardSource(ClipSource):
    """A ClipSource over the shards in a folder and its subfolders, so that several sets may lie side by side.

    `splits` is "own", or "train" or "test" for the whole set (see `drawn_splits`). `verify` checks all content hashes.
    Raises DataError for a folder that it cannot use.
    """

    splits = STORED_SPLITS

    def __init__(
        self, folder: str | Path, device: torch.device | str = "cpu", splits: str = "own", verify: bool = False
    ) -> None:
        self.path, self.device, self.override = Path(folder), torch.device(device), splits
        drawn_splits(splits, "train")
        files = sorted(self.path.rglob(f"shard-*{SUFFIX}")) if self.path.is_dir() else []
        if not files:
            raise DataError(f"{self.path} holds no shards; make them with `m2v prepare FORMAT SRC {self.path}`.")
        shards = [open_shard(path, verify) for path in files]
        self.clips = [_Clip(c, shard.of_clip(n)) for shard in shards for n, c in enumerate(shard.clips)]
        others = sorted({c.header["category"] for c in self.clips} - set(CATEGORY_NUMBERS))
        self.category_numbers = {**CATEGORY_NUMBERS, **{name: FIRST_CATEGORY + i for i, name in enumerate(others)}}
        self.pool = min((c.arrays["tracks"].shape[1] for c in self.clips), default=0)
        self._stored = {clip.header["split"] for clip in self.clips}
        self._choices: dict[tuple[str, bool], tuple[NDArray[np.float64], NDArray[np.int64]]] = {}

    def draw(self, request: ClipRequest, generator: torch.Generator) -> ClipBatch:
        """Draw clips (see ClipSource). With occupancy queries each clip starts at a frame with stored queries.

        Identities are drawn evenly (those of the rigs' categories by CATEGORY_WEIGHTS), lively clips three times as
        often as idles; training clips are turned about Y at random. `fps` is the rate of the original motion.
        """
        batch, frames, points, split, queries = request
        if points > self.pool:
            raise DataError(f"{points} points is out of range; these shards give 1 to {self.pool}.")
        cumulative, items = self._table(split, queries > 0)
        draw = torch.rand((5, batch), generator=generator, device=generator.device).cpu().double().numpy()
        seeds = torch.randint(1 << 62, (batch,), generator=generator, device=generator.device).tolist()
        picks = items[np.searchsorted(cumulative, draw[0], side="right").clip(max=len(items) - 1)]
        windows = [
            self._window(self.clips[pick], frames, points, draw[1:4, i], np.random.default_rng(seeds[i]), queries)
            for i, pick in enumerate(picks)
        ]
        position = torch.from_numpy(np.stack([window.points for window in windows])).to(self.device)
        normal = torch.from_numpy(np.stack([window.normals for window in windows])).to(self.device)
        yaw = torch.from_numpy(2 * np.pi * draw[4] * (split == "train")).float().to(self.device)
        position, normal, *placed = turn_and_fit(position, normal, yaw)
        result = ClipBatch(
            points=position,
            normals=normal,
            fps=torch.tensor([window.fps for window in windows], dtype=torch.float32, device=self.device),
            category=torch.tensor([self._number(pick) for pick in picks], device=self.device),
        )
        if queries:
            self._add_occupancy(result, windows, queries, generator, placed)
        return result

    def has(self, request: ClipRequest) -> bool:
        return not self._stored.isdisjoint(drawn_splits(self.override, request.split))

    def names(self, split: str) -> list[str]:
        """The clips that a request for `split` draws from."""
        wanted = drawn_splits(self.override, split)
        return [str(clip.header["name"]) for clip in self.clips if clip.header["split"] in wanted]

    # ------------------------------------------------------------------ drawing

    def _number(self, pick: int) -> int:
        return self.category_numbers[self.clips[pick].header["category"]]

    def _table(self, split: str, labelled: bool) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Cumulative probabilities [n] and numbers [n] of the clips to draw from; made once per kind of request."""
        if (split, labelled) not in self._choices:
            wanted = drawn_splits(self.override, split)
            items = [i for i, c in enumerate(self.clips) if c.header["split"] in wanted]
            items = [i for i in items if not labelled or self.clips[i].header["references"]]
            if not items:
                what = "clips with occupancy queries" if labelled else "clips"
                raise DataError(
                    f"{self.path} has no {what} of the split {split!r}; prepare more, or change the splits."
                )
            members: dict[tuple[str, str], list[int]] = {}
            for i in items:
                header = self.clips[i].header
                members.setdefault((header["category"], header["identity"]), []).append(i)
            names = [category for category, _ in members]
            weights = np.zeros(len(self.clips))
            for (category, _), own in members.items():
                known = set(names) <= set(CATEGORY_WEIGHTS)
                share = CATEGORY_WEIGHTS[category] / names.count(category) if known else 1.0
                often = 1.0 if labelled else 3.0  # shapes are drawn evenly, lively motions more often
                lively = np.array([often if self.clips[i].header["motion"] > LIVELY else 1.0 for i in own])
                weights[own] = share * lively / lively.sum()
            chosen = np.array(items)
            self._choices[split, labelled] = (weights[chosen].cumsum() / weights[chosen].sum(), chosen)
        return self._choices[split, labelled]

    def _window(
        self, clip: _Clip, frames: int, points: int, draw: NDArray, random: np.random.Generator, queries: int
    ) -> _Window:
        header, arrays = clip.header, clip.arrays
        last, period, cyclic = header["frames"] - 1, float(header["period"]), bool(header["cyclic"])
        stride = SPEEDS[0] * (SPEEDS[1] / SPEEDS[0]) ** draw[0]
        steps = max(frames - 1, 1)
        number = min(int(draw[2] * len(header["references"])), len(header["references"]) - 1) if queries else None
        if number is None:
            stride = stride if cyclic else min(stride, last / steps)
            start = draw[1] * (period if cyclic else last - stride * (frames - 1))
        else:
            start = float(header["references"][number]["frame"])
            stride = stride if cyclic else min(stride, (last - start) / steps)
        when = start + stride * np.arange(frames)
        when = np.remainder(when, period) if cyclic else np.clip(when, 0, last)
        before = np.minimum(np.floor(when).astype(np.int64), last)
        loops = cyclic & (before == last)
        # A loop's last frame lies up to one frame before the first one comes again.
        after = np.where(loops, 0, np.minimum(before + 1, last))
        share = np.where(loops, (when - before) / max(period - last, 1e-4), when - before).clip(0, 1).astype(np.float32)
        chosen = random.permutation(arrays["tracks"].shape[1])[:points]
        a, b = (unpack_tracks(arrays["tracks"][i][:, chosen], arrays["boxes"][i]) for i in (before, after))
        nearest = int(before[0] if share[0] < 0.5 else after[0])
        return _Window(
            points=a + (b - a) * share[:, None, None],
            normals=unpack_normals(arrays["normals"][nearest][chosen]),
            fps=float(header["fps"]) / (stride if stride > 0 else 1.0),
            queries=None if number is None else self._queries(clip, number, queries, random),
        )

    def _queries(
        self, clip: _Clip, number: int, count: int, random: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
        """Stored queries [count, 3] of one reference, uniform ones first, their labels, and the pose's box."""
        uniform, near = clip.header["queries"]
        reference = clip.header["references"][number]
        low, high = np.array(reference["low"]), np.array(reference["high"])
        half = count - count // 2
        pick = np.concatenate(
            [np.resize(random.permutation(uniform), half), uniform + np.resize(random.permutation(near), count - half)]
        )
        start, end = query_box(low, high)
        places = start + clip.arrays["queries"][number][pick] / 65535.0 * (end - start)
        labels = np.unpackbits(clip.arrays["inside"][number], count=uniform + near)[pick]
        return places.astype(np.float32), labels.astype(np.float32), low, high

    def _add_occupancy(
        self, result: ClipBatch, windows: list[_Window], count: int, generator: torch.Generator, placed: list[Tensor]
    ) -> None:
        stored = [window.queries for window in windows if window.queries is not None]
        places, inside, low, high = (
            torch.from_numpy(np.stack([each[part] for each in stored])).float().to(self.device) for part in range(4)
        )
        half = count - count // 2
        fresh = torch.rand((len(windows), half, 3), generator=generator, device=generator.device).to(self.device)
        with_occupancy(result, (fresh - 0.5) * BOX_SIDE, (places, inside, low, high), *placed)
