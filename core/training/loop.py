"""The training loop of all stages, through accelerate, on one CPU, one GPU or several.

Clips and noise of step s come from seeds made of (run seed, s, block), where a block is one process's share of an
accumulation step (`core.training.examples`). So a resumed run, or one with more processes and the same global batch,
is the same run.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast
from torch import Tensor

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
from core.training.start import Say, Start, begin, say_on_error_stream
from core.training.state import AveragedWeights, averaged_weights, save_state
from core.training.throughput import flops_per_clip, peak_flops, usage

CHECK_CLIPS = 64
LOG_EVERY = 20  # steps

# Called at each held-out check, with the averaged weights in place: stage, step, objective, source.
OnCheck = Callable[[str, int, Objective, ClipSource], None]


@dataclass
class Budget:
    """A stage's limit: a total number of steps, or minutes of this run, whichever comes first.

    Steps include those of earlier runs, so a resumed run keeps its schedule. Raises ConfigError for impossible values.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ConfigError("Give the length of training: --minutes M or --steps N.")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"{self.steps} training steps is out of range; ask for 1 or more.")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ConfigError(f"{self.minutes} minutes of training is out of range; give a positive number.")

    def fraction(self, step: int, seconds: float) -> float:
        """The used fraction of the budget, 1 or more at its end; `seconds` are those of this run."""
        by_steps = step / self.steps if self.steps is not None else 0.0
        by_time = seconds / (self.minutes * 60) if self.minutes is not None else 0.0
        return max(by_steps, by_time)


@dataclass
class Report:
    """The progress after one step."""

    stage: str
    step: int
    fraction: float
    loss: float
    clips_per_second: float


def learning_rate(config: Config, step: int, fraction: float) -> float:
    """The learning rate: a warm-up, a plateau, and a linear fall to a tenth over the budget's last third."""
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
    """Train one stage in `folder`, resuming a state that is there, and return its training record.

    Without a state, training starts from this stage's checkpoints in `weights`, folders or presets.

    It writes `<stage>.state.safetensors` (to resume from), `<stage>.safetensors` (averaged weights, float16) and
    `<stage>.log.jsonl`. `on_check` is called with the averaged weights in place. An exception in a callback stops the
    run, with its last whole step saved. Of several processes only the first one checks, writes and calls back, and its
    clock ends the stage.
    """
    accelerator = accelerator or make_accelerator(config)
    check_writable(folder, make=True)
    objective.to(accelerator.device)
    for frozen in getattr(objective, "_frozen", ()):
        frozen.to(accelerator.device)
    quiet = say if accelerator.is_main_process else _nothing
    state = folder / f"{stage}.state.safetensors"
    start = begin(stage, objective, source, config, state, weights, seed, step_seed(seed, 0, 999), quiet)
    run = _StageRun(stage, objective, source, config, folder, seed, accelerator, start)
    last_check = time.monotonic()
    try:
        while (fraction := run.spent(budget)) < 1.0:
            run.step(learning_rate(config, run.record["step"] - start.base, fraction))
            if time.monotonic() - last_check > minutes_between_checks * 60:
                run.check(on_check)
                run.save()
                last_check = time.monotonic()
            if on_step is not None and accelerator.is_main_process:
                on_step(Report(stage, run.record["step"], fraction, run.loss, run.speed()))
    finally:
        run.note_machine()
        if run.record["step"] > run.first_step:
            run.save()
    checks = run.record["checks"]
    if not checks or checks[-1]["step"] < run.record["step"]:  # this step, or the last of a killed run, is unchecked
        run.check(on_check)
        run.save()
    accelerator.wait_for_everyone()  # the next stage reads this one's file
    with torch.no_grad():
        objective.trained.load_state_dict(run.average.tensors)
    return run.record


class _StageRun:
    """One run of `train_stage`: the network, its optimiser and average, the record, and their files."""

    def __init__(
        self,
        stage: str,
        objective: Objective,
        source: ClipSource,
        config: Config,
        folder: Path,
        seed: int,
        accelerator: Accelerator,
        start: Start,
    ) -> None:
        self.stage, self.objective, self.source, self.config = stage, objective, source, config
        self.folder, self.seed, self.accelerator = folder, seed, accelerator
        self.record, self.average, self.base = start.record, start.average, start.base
        self.first_step, self._earlier_seconds = start.record["step"], start.record["seconds"]
        self.loss = math.nan  # smoothed
        self._batch = config.training.batch * config.training.accumulate * accelerator.num_processes
        self._bf16, self._flops = accelerator.mixed_precision == "bf16", math.nan
        self._examples = Examples(objective, source, config.training.batch, seed, accelerator.device)
        self._log = Log(folder / f"{stage}.log.jsonl", self.first_step) if accelerator.is_main_process else None
        if config.training.compile:
            compile_network(objective.trained)
        self._wrapped, self._optimizer = accelerator.prepare(objective, start.optimizer)
        self._started = time.monotonic()

    def spent(self, budget: Budget) -> float:
        """The used fraction of the budget, the same in every process."""
        elapsed = time.monotonic() - self._started
        return _agreed(budget.fraction(self.record["step"] - self.base, elapsed), self.accelerator)

    def speed(self) -> float:
        """Clips per second since this run began."""
        return (self.record["step"] - self.first_step) * self._batch / (time.monotonic() - self._started)

    def step(self, rate: float) -> None:
        """One optimiser step, and its log line if one is due."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._wrapped.train()
        losses, figures = self._gradients()
        self.accelerator.clip_grad_norm_(self.objective.trained.parameters(), self.config.training.gradient_clip)
        with interrupts_wait():
            self._optimizer.step()
            self.average.update(self.objective.trained)
            self.record["step"] += 1
            self.record["clips"] += self._batch
        self._optimizer.zero_grad(set_to_none=True)
        self.record["seconds"] = round(self._earlier_seconds + time.monotonic() - self._started, 1)
        logged = self.record["step"] % LOG_EVERY == 0
        if logged or math.isnan(self.loss):
            # Reading a loss waits for the device, so it is done only here.
            loss = float(self.accelerator.reduce(torch.stack(losses).mean(), "mean"))
            self.loss = loss if math.isnan(self.loss) else 0.7 * self.loss + 0.3 * loss
            if logged and self._log is not None:
                self._log.write(self._progress(loss, rate, figures))

    def _gradients(self) -> tuple[list[Tensor], Figures]:
        """Accumulate a step's gradients; returns the losses of its blocks and the figures of the last one."""
        training, accelerator = self.config.training, self.accelerator
        losses, figures = [], {}
        for part in range(training.accumulate):
            block = part * accelerator.num_processes + accelerator.process_index
            # Networks that sample while training (the autoencoders' posteriors) use the global generator.
            torch.manual_seed(step_seed(self.seed, self.record["step"], 500 + block))
            last_part = part == training.accumulate - 1
            alone = last_part or not hasattr(self._wrapped, "no_sync")
            with accelerator.autocast(), nullcontext() if alone else accelerator.no_sync(self._wrapped):
                loss, figures = self._wrapped(*self._examples.at(self.record["step"], block))
            accelerator.backward(loss / training.accumulate)
            losses.append(loss.detach())
        return losses, figures

    def _progress(self, loss: float, rate: float, figures: Figures) -> dict[str, Any]:
        """The values of a log line."""
        training, speed = self.config.training, self.speed()
        if math.isnan(self._flops):
            seed = step_seed(self.seed, 0, 998)
            with eagerly(training.compile):
                self._flops = flops_per_clip(self.objective, self.source, training.batch, seed, self._bf16)
        peak = peak_flops(self.accelerator.device, self._bf16)
        return {
            **self._counters(),
            "loss": round(loss, 6),
            "rate": rate,
            "clips_per_second": round(speed, 2),
            **usage(self._flops, speed, self.accelerator.num_processes, peak),
            **{name: round(float(value), 6) for name, value in figures.items()},
        }

    def _counters(self) -> dict[str, Any]:
        return {name: self.record[name] for name in ("step", "clips", "seconds")}

    def check(self, on_check: OnCheck | None) -> None:
        """Add held-out figures of the averaged weights to record and log."""
        if self._log is None:
            return
        objective, source, compiled = self.objective, self.source, self.config.training.compile
        with eagerly(compiled):
            figures = averaged_check(objective, self.average, source, self.config, self.accelerator.device)
        self.record["checks"].append(self._counters() | figures)
        self._log.write({**self._counters(), "check": figures})
        if on_check is not None:
            with averaged_weights(objective.trained, self.average), eagerly(compiled):
                on_check(self.stage, self.record["step"], objective, source)

    def save(self) -> None:
        """Save the checkpoint, then the state."""
        if self.accelerator.is_main_process:
            # The state comes last: a run killed in between resumes from the state before, and writes both again.
            weights = self.folder / f"{self.stage}.safetensors"
            save_checkpoint(weights, self.stage, self.config, self.average.tensors, self.record, half=True)
            state = self.folder / f"{self.stage}.state.safetensors"
            save_state(state, self.objective.trained, self.average, self._optimizer, self.record)

    def note_machine(self) -> None:
        """Add this run's time to its machine's total."""
        machine = _machine(self.accelerator.device, self.accelerator.num_processes)
        earlier = self.record["machines"].get(machine, 0.0)
        self.record["machines"][machine] = round(earlier + time.monotonic() - self._started, 1)


def averaged_check(
    objective: Objective, average: AveragedWeights, source: ClipSource, config: Config, device: torch.device
) -> Figures:
    """Figures of the averaged weights on unseen identities, on the same clips every time."""
    generator = torch.Generator(device=device).manual_seed(12_345)
    found: dict[str, list[float]] = {}  # some sources have figures that others lack
    batch = config.training.batch
    rounds = max(1, CHECK_CLIPS // batch)
    with averaged_weights(objective.trained, average):
        for _ in range(rounds):
            clips = objective.draw(source, batch, generator, "unseen_identity")
            for name, value in objective.check(clips, generator).items():
                found.setdefault(name, []).append(value)
    return {name: round(sum(values) / len(values), 5) for name, values in found.items()}


def _nothing(line: str) -> None:
    """Print nothing, as all processes but the first."""


def make_accelerator(config: Config) -> Accelerator:
    """The Accelerator, which chooses device and processes; bf16 only where it is fast or configured."""
    precision = chosen_precision(config)
    # On the CPU, accelerate joins processes only if told that there is no GPU.
    mixed = "bf16" if precision == "bf16" else "no"
    # A block trains one kind of observation, so conditioners of the others get no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    gpu = torch.accelerator.is_available() and not lacks_float64(torch.accelerator.current_accelerator())
    return Accelerator(cpu=not gpu, mixed_precision=mixed, kwargs_handlers=[unused])


def chosen_precision(config: Config) -> str:
    """`fp32` or `bf16`, as configured or as suits the device."""
    precision = config.training.precision
    if precision == "auto":
        return "bf16" if native_bf16() else "fp32"
    return precision


def native_bf16() -> bool:
    """Whether the device supports bfloat16 natively: most GPUs, and CPUs with AVX512-BF16 or AMX (twice as fast)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    # Older versions of torch do not have it.
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def _machine(device: torch.device, processes: int) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
    cores = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    return f"{processes} x {name}{cores}"


def _agreed(value: float, accelerator: Accelerator) -> float:
    """The first process's value, since processes that disagree about the end would wait for each other forever."""
    if accelerator.num_processes == 1:
        return value
    return float(broadcast(torch.tensor(value, device=accelerator.device), from_process=0))
