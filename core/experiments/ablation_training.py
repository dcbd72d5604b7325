"""Trains one row of the ablations as `m2v train` does, each stage in a process of its own.

It starts the command, reads its log while it runs, and the checkpoint afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial as bound
from pathlib import Path
from typing import Any

from core.assets import search_path
from core.atomic import write_atomically
from core.checkpoint import STAGES, checkpoint_path, load_checkpoint
from core.errors import DataError

PATIENCE = 2.0  # seconds between looks at the log of a running stage
OnStep = Callable[[int], None]  # steps done of the running stage

# (config, overrides, stage, folder, steps, seed, on_step): trains one stage in a folder, or continues it
TrainStage = Callable[[str, Sequence[str], str, Path, int, int, OnStep], None]


def train_in_a_process(
    config: str, overrides: Sequence[str], stage: str, folder: Path, steps: int, seed: int, on_step: OnStep
) -> None:
    """Run `python -m core.training`. An interrupt stops it after a whole step, from which the next call continues.

    Raises DataError with the last line of its output where it fails.
    """
    settings = [part for override in overrides for part in ("--set", override)]
    command = [sys.executable, "-m", "core.training", stage, "--config", config, *settings, "--out", str(folder)]
    command += ["--steps", str(steps), "--seed", str(seed), "--check-minutes", "1000"]
    log = folder / f"{stage}.log.jsonl"
    seen = 0
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        # A session of its own, so that Ctrl-C reaches the child only through us, once.
        child = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=said, env=os.environ | {"PYTHONPATH": search_path()},
            start_new_session=True,
        )  # fmt: skip
        try:
            while child.poll() is None:
                try:
                    child.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    step = last_line(log).get("step", 0)
                    if step > seen:
                        seen = step
                        on_step(step)
        except BaseException:
            child.terminate()  # training saves its last whole step
            child.wait()
            raise
        if child.returncode != 0:
            said.seek(0)
            lines = said.read().strip().splitlines()
            raise DataError(
                f"{stage} of a row could not be trained: {lines[-1] if lines else f'exit code {child.returncode}'}"
            )


def train_row(
    config: str,
    overrides: Sequence[str],
    stages: Sequence[str],
    weights: str,
    folder: Path,
    clips: int,
    batch: int,
    seed: int,
    train_stage: TrainStage,
    on_step: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Train the stages in `folder`, with the other autoencoders from `weights`; skip stages that are done there.

    Every stage sees `clips` clips. `on_step` gets the stage, steps done and steps in all. Returns {stage: {check,
    clips, seconds, parameters}}. Raises DataError for missing weights.
    """
    for stage in STAGES[:2]:
        target = folder / f"{stage}.safetensors"
        if stage not in stages and not target.exists():
            origin = checkpoint_path(weights, stage)
            if not origin.is_file():
                raise DataError(f"There are no weights of {stage} in {origin.parent}; train it first, or give others.")
            write_atomically(target, lambda temporary, origin=origin: shutil.copyfile(origin, temporary))  # type: ignore[misc]
    measured = {}
    steps = max(1, round(clips / batch))
    for stage in stages:
        started = time.monotonic()
        train_stage(config, overrides, stage, folder, steps, seed, bound(_counted, on_step, stage, steps))
        checkpoint = load_checkpoint(folder / f"{stage}.safetensors", stage)
        record = checkpoint.record
        measured[stage] = {
            "check": {k: v for k, v in record["checks"][-1].items() if k not in ("step", "clips", "seconds")},
            "clips": record["clips"],
            "seconds": round(time.monotonic() - started, 1),
            "parameters": sum(tensor.numel() for tensor in checkpoint.tensors.values()),
        }
    return measured


def _counted(on_step: Callable[[str, int, int], None], stage: str, steps: int, step: int) -> None:
    on_step(stage, step, steps)


def last_line(log: Path) -> dict[str, Any]:
    """The last line of a training log that has a step; {} where there is none yet."""
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:  # being written
            continue
        if isinstance(entry, dict) and "step" in entry:
            return entry
    return {}
