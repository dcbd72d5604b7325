"""Trains, tests and times on a GPU for some minutes.

    python -m core.experiments.gpu_session --rigs FILE --out FOLDER --minutes 8

It needs only torch, numpy, scipy, pyyaml, safetensors and accelerate. It trains a stage, the motion denoiser unless
another is named, in bf16 from the shipped weights or afresh, with all data on the device, and keeps copying the
newest weights and the log to the folder, so that nothing is lost when time runs out. If their packages are installed,
it then runs the tests marked `cuda` and `m2v bench`, for `small` and for `paper` with random weights. `--rigs` is a rig
bank of `m2v prepare rigs`, also packed with xz. The log has throughput and MFU.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from core.checkpoint import STAGES
from core.errors import DataError, M2VError
from core.training.start import bring_other_stages, check_weights_exist

MOST_BYTES = 16 << 20  # of a copied file
KEPT_EVERY = 10.0  # seconds between two checks for newer weights
BENCH_NEEDS = ("skimage", "igl", "rich")  # for the mesh, ARAP and the progress bar
M2V = "import sys; from core.cli import main; sys.exit(main())"
SMOKE_STEPS = 3  # trained before the clock starts, so that faults show at once


def parser() -> argparse.ArgumentParser:
    """The arguments of a session."""
    result = argparse.ArgumentParser(prog="gpu_session", description=__doc__)
    result.add_argument(
        "--rigs", type=Path, required=True, help="rig bank, as `m2v prepare rigs` writes it, or its .xz"
    )
    result.add_argument("--out", type=Path, required=True, help="folder for weights, log and report")
    result.add_argument("--minutes", type=float, default=8.0, help="of training")
    result.add_argument("--stage", choices=STAGES, default=STAGES[-1])
    result.add_argument("--from", dest="weights", default="small", help="preset or folder to begin with")
    result.add_argument("--fresh", action="store_true", help="begin the stage with random weights; others are kept")
    result.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE")
    result.add_argument("--only-train", action="store_true", help="without the tests and benchmarks")
    result.add_argument("--batch", type=int, default=512)
    result.add_argument("--reuse", type=int, default=2, help="steps that use a prepared batch")
    result.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    result.add_argument("--seed", type=int, default=0)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the session; the exit code is that of the first part that failed."""
    options = parser().parse_args(arguments)
    try:
        return _session(options)
    except M2VError as error:
        print(error, file=sys.stderr)
        return 2


def _session(options: argparse.Namespace) -> int:
    needed = STAGES[: STAGES.index(options.stage)] if options.fresh else (options.stage,)
    if needed:
        check_weights_exist(needed, [options.weights])
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        rigs = _unpacked(options.rigs, work)
        report: dict[str, object] = {"device": _device(), "torch": torch.__version__}
        settings = [
            f"data.rigs={rigs}",
            f"training.batch={options.batch}",
            f"training.reuse={options.reuse}",
            f"training.learning_rate={options.rate}",
            "training.precision=bf16",
            *options.overrides,
        ]
        begin = ["--seed", str(options.seed)]
        smoke, folder = work / "smoke", work / "run"
        if options.fresh:
            for run in (smoke, folder):
                run.mkdir()
                bring_other_stages([options.stage], run, options.weights)
        else:
            begin += ["--from", options.weights]
        code = _train(options.stage, smoke, [*begin, "--steps", str(SMOKE_STEPS)], settings)
        if code:
            return code
        done = threading.Event()
        keeper = threading.Thread(target=_keep, args=(options.stage, folder, options.out, done))
        keeper.start()
        started = time.monotonic()
        limits = ["--minutes", str(options.minutes), "--check-minutes", "2"]
        code = _train(options.stage, folder, [*begin, *limits], settings)
        done.set()
        keeper.join()
        report["seconds"] = round(time.monotonic() - started, 1)
        report["last"] = _last_lines(folder / f"{options.stage}.log.jsonl")
        print(json.dumps(report, indent=1), flush=True)
        (options.out / "session.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        if options.only_train:
            return code
        return code or _tests() or benchmarks(options.out)


def _device() -> str:
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"


def _unpacked(rigs: Path, work: Path) -> Path:
    if rigs.suffix != ".xz":
        return rigs.resolve()
    target = work / rigs.stem
    try:
        with lzma.open(rigs) as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 22)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{rigs} cannot be unpacked ({error}); give a rig bank or one packed with xz.") from None
    return target


def _train(stage: str, folder: Path, arguments: Sequence[str], settings: Sequence[str]) -> int:
    command = [sys.executable, "-m", "core.training", stage, "--out", str(folder), *arguments]
    for setting in settings:
        command += ["--set", setting]
    return subprocess.run(command, check=False).returncode


def _keep(stage: str, folder: Path, out: Path, done: threading.Event) -> None:
    """Copy newer weights and the log into `out` atomically, until `done` and once more after it."""
    seen: dict[str, float] = {}
    while True:
        last = done.wait(KEPT_EVERY)
        for name in (f"{stage}.safetensors", f"{stage}.log.jsonl"):
            source = folder / name
            if not source.is_file() or source.stat().st_size > MOST_BYTES or source.stat().st_mtime == seen.get(name):
                continue
            seen[name] = source.stat().st_mtime
            temporary = out / f"{name}.part"
            shutil.copyfile(source, temporary)
            temporary.replace(out / name)
        if last:
            return


def _last_lines(log: Path) -> list[object]:
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return [json.loads(line) for line in lines[-3:]]


def _tests() -> int:
    if find_spec("pytest") is None:
        print("pytest is not installed here: the tests marked cuda were not run.", flush=True)
        return 0
    return subprocess.run([sys.executable, "-m", "pytest", "-m", "cuda", "tests/cuda"], check=False).returncode


def benchmarks(out: Path, device: str = "cuda") -> int:
    """Run `m2v bench` for both presets and write to `out`; returns the exit code of the first that failed."""
    missing = [package for package in BENCH_NEEDS if find_spec(package) is None]
    if missing:
        print(f"{', '.join(missing)}: not installed here, so the benchmarks were not run.", flush=True)
        return 0
    code = 0
    for preset, weights in (("small", ()), ("paper", ("--untrained",))):
        command = [sys.executable, "-c", M2V, "bench", "--device", device, "--no-window", "--preset", preset]
        report = out / f"bench-{preset}.json"
        code = code or subprocess.run([*command, *weights, "--out", str(report)], check=False).returncode
    return code


if __name__ == "__main__":
    sys.exit(main())
