"""The training loop: one for all four stages, through accelerate, on one CPU, one GPU or many.

Step s gets its clips and noise from seeds made of (run seed, s, block), where a block is one process's share of one
accumulation step (`core.training.examples`). Hence a run that was killed and resumed, or spread over more processes
with the same global batch, is the same run.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast

from core.atomic import check_writable
from core.checkpoint import save_checkpoint
from core.config import Config
from core.data.clips import ClipSource
from core.errors import ConfigError
from core.precision import lacks_float64
from core.training.compiled import compile_network, eagerly
from core.training.examples import Examples, step_seed
from core.training.interrupts import interrupts_wait
from core.training.log import Log
from core.training.objectives import Figures, Objective
from core.training.start import Say, begin, say_on_error_stream
from core.training.state import AveragedWeights, averaged_weights, save_state
from core.training.throughput import flops_per_clip, peak_flops, usage

CHECK_CLIPS = 64
LOG_EVERY = 20  # steps

# Called at each held-out check, with the averaged weights in place: stage, step, objective, source.
OnCheck = Callable[[str, int, Objective, ClipSource], None]


@dataclass
class Budget:
    """When a stage ends: at a number of steps in all, or after some minutes of this run, whichever comes first.

    The learning rate falls to a tenth over the last third of the minutes (or steps), so weights are settled at the end.
    Steps count earlier runs, so that a run stopped halfway and resumed has the same schedule as one that was not.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ConfigError("Say how long to train: --minutes M or --steps N.")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"{self.steps} training steps are not possible; ask for 1 or more.")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ConfigError(f"{self.minutes} minutes of training are not possible; give a positive number.")

    def fraction(self, step: int, seconds: float) -> float:
        """How much of the budget is used: 1 or more when the stage is over. `seconds` are those of this run."""
        by_steps = step / self.steps if self.steps is not None else 0.0
        by_time = seconds / (self.minutes * 60) if self.minutes is not None else 0.0
        return max(by_steps, by_time)


@dataclass
class Report:
    """One line of progress: for the progress bar, a test, a log."""

    stage: str
    step: int
    fraction: float
    loss: float
    clips_per_second: float


def learning_rate(config: Config, step: int, fraction: float) -> float:
    """Warm-up, a plateau, and a linear fall to a tenth over the last third of the budget."""
    training = config.training
    warm = min(1.0, (step + 1) / max(1, training.warmup_steps))
    cool = 1.0 - 0.9 * min(1.0, max(0.0, (fraction - 2 / 3) * 3))
    return training.learning_rate * warm * cool


def train_stage(
    stage: str,
    objective: Objective,
    source: ClipSource,
    config: Config,
    budget: Budget,
    folder: Path,
    seed: int = 0,
    on_step: Callable[[Report], None] | None = None,
    minutes_between_checks: float = 3.0,
    on_check: OnCheck | None = None,
    accelerator: Accelerator | None = None,
    weights: Sequence[str] = (),
    say: Say = say_on_error_stream,
) -> dict[str, Any]:
    """Train one stage in `folder` (resuming what is there) and return its training record.

    Without a state to resume, `weights`, folders or presets, hold checkpoints of this stage to begin with.

    Writes `<stage>.state.safetensors` (to go on), `<stage>.safetensors` (averaged weights, float16) and lines of
    `<stage>.log.jsonl`. `on_check` is called with the averaged weights in place. Anything raised in a callback stops
    the run after the last whole step, saved. With several processes the first one alone checks, writes and calls back,
    and its clock decides when the stage ends.
    """
    training = config.training
    accelerator = accelerator or make_accelerator(config)
    device = accelerator.device
    check_writable(folder, make=True)
    objective.to(device)
    for frozen in getattr(objective, "_frozen", ()):
        frozen.to(device)
    trained, state_path = objective.trained, folder / f"{stage}.state.safetensors"
    quiet = say if accelerator.is_main_process else _nothing
    start = begin(stage, objective, source, config, state_path, weights, seed, step_seed(seed, 0, 999), quiet)
    record, average, optimizer = start.record, start.average, start.optimizer
    bf16 = accelerator.mixed_precision == "bf16"
    flops, peak = math.nan, peak_flops(device, bf16)
    if training.compile:
        compile_network(trained)
    wrapped, optimizer = accelerator.prepare(objective, optimizer)
    log = Log(folder / f"{stage}.log.jsonl", record["step"]) if accelerator.is_main_process else None
    world, rank = accelerator.num_processes, accelerator.process_index
    examples = Examples(objective, source, training.batch, seed, device)
    first_step = record["step"]
    started = last_check = time.monotonic()
    spent_before = record["seconds"]
    loss_average, speed = math.nan, 0.0

    def save() -> None:
        if accelerator.is_main_process:
            # The state last: a run that is killed in between goes on from the one before, and writes both again.
            save_checkpoint(folder / f"{stage}.safetensors", stage, config, average.tensors, record, half=True)
            save_state(state_path, trained, average, optimizer, record)

    def check() -> None:
        if log is None:
            return
        with eagerly(training.compile):
            figures = averaged_check(objective, average, source, config, device, seed)
        record["checks"].append(
            {"step": record["step"], "clips": record["clips"], "seconds": record["seconds"]} | figures
        )
        log.write({"step": record["step"], "clips": record["clips"], "seconds": record["seconds"], "check": figures})
        if on_check is not None:
            with averaged_weights(objective.trained, average), eagerly(training.compile):
                on_check(stage, record["step"], objective, source)

    try:
        while True:
            elapsed = time.monotonic() - started
            fraction = _agreed(budget.fraction(record["step"] - start.base, elapsed), accelerator)
            if fraction >= 1.0:
                break
            rate = learning_rate(config, record["step"] - start.base, fraction)
            for group in optimizer.param_groups:
                group["lr"] = rate
            wrapped.train()
            losses, figures = [], {}
            for part in range(training.accumulate):
                block = part * world + rank
                # Networks that sample while training (the autoencoders' posteriors) use the global generator.
                torch.manual_seed(step_seed(seed, record["step"], 500 + block))
                last_part = part == training.accumulate - 1
                with accelerator.autocast():
                    draw = examples.at(record["step"], block)
                    if last_part or not hasattr(wrapped, "no_sync"):
                        loss, figures = wrapped(*draw)
                    else:
                        with accelerator.no_sync(wrapped):
                            loss, figures = wrapped(*draw)
                accelerator.backward(loss / training.accumulate)
                losses.append(loss.detach())
            accelerator.clip_grad_norm_(trained.parameters(), training.gradient_clip)
            with interrupts_wait():
                optimizer.step()
                average.update(trained)
                record["step"] += 1
                record["clips"] += training.batch * training.accumulate * world
            optimizer.zero_grad(set_to_none=True)
            now = time.monotonic()
            record["seconds"] = round(spent_before + now - started, 1)
            speed = (record["step"] - first_step) * training.batch * training.accumulate * world / (now - started)
            if record["step"] % LOG_EVERY == 0 or math.isnan(loss_average):
                # Only here does the loop wait for the device: reading a loss stops it from running ahead.
                loss_value = float(accelerator.reduce(torch.stack(losses).mean(), "mean"))
                loss_average = loss_value if math.isnan(loss_average) else 0.7 * loss_average + 0.3 * loss_value
            if log is not None and record["step"] % LOG_EVERY == 0:
                values = {name: round(float(value), 6) for name, value in figures.items()}
                if math.isnan(flops):
                    with eagerly(training.compile):
                        flops = flops_per_clip(objective, source, training.batch, step_seed(seed, 0, 998), bf16)
                log.write(
                    {
                        "step": record["step"],
                        "clips": record["clips"],
                        "seconds": record["seconds"],
                        "loss": round(loss_value, 6),
                        "rate": rate,
                        "clips_per_second": round(speed, 2),
                    }
                    | usage(flops, speed, world, peak)
                    | values
                )
            if now - last_check > minutes_between_checks * 60:
                check()
                save()
                last_check = time.monotonic()
            if on_step is not None and accelerator.is_main_process:
                on_step(Report(stage, record["step"], fraction, loss_average, speed))
    finally:
        machine = _machine(device, world)
        record["machines"][machine] = round(record["machines"].get(machine, 0.0) + time.monotonic() - started, 1)
        if record["step"] > first_step:
            save()
    if not record["checks"] or record["checks"][-1]["step"] < record["step"]:  # or a killed run had yet to check
        check()
        save()
    accelerator.wait_for_everyone()  # the next stage reads this one's file
    with torch.no_grad():
        trained.load_state_dict(average.tensors)
    return record


def averaged_check(
    objective: Objective, average: AveragedWeights, source: ClipSource, config: Config, device: torch.device, seed: int
) -> Figures:
    """Held-out figures on unseen identities, with the averaged weights, on the same clips every time."""
    generator = torch.Generator(device=device).manual_seed(12_345)
    totals: dict[str, float] = {}
    batch = config.training.batch
    rounds = max(1, CHECK_CLIPS // batch)
    with averaged_weights(objective.trained, average):
        for _ in range(rounds):
            clips = objective.draw(source, batch, generator, "unseen_identity")
            for name, value in objective.check(clips, generator).items():
                totals[name] = totals.get(name, 0.0) + value / rounds
    return {name: round(value, 5) for name, value in totals.items()}


def _nothing(line: str) -> None:
    """What processes other than the first one say."""


def make_accelerator(config: Config) -> Accelerator:
    """accelerate chooses device and processes; bf16 only where it is fast, unless the configuration insists."""
    precision = chosen_precision(config)
    # Without an accelerator, say so: only then does accelerate join several processes on the CPU.
    mixed = "bf16" if precision == "bf16" else "no"
    # A block trains one kind of observation: conditioners of the others get no gradient in it.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    gpu = torch.accelerator.is_available() and not lacks_float64(torch.accelerator.current_accelerator())
    return Accelerator(cpu=not gpu, mixed_precision=mixed, kwargs_handlers=[unused])


def chosen_precision(config: Config) -> str:
    """`fp32` or `bf16`: what the configuration says, or what suits the device."""
    precision = config.training.precision
    if precision == "auto":
        return "bf16" if native_bf16() else "fp32"
    return precision


def native_bf16() -> bool:
    """Whether the device multiplies bfloat16 itself: most GPUs, and CPUs with AVX512-BF16 or AMX (twice as fast)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    # Older versions of torch do not tell.
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _machine(device: torch.device, processes: int) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    cores = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{processes} x {name}{cores}"


def _agreed(value: float, accelerator: Accelerator) -> float:
    """The first process's value: processes whose clocks disagree about the end would wait for each other forever."""
    if accelerator.num_processes == 1:
        return value
    return float(broadcast(torch.tensor(value, device=accelerator.device), from_process=0))
