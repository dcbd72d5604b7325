"""Running mutated inputs through the readers, with bounds on time and memory."""

from __future__ import annotations

import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import numpy as np

from core.errors import MAX_MESSAGE, M2VError
from tests.fuzz.mutations import mutate
from tests.fuzz.seeds import Seed, seeds

MAX_SECONDS = 5.0  # of the processor, so that a busy machine finds no faults; a process of a reader's own has 4 s
MAX_WAIT = 120.0  # by the clock: what waits for something takes no processor time
MAX_BYTES = 1 << 30  # more than at the start
_ALARMS = (signal.SIGPROF, signal.SIGALRM)


class TooSlowError(BaseException):
    """Not an Exception, so that no reader takes it for a damaged file."""


@dataclass
class Outcome:
    """How many inputs were read and refused, and what went wrong, by the place where it did."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    memory: int = 0  # bytes at the peak, over the start
    kinds: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)


def run(inputs: int, seed: int = 0, keep: Path | None = None, only: str = "", first: int = 0) -> Outcome:
    """Try `inputs` mutated files of all kinds in turn (of those whose name holds `only`); faulty ones go to `keep`.

    An input depends on the seed and its number alone, and they are numbered from `first`: a long run can be split.
    """
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Path(folder) / "made"
        made.mkdir()
        known = [item for item in seeds(made) if only in item.kind]
        # A slow kind comes once in twenty rounds of the others.
        quick = [item for item in known if not item.slow]
        known = (quick * 20 + [item for item in known if item.slow]) if quick else known
        start = _memory()
        for number in range(first, first + inputs):
            item = known[number % len(known)]
            random = np.random.default_rng([seed, number])
            place = Path(folder) / "input"
            _write(item, place, random)
            fault = _try(item, place, outcome)
            outcome.inputs += 1
            outcome.kinds[item.kind] += 1
            outcome.memory = max(outcome.memory, _memory() - start)
            if outcome.memory > MAX_BYTES and fault is None:
                fault, start = f"{item.kind}: over 1 GB", _memory()
                outcome.memory = 0
            if fault is not None and fault not in outcome.faults:
                outcome.faults[fault] = f"input {number}"
                if keep is not None:
                    shutil.copytree(place, keep / f"{number}-{item.kind.replace('/', '-')}", dirs_exist_ok=True)
            shutil.rmtree(place)
    return outcome


def _write(item: Seed, place: Path, random: np.random.Generator) -> None:
    chosen = item.mutated[int(random.integers(len(item.mutated)))]
    for name, data in item.files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate(data, random) if name == chosen else data)


def _try(item: Seed, place: Path, outcome: Outcome) -> str | None:
    """Read one input; what is wrong with the answer, or None."""
    began = time.process_time()
    before = [signal.signal(number, _stop) for number in _ALARMS]
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, MAX_WAIT)
    try:
        item.check(item.read(place / item.main if item.main else place))
        outcome.read += 1
    except M2VError as error:
        outcome.refused += 1
        message = str(error)
        if len(message) > MAX_MESSAGE or "\n" in message or not message.endswith((".", "?")):
            return f"{item.kind}: message {message[:200]!r}"
    except TooSlowError:
        return f"{item.kind}: over {MAX_SECONDS:g} s"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{item.kind}: {type(error).__name__} at {Path(last.filename).name}:{last.lineno} {str(error)[:100]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(_ALARMS, before, strict=True):
            signal.signal(number, handler)
        outcome.slowest = max(outcome.slowest, time.process_time() - began)
    return None


def _stop(number: int, frame: FrameType | None) -> None:
    raise TooSlowError


def _memory() -> int:
    """The process's peak in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
