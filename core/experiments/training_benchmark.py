"""`m2v bench --training`: how fast a stage trains on this machine, compared with a plain loop over the same model.

The plain loop is one process: draw, forward, backward, clip, step. It is run with all threads and with one, and the
faster counts. Ours is `train_stage` as `m2v train` runs it, in as many processes as there are cores, since small
tensors do not fill several threads. The loops alternate, each in fresh processes. On a busy machine, the CPU seconds
per clip say more than the ratio.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch

from core.assets import search_path
from core.checkpoint import STAGES, save_checkpoint
from core.config import Config, load_config
from core.errors import ConfigError, DataError
from core.evaluation.reporting import Cell, OnProgress, Report, table
from core.models.diffusion_models import build_motion_autoencoder, build_shape_autoencoder
from core.training.loop import Budget, chosen_precision, make_accelerator, train_stage
from core.training.objectives import Objective
from core.training.sources import MixedSource
from core.training.stages import build_objective
from core.usable_cores import usable_cores

WARM_UP = 3  # steps not counted: allocation, and compilation if enabled
STARTUP_SECONDS = 900  # extra seconds for a child's imports and compilation


class Loop(NamedTuple):
    kind: str  # plain or ours
    processes: int
    threads: int  # of each process

    @property
    def title(self) -> str:
        return f"{self.kind}, {self.processes} x {self.threads} thread{'s' * (self.threads > 1)}"


class Timing(NamedTuple):
    clips_per_second: float
    cpu_seconds_per_clip: float  # of all processes and threads together


def benchmark_training(
    preset: str = "small",
    stage: str = STAGES[3],
    seconds: float = 30.0,
    rounds: int = 2,
    overrides: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Clips per second of the plain loops and of ours, `rounds` times in turn, and ours over the faster plain one.

    `seconds` is the time of one run. Weights are fresh, since speed does not depend on them. Raises ConfigError for an
    impossible request, and DataError with the child's last line where a process fails.
    """
    config = load_config(preset, overrides)
    if stage not in STAGES:
        raise ConfigError(f"There is no stage {stage!r}; choose one of {', '.join(STAGES)}.")
    if not seconds > 0 or rounds < 1:
        raise ConfigError(f"{rounds} rounds of {seconds} seconds is out of range; ask for 1 or more, above 0.")
    several = usable_cores()
    processes = 1 if torch.cuda.is_available() else several
    loops = [Loop("plain", 1, several)] + ([Loop("plain", 1, 1)] if several > 1 else [])
    loops.append(Loop("ours", processes, max(1, several // processes)))
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    timed: dict[str, list[Timing]] = {loop.title: [] for loop in loops}
    with tempfile.TemporaryDirectory(prefix="m2v-bench-") as folder:
        save_first_weights(config, Path(folder))
        for number in range(rounds):
            for place, loop in enumerate(loops):
                if on_progress is not None:
                    on_progress(len(loops) * number + place, len(loops) * rounds, loop.title)
                timed[loop.title].append(_child(loop, preset, stage, seconds, overrides, folder))
    speeds = {title: [timing.clips_per_second for timing in timings] for title, timings in timed.items()}
    costs = {title: median(timing.cpu_seconds_per_clip for timing in timings) for title, timings in timed.items()}
    middle = {title: median(values) for title, values in speeds.items()}
    ours = middle[loops[-1].title]
    plain = max(middle[loop.title] for loop in loops[:-1])
    return {
        "protocol": "training-bench",
        "preset": preset,
        "stage": stage,
        "seconds": seconds,
        "cores": several,
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "load_average": busy,
        "clips_per_second": speeds,
        "median": middle,
        "cpu_seconds_per_clip": costs,
        "ours": ours,
        "plain": plain,
        "ratio": ours / plain,
        "note": comparison_note(config, stage),
    }


def benchmark_tables(report: Report) -> list[str]:
    """What was timed, and the speeds of the loops; Markdown, block by block."""
    busy = report["load_average"]
    load = "" if busy is None else f", load average before the run {busy:.1f}"
    warning = "" if busy is None or busy < 0.5 else " **The machine was busy, so the ratio is unreliable.**"
    columns: dict[str, Cell] = {
        "Loop": str,
        "clips/s ↑": lambda title: ", ".join(f"{speed:.2f}" for speed in report["clips_per_second"][title]),
        "median ↑": lambda title: f"{report['median'][title]:.2f}",
        "CPU s per clip ↓": lambda title: f"{report['cpu_seconds_per_clip'][title]:.3f}",
    }
    return [
        f"Stage {report['stage']} of preset `{report['preset']}`; the loops take turns of {report['seconds']:g} s. "
        f"{report['machine']}, {report['cores']} cores{load}.{warning}",
        table(report["median"], columns),
        f"Ours over the faster plain loop: {report['ratio']:.2f}. {report.get('note', '')}",
    ]


def comparison_note(config: Config, stage: str) -> str:
    """A sentence on what ours does that the plain loop does not."""
    reuse = config.training.reuse if stage == STAGES[3] else 1
    prepared = f"prepares each clip once for {reuse} steps and " if reuse > 1 else ""
    counted = "; a clip counts once for each step that uses it" if reuse > 1 else ""
    return f"Ours {prepared}computes in {chosen_precision(config)}, the plain loop in fp32{counted}."


def save_first_weights(config: Config, folder: Path) -> None:
    """Untrained autoencoders for the diffusion stages."""
    torch.manual_seed(0)
    for stage, module in zip(STAGES, (build_shape_autoencoder(config), build_motion_autoencoder(config)), strict=False):
        save_checkpoint(folder / f"{stage}.safetensors", stage, config, module.state_dict(), {})


def _child(loop: Loop, preset: str, stage: str, seconds: float, overrides: Sequence[str], folder: str) -> Timing:
    """Time one loop in fresh processes. Raises DataError where that fails."""
    launcher = [sys.executable]
    if loop.processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(loop.processes)]
    arguments = [loop.kind, preset, stage, str(seconds), folder, *overrides]
    environment = os.environ | {"OMP_NUM_THREADS": str(loop.threads), "PYTHONPATH": search_path()}
    if not torch.cuda.is_available():
        environment["ACCELERATE_USE_CPU"] = "true"
    said = ""
    try:
        done = subprocess.run(
            [*launcher, "-m", "core.experiments.training_benchmark", *arguments],
            capture_output=True, text=True, env=environment, timeout=10 * seconds + STARTUP_SECONDS,
        )  # fmt: skip
        said = done.stderr
        return Timing(**json.loads(done.stdout.strip().splitlines()[-1]))
    except (IndexError, ValueError, TypeError, subprocess.TimeoutExpired) as error:
        last = (said.strip() or str(error)).splitlines()[-1]
        raise DataError(f"The loop {loop.title} could not be timed: {last}") from error


def time_plain(objective: Objective, config: Config, source: MixedSource, seconds: float) -> Timing:
    """Speed of the plain loop, without its first steps."""
    parameters = [parameter for parameter in objective.trained.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.training.learning_rate)
    generator = torch.Generator(device=parameters[0].device).manual_seed(0)
    done, started, cpu = -WARM_UP, time.monotonic(), time.process_time()
    while done < 1 or time.monotonic() - started < seconds:
        if done == 0:
            started, cpu = time.monotonic(), time.process_time()
        example = objective.example(objective.draw(source, config.training.batch, generator, "train"), generator)
        loss, _ = objective(example, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.training.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        float(loss.detach())  # waits for the device
        done += 1
    clips = done * config.training.batch
    return Timing(clips / (time.monotonic() - started), (time.process_time() - cpu) / clips)


def time_ours(stage: str, objective: Objective, config: Config, source: MixedSource, seconds: float) -> Timing | None:
    """Speed of `train_stage`, without its first steps; None in all processes but the first."""
    accelerator = make_accelerator(config)
    clips = config.training.batch * config.training.accumulate * accelerator.num_processes
    times: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="m2v-bench-") as folder:
        train_stage(
            stage, objective, source, config, Budget(minutes=seconds / 60), Path(folder),
            on_step=lambda report: times.append((time.monotonic(), time.process_time())),
            minutes_between_checks=1e9, accelerator=accelerator,
        )  # fmt: skip
    if not accelerator.is_main_process:
        return None
    if len(times) <= WARM_UP + 1:
        raise DataError(f"Only {len(times)} steps fitted into {seconds:g} s, too few to time; give more seconds.")
    (began, cpu_began), (ended, cpu_ended) = times[WARM_UP], times[-1]
    total = (len(times) - 1 - WARM_UP) * clips
    # Only this process's CPU time is known; all do the same work.
    return Timing(total / (ended - began), (cpu_ended - cpu_began) * accelerator.num_processes / total)


def main(arguments: Sequence[str]) -> None:
    """Times one loop in this process; prints one line of JSON. KIND PRESET STAGE SECONDS FOLDER [OVERRIDE ...]"""
    kind, preset, stage, seconds, folder, *overrides = arguments
    config = load_config(preset, overrides)
    accelerator = make_accelerator(config)
    torch.manual_seed(0)
    objective = build_objective(stage, config, Path(folder))
    source = MixedSource(config.data, accelerator.device)
    if kind == "plain":
        objective.to(accelerator.device)
        for frozen in getattr(objective, "_frozen", ()):
            frozen.to(accelerator.device)
        timing: Timing | None = time_plain(objective, config, source, float(seconds))
    else:
        timing = time_ours(stage, objective, config, source, float(seconds))
    if timing is not None:
        print(json.dumps(timing._asdict()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
