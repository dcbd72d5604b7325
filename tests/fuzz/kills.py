"""`python -m tests.fuzz.kills --count 100`: writers killed within their writes; nothing is lost, nothing stays behind.

A child process writes one file (or folder) again and again, each time with the next number in it, and says after each
that it is done. It is killed within one of the writes: Python tells of every file that is opened, renamed or deleted,
and the child dies at one of these calls that touch what is unfinished, or at a moment between it and the next. Then
what lies there must be whole and no older than what the child had finished, and after the next start nothing else may
lie beside it. A killed training must go on as if it had not been.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import trimesh

from core.atomic import remove_unfinished
from core.checkpoint import STAGES, load_checkpoint, save_checkpoint
from core.config import Config
from core.io import staging
from core.io.export import export_sequence
from core.io.mesh.mesh_reader import read_mesh
from core.io.mesh.source_mesh import build_source_mesh
from core.io.usd.usd_mesh import read_usd_mesh
from core.sequence import MeshSequence, SourceMesh
from core.training import loop
from core.training.stages import train
from m2v_studio.document.project import load_project, save_project
from m2v_studio.document.state import Document, State
from tests.training.fixed import FixedClips, tiny

FRAMES = 6
STEPS = 6
STAGE = STAGES[1]
UNFINISHED = (".tmp", staging.PREFIX, ".log.jsonl")  # in the names of what is being written


def ball(number: int) -> SourceMesh:
    """A mesh whose least x is `number`, but for single precision."""
    shape = trimesh.creation.icosphere(4)
    points = shape.vertices - shape.vertices.min(axis=0) + [number, 0, 0]
    return build_source_mesh(points.astype(np.float32), shape.faces, name="ball")


@dataclass
class Kind:
    """How something is written with a number in it, and how the number is read from what lies there."""

    name: str
    write: Callable[[Path, int], object]
    read: Callable[[Path], int]
    beside: tuple[str, ...] = ()
    start: Callable[[Path], object] = lambda folder: staging.remove_left_behind()  # what the next start does


def write_motion(out: Path, number: int) -> None:
    source = ball(number)
    export_sequence(MeshSequence(np.repeat(source.vertices[None], FRAMES, axis=0), source.faces), out, source)


def least_x(path: Path) -> int:
    # A process of its own for every USD file would take most of the time.
    mesh = read_usd_mesh(path) if path.suffix == ".usdc" else read_mesh(path)
    return round(float(mesh.vertices[:, 0].min()) + mesh.origin[0])


def read_frames(folder: Path) -> int:
    frames = sorted(folder.glob("frame_*.obj"))
    assert len(frames) == FRAMES, f"{len(frames)} frames of {FRAMES}"
    numbers = {least_x(frame) for frame in frames}
    assert len(numbers) == 1, f"frames of several exports: {numbers}"
    return numbers.pop()


def write_checkpoint(path: Path, number: int) -> None:
    save_checkpoint(path, STAGE, Config(), {"a": torch.full((200_000,), float(number))}, {"step": number})


def read_checkpoint(path: Path) -> int:
    checkpoint = load_checkpoint(path, STAGE)
    number = int(checkpoint.record["step"])
    assert bool((checkpoint.tensors["a"] == number).all()), "tensors of another save"
    return number


def read_project(path: Path) -> int:
    document, _ = load_project(path)
    assert document.source is not None
    return round(float(document.source.vertices[:, 0].min()) + document.source.origin[0])


KINDS = (
    Kind("save.m2v", lambda path, n: save_project(State(document=Document(source=ball(n))), path), read_project),
    Kind("motion.glb", write_motion, least_x, ("import_motion_glb.py",)),
    Kind("motion.usdc", write_motion, least_x, ("import_motion_usdc.py",)),
    Kind("motion.obj", write_motion, read_frames, ("import_motion_obj.py",)),
    Kind(f"{STAGE}.safetensors", write_checkpoint, read_checkpoint, start=remove_unfinished),
)


class FileCalls:
    """The calls of this process that touch unfinished files in a folder, and death at one of them."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._folder = ""
        self._last, self._wait = -1, 0.0
        sys.addaudithook(self._heard)

    def watch(self, folder: Path | None, last: int = -1, wait: float = 0.0) -> None:
        """Note the calls' times from now on; die `wait` seconds after call `last` (0: at it), if there is one."""
        self.times, self._last, self._wait = [], last, wait
        self._folder = "" if folder is None else str(folder)

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._folder or not event.startswith(("open", "os.", "shutil.", "tempfile.")):
            return
        paths = [str(value) for value in arguments if isinstance(value, str | os.PathLike)]
        if not any(path.startswith(self._folder) and any(part in path for part in UNFINISHED) for path in paths):
            return
        self.times.append(time.perf_counter())
        if len(self.times) == self._last + 1:
            if self._wait <= 0.0:
                os.kill(os.getpid(), signal.SIGKILL)
            # The system's own answer to this signal: it ends the process at once, inside a library's code too.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, self._wait)


def moment(times: list[float], luck: random.Random) -> tuple[int, float]:
    """One of these calls, and how long after it: as often at a call as at any time from the first to the last."""
    if luck.random() < 0.5:
        return luck.randrange(len(times)), 0.0
    when = luck.uniform(times[0], times[-1])
    last = max(number for number, time in enumerate(times) if time <= when)
    return last, when - times[last]


@dataclass
class Tally:
    """What the kills of one kind did."""

    kills: int = 0
    in_the_middle: int = 0  # left something unfinished behind
    calls: int = 0  # that touch unfinished files, in one write
    faults: list[str] = field(default_factory=list)


def kill_writers(kind: Kind, count: int, luck: random.Random, calls: FileCalls) -> Tally:
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        target = folder / kind.name
        kind.write(target, 0)
        calls.watch(folder)
        kind.write(target, 0)  # over one that is there, as the child does
        times, tally.calls = calls.times, len(calls.times)
        calls.watch(None)
        beside = {path.name for path in folder.iterdir()}
        if beside - {kind.name} - set(kind.beside):
            tally.faults.append(f"{sorted(beside)} were written")
        number = 0
        for _ in range(count):
            last, wait = moment(times, luck)
            last += len(times) * luck.randrange(3)  # of the first, second or third write
            done = _killed(
                lambda say, first=number, last=last, wait=wait: (
                    calls.watch(folder, last, wait),
                    _write_on(kind, target, first, say),
                )
            )
            tally.kills += 1
            tally.in_the_middle += {path.name for path in folder.iterdir()} != beside
            try:
                kind.start(folder)
                if (left := {path.name for path in folder.iterdir()}) != beside:
                    tally.faults.append(f"{sorted(left ^ beside)} stayed or is missing after the next start")
                found = kind.read(target)
                finished = max(number, done)
                if found not in (finished, finished + 1):  # it may have been killed before it could say so
                    tally.faults.append(f"number {found} was there, but {finished} had been finished")
                number = found + 1
                kind.write(target, number)
                if kind.read(target) != number:
                    tally.faults.append("the next write is not what is there")
                if (left := {path.name for path in folder.iterdir()}) != beside:
                    tally.faults.append(f"{sorted(left ^ beside)} stayed or is missing after the next write")
            except Exception as error:  # whatever it is, it is a fault
                tally.faults.append(f"{type(error).__name__}: {error}")
    return tally


def _write_on(kind: Kind, target: Path, first: int, say: Callable[[int], object]) -> None:
    number = first
    while True:
        number += 1
        kind.write(target, number)
        say(number)


def kill_trainings(count: int, luck: random.Random, calls: FileCalls) -> Tally:
    tally = Tally()
    loop.LOG_EVERY, loop.CHECK_CLIPS, loop.flops_per_clip = 1, 4, lambda *_: 1e6
    with tempfile.TemporaryDirectory() as place:
        whole, broken = Path(place) / "whole", Path(place) / "broken"
        source = FixedClips()  # it is about files: clips are made once
        calls.watch(whole)
        _train(whole, source)
        times, tally.calls = calls.times, len(calls.times)
        calls.watch(None)
        expected = {path.name for path in whole.iterdir()}
        for _ in range(count):
            last, wait = moment(times, luck)
            _killed(lambda say, last=last, wait=wait: (calls.watch(broken, last, wait), _train(broken, source)))
            tally.kills += 1
            left = {path.name for path in broken.iterdir()} if broken.is_dir() else set()
            tally.in_the_middle += any(name.endswith(".tmp") for name in left)
            try:
                _train(broken, source)
                if (names := {path.name for path in broken.iterdir()}) != expected:
                    tally.faults.append(f"{sorted(names ^ expected)} stayed or is missing")
                for suffix, same in (("safetensors", _same_weights), ("log.jsonl", _same_log)):
                    if not same(whole / f"{STAGE}.{suffix}", broken / f"{STAGE}.{suffix}"):
                        tally.faults.append(f"the {suffix} is not that of a run that was not killed")
            except Exception as error:
                tally.faults.append(f"{type(error).__name__}: {error}")
            shutil.rmtree(broken, ignore_errors=True)
    return tally


def _train(folder: Path, source: FixedClips) -> None:
    train([STAGE], tiny(), folder, steps=STEPS, source=source, minutes_between_checks=0.0)


def _same_weights(first: Path, second: Path) -> bool:
    ours, theirs = load_checkpoint(first).tensors, load_checkpoint(second).tensors
    return all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def _same_log(first: Path, second: Path) -> bool:
    ours, theirs = (
        [(line["step"], line["loss"]) for line in map(json.loads, path.read_text().splitlines()) if "loss" in line]
        for path in (first, second)
    )
    return ours == theirs


def _killed(work: Callable[[Callable[[int], object]], object]) -> int:
    """Run `work`, which dies, in a child; the last number it said, or 0."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            work(lambda number: os.write(writing, b"%d\n" % number))
            time.sleep(5.0)  # a quick one may be done before its time has come
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        numbers = [int(line) for line in said.read().splitlines()]
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("the child ended before it was killed")
    return max(numbers, default=0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="kills of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose name holds this; `training` is one")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a child must not need threads that only its parent has
    with tempfile.TemporaryDirectory() as settings:
        os.environ["M2V_CONFIG_DIR"] = settings
        return kill_all(options.count, options.seed, options.only)


def kill_all(count: int, seed: int, only: str) -> bool:
    """Kill writers of each kind whose name holds `only`; whether anything went wrong."""
    failed = False
    luck = random.Random(seed)
    calls = FileCalls()
    runs = {kind.name: lambda kind=kind: kill_writers(kind, count, luck, calls) for kind in KINDS}
    runs["training"] = lambda: kill_trainings(count, luck, calls)
    for name, run in runs.items():
        if only in name:
            tally = run()
            failed |= bool(tally.faults)
            print(
                f"{name}: {tally.kills} kills, {tally.in_the_middle} in the middle of a write "
                f"({tally.calls} file calls), "
                f"{len(tally.faults)} faults {tally.faults[:3]}",
                flush=True,
            )
    return failed


if __name__ == "__main__":
    sys.exit(main())
