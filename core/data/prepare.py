"""Converts a data set of any known layout into training shards: parallel, resumable, atomic.

Measured on one thread of a shared 2-core machine, in CPU time, with the defaults (4,096 points, 4 reference frames):
rigs (53 clips of 47 frames) 114 clips per minute and core, 1.78 MB per clip; `.anime` (4 clips of 50 frames, 13,380
vertices) 126 clips and 2.2 MB. `ShardSource` then gives 168 clips of 17 frames and 2,048 points per second and core.

Every shard holds a few clips and is made from its recipe: the options, and the clips with sizes and times of their
files. Intact shards of the same recipe are kept, others are made again. Clips that cannot be read are skipped and named
in the summary.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.atomic import check_writable, write_atomically
from core.data.readers import ClipEntry, Reader, reader
from core.data.readers.dfaust import UNSEEN_IDENTITIES
from core.data.shard_clips import pack_clip
from core.data.shard_format import SUFFIX, VERSION, open_shard, write_shard
from core.data.splits import OVERRIDES, STORED_SPLITS, published_splits, rule_split
from core.errors import DataError, M2VError

OnShard = Callable[[int, int, str], None]  # shards done, shards in all, what was done
PREFIX, SUMMARY = "shard-", "summary.json"


@dataclass(frozen=True)
class PrepareOptions:
    """How a set is prepared. Defaults are those of the rig bank where it has the same option."""

    points: int = 4096  # tracked surface points per clip
    references: int = 4  # frames of a clip with occupancy queries
    clips_per_shard: int = 8
    fps: float | None = None  # instead of the layout's
    up_axis: Literal["x", "y", "z"] | None = None  # instead of the layout's
    splits: str = "own"  # own: published lists or the rule; train, test: all of it; or a list file or a folder of lists
    licence: str = ""  # instead of the layout's licence
    jobs: int = 1
    backend: Literal["joblib", "dask"] = "joblib"
    scheduler: str = ""  # address of a Dask scheduler; empty: a local cluster of `jobs` workers

    def check(self) -> None:
        """Raises DataError for impossible options."""
        if not 16 <= self.points <= 1_000_000 or not 0 <= self.references <= 64 or self.clips_per_shard < 1:
            raise DataError("Give 16 to 1,000,000 points, 0 to 64 references and at least 1 clip per shard.")
        if self.jobs < 1 or (self.fps is not None and not 0 < self.fps < 1e6):
            raise DataError("The number of jobs and the frames per second must be positive.")
        if self.up_axis not in (None, "x", "y", "z"):
            raise DataError(f"The up axis is {self.up_axis!r}, but it must be x, y or z.")
        if self.backend not in ("joblib", "dask"):
            raise DataError(f"Unknown backend {self.backend!r}; choose joblib or dask.")


@dataclass(frozen=True)
class PrepareSummary:
    """What a prepared set holds; also written to `summary.json` beside the shards."""

    format: str
    shards: int
    made: int  # shards made in this run; the others existed
    bytes: int
    splits: Mapping[str, tuple[int, int]]  # clips and frames of each split
    skipped: tuple[tuple[str, str], ...]  # clip and reason
    seconds: float

    @property
    def clips(self) -> int:
        return sum(clips for clips, _ in self.splits.values())

    @property
    def frames(self) -> int:
        return sum(frames for _, frames in self.splits.values())


@dataclass(frozen=True)
class ShardJob:
    """One shard to make, picklable."""

    path: str
    entries: tuple[ClipEntry, ...]  # with their splits
    options: PrepareOptions
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class ShardResult:
    path: str
    made: bool
    bytes: int
    clips: tuple[tuple[str, int], ...]  # split and frames of each clip
    skipped: tuple[tuple[str, str], ...] = field(default=())


def prepare(
    format_name: str,
    source: str | Path,
    out: str | Path,
    options: PrepareOptions | None = None,
    on_shard: OnShard | None = None,
) -> PrepareSummary:
    """Convert the set at `source` into shards in the folder `out`, resuming an earlier run.

    Raises DataError when the set as a whole cannot be read or `out` holds another set. Exceptions from `on_shard`
    (Cancelled) pass through; the next run keeps the shards made so far.
    """
    started = time.monotonic()
    chosen = options or PrepareOptions()
    chosen.check()
    layout, root, folder = reader(format_name), Path(source), Path(out)
    if not root.exists():
        raise DataError(f"{root} does not exist; give the file or folder of the data set.")
    listing = layout.list_clips(root)
    entries, left_out = with_splits(listing.entries, root, chosen.splits)
    name = f"{layout.format}:{root.resolve().name}"
    _take_folder(folder, name)
    jobs = _jobs(entries, folder, chosen, name)
    results = []
    for result in _run(jobs, chosen):
        results.append(result)
        if on_shard is not None:
            on_shard(len(results), len(jobs), f"{Path(result.path).name} {'made' if result.made else 'kept'}")
    for stale in set(folder.glob(f"{PREFIX}*{SUFFIX}")) - {Path(job.path) for job in jobs}:
        stale.unlink()  # an earlier run had more clips
    results.sort(key=lambda result: result.path)
    skipped = [*listing.skipped, *left_out, *(pair for result in results for pair in result.skipped)]
    clips = [clip for result in results for clip in result.clips]
    summary = PrepareSummary(
        format=layout.format,
        shards=len(results),
        made=sum(result.made for result in results),
        bytes=sum(result.bytes for result in results),
        splits={
            split: (len(frames), sum(frames))
            for split in STORED_SPLITS
            for frames in [[count for said, count in clips if said == split]]
        },
        skipped=tuple(skipped),
        seconds=time.monotonic() - started,
    )
    _write_summary(folder / SUMMARY, summary, name, chosen)
    return summary


def with_splits(
    entries: Iterable[ClipEntry], source: Path, splits: str
) -> tuple[list[ClipEntry], list[tuple[str, str]]]:
    """The entries with their splits, and (name, reason) of those left out. Raises DataError for unusable lists.

    Lists are looked for in the source and in the folders between it and the clips. If there are any, clips that none of
    them names are left out, since published splits do not use all of a set. So are clips with a name used before.
    """
    given = list(entries)
    if splits in OVERRIDES:
        return _distinct([dataclasses.replace(entry, split=OVERRIDES[splits]) for entry in given])
    if splits != "own":
        if not Path(splits).exists():
            raise DataError(f"Unknown splits {splits!r}; give own, train, test, or a list file or folder.")
        lists = published_splits(splits)
        if not lists:
            raise DataError(
                f"{splits} contains no lists named train, val, test, ...; give a folder with .lst or .json."
            )
        given = [dataclasses.replace(entry, split=None) for entry in given]
    else:
        lists = {} if all(entry.split for entry in given) else _lists_beside(given, source)
    kept, left_out = [], []
    for entry in given:
        path = Path(entry.path)
        names = (entry.key, entry.name.rpartition("/")[2], path.stem, path.name)
        split = entry.split or next((lists[name] for name in names if name in lists), None)
        if split is None and lists:
            left_out.append((entry.name, f"{entry.name} is in none of the lists of the split."))
            continue
        unseen = UNSEEN_IDENTITIES if entry.format == "dfaust" else ()
        kept.append(dataclasses.replace(entry, split=split or rule_split(entry.identity, entry.motion, unseen)))
    distinct, repeated = _distinct(kept)
    return distinct, left_out + repeated


def make_shard(job: ShardJob) -> ShardResult:
    """Make one shard, unless an intact one exists. Runs in worker processes."""
    path = Path(job.path)
    with contextlib.suppress(DataError):  # a damaged one is made again
        if path.exists():
            there = open_shard(path, verify=True)
            if there.meta.get("recipe") == job.meta["recipe"]:
                return _result(path, there.meta, made=False)
    layout = reader(job.meta["format_name"])
    clips, skipped = [], []
    for entry in job.entries:
        try:
            clips.append(_packed(layout, entry, job.options))
        except M2VError as error:
            skipped.append((entry.name, str(error)))
        except MemoryError:
            skipped.append((entry.name, f"{entry.name} does not fit into memory; cut it into shorter clips."))
        except Exception as error:  # one damaged clip must not end hours of work
            skipped.append((entry.name, f"{entry.name} could not be read ({type(error).__name__}: {error})."))
    meta = {**job.meta, "skipped": [list(pair) for pair in skipped]}
    write_shard(path, clips, meta)
    return _result(path, {**meta, "clips": [header for header, _ in clips]}, made=True)


def _packed(layout: Reader, entry: ClipEntry, options: PrepareOptions) -> tuple[dict[str, Any], dict[str, Any]]:
    clip = layout.read_clip(entry, options.points)
    clip = dataclasses.replace(clip, fps=options.fps or clip.fps, up_axis=options.up_axis or clip.up_axis)
    header, arrays = pack_clip(clip, entry, options.points, options.references)
    said = {
        "name": entry.name,
        "identity": entry.identity,
        "motion_name": entry.motion,
        "category": entry.category,
        "split": entry.split,
        "provenance": {"format": entry.format, "file": Path(entry.path).name, "key": entry.key},
        "licence": options.licence or layout.licence,
    }
    return {**said, **header}, arrays


def _result(path: Path, meta: Mapping[str, Any], made: bool) -> ShardResult:
    clips = tuple((str(clip["split"]), int(clip["frames"])) for clip in meta["clips"])
    skipped = tuple((str(name), str(why)) for name, why in meta["skipped"])
    return ShardResult(str(path), made, path.stat().st_size, clips, skipped)


def _jobs(entries: list[ClipEntry], folder: Path, options: PrepareOptions, name: str) -> list[ShardJob]:
    states: dict[str, str] = {}
    wanted = [options.points, options.references, options.fps, options.up_axis, options.licence]
    jobs = []
    for number, first in enumerate(range(0, len(entries), options.clips_per_shard)):
        own = tuple(entries[first : first + options.clips_per_shard])
        for entry in own:
            if entry.path not in states:
                states[entry.path] = _state(Path(entry.path))
        # Without the path: a moved set is the same set.
        described = [[*dataclasses.astuple(entry)[2:], Path(entry.path).name, states[entry.path]] for entry in own]
        recipe = hashlib.sha256(json.dumps([VERSION, wanted, described]).encode()).hexdigest()
        meta = {"set": name, "format_name": own[0].format, "recipe": recipe}
        jobs.append(ShardJob(str(folder / f"{PREFIX}{number:05d}{SUFFIX}"), own, options, meta))
    return jobs


def _state(path: Path) -> str:
    """The number, total size and latest time of a clip's files, so that changes are noticed."""
    try:
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        stats = [file.stat() for file in files]
    except OSError:
        return "unreadable"  # the reader will say why
    return f"{len(stats)} {sum(s.st_size for s in stats)} {max((s.st_mtime_ns for s in stats), default=0)}"


def _run(jobs: list[ShardJob], options: PrepareOptions) -> Iterator[ShardResult]:
    """Results in the order in which they finish. Raises DataError where a backend is missing."""
    os.environ.setdefault("IGL_NUM_THREADS", "1")  # inherited by workers: one thread per process is enough
    if options.backend == "dask":
        try:
            from dask.distributed import Client, as_completed
        except ImportError:
            raise DataError("The backend dask needs: pip install 'm2v-studio[dask]'; or use joblib.") from None
        try:
            local = {"n_workers": options.jobs, "threads_per_worker": 1, "dashboard_address": None}
            client = Client(options.scheduler) if options.scheduler else Client(**local)
        except (OSError, ValueError) as error:
            raise DataError(f"The Dask scheduler {options.scheduler} cannot be reached ({error}).") from None
        with client:
            yield from (future.result() for future in as_completed(client.map(make_shard, jobs, pure=False)))
    elif options.jobs == 1 or len(jobs) < 2:
        yield from map(make_shard, jobs)
    else:
        try:
            from joblib import Parallel, delayed
        except ImportError:
            raise DataError("Several jobs need: pip install 'm2v-studio[data]'; or use one job.") from None
        workers = Parallel(n_jobs=min(options.jobs, len(jobs)), return_as="generator_unordered")
        yield from workers(delayed(make_shard)(job) for job in jobs)


def _take_folder(folder: Path, name: str) -> None:
    """Make the folder, or check that it holds only an earlier run of the same set. Raises DataError."""
    check_writable(folder, DataError, make=True)
    for stale in folder.glob(f".{PREFIX}*.tmp"):  # of a run that was killed
        stale.unlink(missing_ok=True)
    for path in sorted(folder.glob(f"{PREFIX}*{SUFFIX}")):
        try:
            there = open_shard(path).meta.get("set")
        except DataError:
            continue  # damaged: made again
        if there != name:
            raise DataError(f"{folder} holds shards of {there}, not of {name}; choose another folder or empty it.")


def _lists_beside(entries: list[ClipEntry], source: Path) -> dict[str, str]:
    """{item: split} of the lists in the source folder and in the folders between it and its clips."""
    root = source if source.is_dir() else source.parent
    folders = {root}
    for entry in entries:
        folders.update(parent for parent in Path(entry.path).parents if parent.is_relative_to(root))
    found: dict[str, str] = {}
    for folder in sorted(folders):
        found.update(published_splits(folder))
    return found


def _distinct(entries: list[ClipEntry]) -> tuple[list[ClipEntry], list[tuple[str, str]]]:
    first: dict[str, ClipEntry] = {}
    repeated = []
    for entry in entries:
        if first.setdefault(entry.name, entry) is not entry:
            repeated.append((entry.name, f"{entry.path} has a clip named {entry.name}, as another file has."))
    return list(first.values()), repeated


def _write_summary(path: Path, summary: PrepareSummary, name: str, options: PrepareOptions) -> None:
    """JSON beside the shards, whole or not at all."""
    said = {**dataclasses.asdict(summary), "set": name, "options": dataclasses.asdict(options)}
    said.pop("seconds"), said.pop("made")  # of the run, not of the set
    write_atomically(path, lambda file: file.write_text(json.dumps(said, indent=1), encoding="utf-8"), DataError)
