"""`m2v-studio soak`: operates a window at random for minutes or hours, including bad files.

Off-screen, with separate settings; the same seed gives the same events. Checks that there is no exception, no frame
over half a second, and no growth of memory.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from m2v_studio.driver import Driver
    from m2v_studio.soak_events import Event
    from m2v_studio.work.engine import AnimatorFactory

SLOW_SECONDS = 0.5
SETTLE_EVERY = 20  # events between two fresh documents with a memory measurement
MAX_GROWTH = 0.15  # of the memory after warming up
GROWTH_FLOOR = 32 << 20  # bytes; less growth is memory that allocators keep
MOST_TOLD = 10
REMEMBERED = 12  # events reported with a fault
WINDOW = (1040, 660)


@dataclass
class SoakReport:
    """The outcome of a run, in seconds and bytes; faults are sentences with the preceding events."""

    seed: int
    events: int = 0
    frames: int = 0
    clock: float = 0.0  # seconds of simulated use
    worst_wall: float = 0.0
    worst_cpu: float = 0.0
    worst_event: str = ""
    faults: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def growth(self) -> float:
        """Growth of memory from the third of the run after warming up to the last third, as a fraction."""
        third = len(self.memory) // 3
        if third < 1:
            return 0.0
        before, after = median(self.memory[third : 2 * third]), median(self.memory[-third:])
        return 0.0 if after - before < GROWTH_FLOOR else after / before - 1.0

    @property
    def is_good(self) -> bool:
        return not self.faults and not self.slow and self.growth <= MAX_GROWTH

    def lines(self) -> list[str]:
        """The report as text."""
        shown = [f"seed {self.seed}: {self.events} events, {self.frames} frames, {self.clock / 60:.1f} minutes of work"]
        shown += [f"  {count:5d} {kind}" for kind, count in sorted(self.kinds.items())]
        busiest = f"{self.worst_wall:.2f} s ({self.worst_cpu:.2f} s of it computing), after {self.worst_event}"
        shown.append(f"longest frame {busiest}")
        if self.memory:
            kept = f"{self.memory[0] >> 20}, then {min(self.memory) >> 20} to {max(self.memory) >> 20} MB"
            shown.append(f"memory {kept}; growth {100 * self.growth:.0f} %")
        shown += [f"slow: {text}" for text in self.slow[:MOST_TOLD]] + [f"FAULT: {text}" for text in self.faults]
        if len(self.slow) > MOST_TOLD:
            shown.append(f"and {len(self.slow) - MOST_TOLD} more slow frames")
        return [*shown, "good" if self.is_good else "not good"]


class EventSource(Protocol):
    """Where a soak's events come from."""

    def draw(self) -> tuple[str, Event]:
        """The next event: its description, which begins with its kind, and the function that performs it."""

    def dismiss(self) -> None:
        """Close open dialogs."""

    def start_over(self) -> None:
        """Go back to a fresh document."""


class Soak:
    """Operates one window by `events`. With `by_cpu`, for busy machines, slowness is measured in CPU time."""

    def __init__(self, driver: Driver, events: EventSource, seed: int, by_cpu: bool = False) -> None:
        self.driver, self.events, self.report, self._by_cpu = driver, events, SoakReport(seed), by_cpu
        self._last: deque[str] = deque(maxlen=REMEMBERED)
        self._watch()

    def run(self, going: Callable[[SoakReport], bool]) -> SoakReport:
        """Run while `going` returns True."""
        report = self.report
        while going(report):
            name, event = self.events.draw()
            self._last.append(name)
            report.kinds[name.split(":")[0]] += 1
            try:
                event()
            except Exception as error:
                self._fault(f"{type(error).__name__}: {error}")
            report.events += 1
            self._look()
            if report.events % SETTLE_EVERY == 0:
                self._settle()
        return report

    def _watch(self) -> None:
        """Time every frame."""
        app, frame = self.driver.app, self.driver.app.frame

        def timed(seconds: float | None = None) -> None:
            wall, cpu = time.perf_counter(), time.thread_time()
            frame(seconds)
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            report = self.report
            report.frames += 1
            report.clock += wall if seconds is None else seconds
            report.worst_cpu = max(report.worst_cpu, cpu)
            if wall > report.worst_wall:
                report.worst_wall, report.worst_event = wall, self._last[-1] if self._last else "the start"
            if (cpu if self._by_cpu else wall) > SLOW_SECONDS:
                report.slow.append(
                    f"{wall:.2f} s, {cpu:.2f} s computing, {self._shown()}, after {'; '.join(self._last)}"
                )

        app.frame = timed  # type: ignore[method-assign]

    def _shown(self) -> str:
        """The contents of the view, in words."""
        viewport, state = self.driver.app.viewport, self.driver.app.studio.state
        vertices = sum(len(figure.positions) for figure in viewport.figures)
        glass = ", see-through" if viewport.transparent else ""
        return f"{len(viewport.figures)} figures of {vertices:,} vertices{glass}, {state.busy or 'nothing loading'}"

    def _look(self) -> None:
        """Check the invariants after every event."""
        from m2v_studio.document.selection import chosen_keys, chosen_rows
        from m2v_studio.document.state import tracks

        app = self.driver.app
        state = app.studio.state
        app.context.closing = False
        if state.notice is not None and "Traceback" in state.notice.detail:
            self._fault(state.notice.detail.strip().splitlines()[-1] + "\n" + state.notice.detail)
            self.events.dismiss()
        handles = state.document.handles
        if state.document.source is not None and handles:
            usable = tracks(state.document)
            if usable.handles:
                try:
                    usable.validate(state.document.source.vertices)
                except Exception as error:
                    self._fault(f"handles that are refused: {error}")
        if any(row >= len(handles) for row in chosen_rows(state)) or any(
            frame not in handles[row].keys for row, frame in chosen_keys(state)
        ):
            self._fault("something is selected that does not exist")

    def _settle(self) -> None:
        """Return to a fresh document; memory that then remains is leaked."""
        self.events.start_over()
        gc.collect()
        used = resident_bytes()
        if used is not None:
            self.report.memory.append(used)

    def _fault(self, text: str) -> None:
        told = f"{text}\n  after {'; '.join(self._last)}"
        if len(self.report.faults) < 20 and told not in self.report.faults:
            self.report.faults.append(told)


def resident_bytes() -> int | None:
    """Resident memory of this process; None on systems that do not report it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def soak(
    seed: int,
    going: Callable[[SoakReport], bool],
    factory: AnimatorFactory,
    isolate: bool = True,
    by_cpu: bool = False,
) -> SoakReport:
    """Open a window off-screen and operate it while `going` returns True."""
    from m2v_studio.app import App
    from m2v_studio.driver import Driver
    from m2v_studio.soak_events import Events
    from m2v_studio.studio import Studio

    with tempfile.TemporaryDirectory(prefix="m2v-soak-") as folder:
        before = os.environ.get("M2V_CONFIG_DIR")
        os.environ["M2V_CONFIG_DIR"] = str(Path(folder) / "config")
        studio = Studio(factory, isolate=isolate)
        app = App(studio, "openGL3_egl", WINDOW)
        try:
            studio.worker.start()
            driver = Driver(app)
            events = Events(driver, Path(folder), random.Random(seed))
            return Soak(driver, events, seed, by_cpu).run(going)
        finally:
            app.close()
            if before is None:
                del os.environ["M2V_CONFIG_DIR"]
            else:
                os.environ["M2V_CONFIG_DIR"] = before


def main(argv: list[str]) -> int:
    """The command; returns 0 without faults, else 1."""
    parser = argparse.ArgumentParser(prog="m2v-studio soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="which events (default: 0)")
    parser.add_argument("--minutes", type=float, default=1.0, help="for how long (default: 1)")
    parser.add_argument("--preset", default="small", help="the model to load (default: small)")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:N or mps")
    arguments = parser.parse_args(argv)
    if not 0.0 < arguments.minutes < 1e5:
        print("--minutes must be a positive number.", file=sys.stderr)
        return 2
    from m2v_studio.work.worker import load_animator

    factory = partial(load_animator, arguments.preset, arguments.device)
    limit = time.monotonic() + 60.0 * arguments.minutes
    report = soak(arguments.seed, lambda report: time.monotonic() < limit, factory)
    print("\n".join(report.lines()))
    return 0 if report.is_good else 1
