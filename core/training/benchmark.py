"""How fast a stage trains here, over the plainest loop of the same model.

The plain loop is one process with all threads: draw, forward, backward, clip, step. Ours is `train_stage` as
`m2v train` runs it, with averaged weights and everything else, in as many processes as there are cores (small tensors
do not fill several threads). Both run by turns, each in fresh processes, so that a busy machine slows both.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from core.checkpoint import STAGES, save_checkpoint
from core.config import Config, load_config
from core.errors import ConfigError, DataError
from core.models.diffusion_models import build_motion_autoencoder, build_shape_autoencoder
from core.training.loop import Budget, make_accelerator, train_stage
from core.training.objectives import Objective
from core.training.sources import MixedSource
from core.training.stages import build_objective

WARM_UP = 3  # steps that do not count: allocation, and compiling where it is asked for
STARTUP_SECONDS = 900  # a child may need this much on top: imports, compiling
ROOT = Path(__file__).parents[2]
OnProgress = Callable[[int, int, str], None]


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def benchmark_training(
    preset: str = "small",
    stage: str = STAGES[3],
    seconds: float = 30.0,
    rounds: int = 2,
    processes: int | None = None,
    overrides: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Clips per second of the plain loop and of ours, `rounds` times by turns, and the ratio of their medians.

    Weights are fresh: speed does not depend on them. Raises ConfigError for an impossible request and DataError, with
    what it said, when a child fails.
    """
    config = load_config(preset, overrides)
    if stage not in STAGES:
        raise ConfigError(f"There is no stage {stage!r}; choose one of {', '.join(STAGES)}.")
    if not seconds > 0 or rounds < 1:
        raise ConfigError(f"{rounds} rounds of {seconds} seconds are not possible; ask for 1 or more, above 0.")
    processes = processes or (1 if torch.cuda.is_available() else cores())
    speeds: dict[str, list[float]] = {"plain": [], "ours": []}
    with tempfile.TemporaryDirectory(prefix="m2v-bench-") as folder:
        save_first_weights(config, Path(folder))
        for number in range(rounds):
            for place, kind in enumerate(("plain", "ours")):
                if on_progress is not None:
                    on_progress(2 * number + place, 2 * rounds, f"{kind} loop")
                speeds[kind].append(_child(kind, preset, stage, seconds, processes, overrides, folder))
    middle = {kind: median(values) for kind, values in speeds.items()}
    return {
        "protocol": "training-bench",
        "preset": preset,
        "stage": stage,
        "seconds": seconds,
        "processes": processes,
        "cores": cores(),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "clips_per_second": speeds,
        "median": middle,
        "ratio": middle["ours"] / middle["plain"],
    }


def benchmark_markdown(report: dict[str, Any]) -> str:
    """The report as a page of Markdown."""
    rows = [
        f"| {kind} | {', '.join(f'{speed:.2f}' for speed in speeds)} | {report['median'][kind]:.2f} |"
        for kind, speeds in report["clips_per_second"].items()
    ]
    return "\n".join(
        [
            "# Training throughput",
            "",
            f"{report['stage']} of preset `{report['preset']}`, {report['seconds']:g} s a run by turns; "
            f"{report['machine']}, {report['cores']} cores, load average {report['load_average']}. Plain: one process, all threads. Ours: "
            f"{report['processes']} process(es).",
            "",
            "| Loop | clips/s | median |",
            "|---|---:|---:|",
            *rows,
            "",
            f"Ours over plain: {report['ratio']:.2f}",
            "",
        ]
    )


def save_first_weights(config: Config, folder: Path) -> None:
    """Untrained autoencoders, for the diffusion stages to stand on."""
    torch.manual_seed(0)
    for stage, module in zip(STAGES, (build_shape_autoencoder(config), build_motion_autoencoder(config)), strict=False):
        save_checkpoint(folder / f"{stage}.safetensors", stage, config, module.state_dict(), {})


def _child(
    kind: str, preset: str, stage: str, seconds: float, processes: int, overrides: Sequence[str], folder: str
) -> float:
    """Clips per second as a fresh process (or several) measures them."""
    launcher = [sys.executable]
    threads = cores()
    if kind == "ours" and processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        threads = max(1, threads // processes)
    arguments = [kind, preset, stage, str(seconds), folder, *overrides]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": _search_path()}
    if not torch.cuda.is_available():
        environment["ACCELERATE_USE_CPU"] = "true"
    try:
        done = subprocess.run(
            [*launcher, "-m", "core.training.benchmark", *arguments],
            capture_output=True, text=True, env=environment, timeout=10 * seconds + STARTUP_SECONDS,
        )  # fmt: skip
        return float(json.loads(done.stdout.strip().splitlines()[-1])["clips_per_second"])
    except (IndexError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        said = getattr(locals().get("done"), "stderr", "") or str(error)
        raise DataError(f"The {kind} loop could not be timed: {said.strip().splitlines()[-1]}") from error


def _search_path() -> str:
    """Children import the same code as this process, installed or not."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def time_plain(objective: Objective, config: Config, source: MixedSource, seconds: float) -> float:
    """Clips per second of the plain loop, after the warm-up."""
    parameters = [parameter for parameter in objective.trained.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.training.learning_rate)
    generator = torch.Generator(device=parameters[0].device).manual_seed(0)
    done, started = -WARM_UP, time.monotonic()
    while done < 1 or time.monotonic() - started < seconds:
        if done == 0:
            started = time.monotonic()
        loss, _ = objective(objective.draw(source, config.training.batch, generator, "train"), generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.training.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        float(loss.detach())  # waits for the device
        done += 1
    return done * config.training.batch / (time.monotonic() - started)


def time_ours(stage: str, objective: Objective, config: Config, source: MixedSource, seconds: float) -> float:
    """Clips per second of `train_stage` between its warm-up and its end; 0 in processes other than the first."""
    accelerator = make_accelerator(config)
    clips = config.training.batch * config.training.accumulate * accelerator.num_processes
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="m2v-bench-") as folder:
        train_stage(
            stage, objective, source, config, Budget(minutes=seconds / 60), Path(folder),
            on_step=lambda report: times.append(time.monotonic()), minutes_between_checks=1e9, accelerator=accelerator,
        )  # fmt: skip
    if not accelerator.is_main_process:
        return 0.0
    if len(times) <= WARM_UP + 1:
        raise DataError(f"Only {len(times)} steps fitted into {seconds:g} s, too few to time; give more seconds.")
    return (len(times) - 1 - WARM_UP) * clips / (times[-1] - times[WARM_UP])


def main(arguments: Sequence[str]) -> None:
    """What a child does: `KIND PRESET STAGE SECONDS FOLDER [OVERRIDE ...]`; prints one line of JSON."""
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
        speed = time_plain(objective, config, source, float(seconds))
    else:
        speed = time_ours(stage, objective, config, source, float(seconds))
    if accelerator.is_main_process:
        print(json.dumps({"clips_per_second": speed}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
