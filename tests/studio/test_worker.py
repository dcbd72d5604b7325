"""Background generation: the latest request wins, cancel stops, faults become sentences."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from core.errors import CheckpointError
from core.pipelines.request import SamplingOptions
from core.sequence import Handle, HandleTracks
from m2v_studio.work.messages import (
    DragReady,
    EngineFailed,
    EngineReady,
    Event,
    FacingKnown,
    Failed,
    Finished,
    Progressed,
)
from m2v_studio.work.worker import GenerationWorker

from .fake_animator import FakeAnimator, make_fake
from .shapes import ball

MESH = ball()
TRACKS = HandleTracks((Handle(3, {16: MESH.vertices[3] + 0.5}), Handle(90, pinned=True)))
PATIENCE = 300.0


def gather(worker: GenerationWorker, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """Poll until `enough` of the events so far; a test that hangs fails instead."""
    events: list[Event] = []
    limit = time.monotonic() + PATIENCE
    while not enough(events):
        assert time.monotonic() < limit, f"nothing more came after {events}"
        events += worker.poll()
        time.sleep(0.001)
    return events


def has(kind: type) -> Callable[[list[Event]], bool]:
    return lambda events: any(isinstance(event, kind) for event in events)


class Gate:
    """Lets an animator take one step per `open`."""

    def __init__(self) -> None:
        self.steps: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.arrived = threading.Semaphore(0)

    def __call__(self) -> None:
        self.arrived.release()
        self.steps.get(timeout=PATIENCE)

    def open(self, steps: int) -> None:
        for _ in range(steps):
            self.steps.put(None)


def test_a_request_reports_progress_with_previews_and_ends_with_results() -> None:
    worker = GenerationWorker(make_fake, isolate=False)
    request = worker.submit(MESH, TRACKS, SamplingOptions(seeds=2))
    events = gather(worker, has(Finished))
    assert isinstance(events[0], EngineReady) and events[0].label == "small, cpu"
    steps = [event for event in events if isinstance(event, Progressed)]
    assert steps[-1].progress.done == steps[-1].progress.total == 6
    assert steps[-1].progress.preview is not None and steps[-1].progress.preview.shape == (17, len(MESH.vertices), 3)
    last = events[-1]
    assert isinstance(last, Finished) and last.request == request and len(last.samples.samples) == 2
    assert worker._active is None
    worker.close()


def test_the_latest_request_wins() -> None:
    gate = Gate()
    animator = FakeAnimator(gate=gate)
    worker = GenerationWorker(lambda: animator, isolate=False)
    worker.submit(MESH, TRACKS, SamplingOptions(seed=1))
    assert gate.arrived.acquire(timeout=PATIENCE)
    newest = [worker.submit(MESH, TRACKS, SamplingOptions(seed=seed)) for seed in (2, 3)][-1]
    gate.open(20)
    events = gather(worker, has(Finished))
    finished = [event for event in events if isinstance(event, Finished)]
    assert [event.request for event in finished] == [newest]
    assert finished[0].samples.samples[0].seed == 3
    assert {event.request for event in events if isinstance(event, Progressed)} == {newest}
    worker.close()


def test_cancel_stops_between_steps_and_reports_nothing_more() -> None:
    gate = Gate()
    animator = FakeAnimator(gate=gate)
    worker = GenerationWorker(lambda: animator, isolate=False)
    worker.submit(MESH, TRACKS, SamplingOptions(seed=1))
    assert gate.arrived.acquire(timeout=PATIENCE)
    worker.cancel()
    gate.open(1)
    after = worker.submit(MESH, TRACKS, SamplingOptions(seed=2, quality="draft", seeds=1))
    gate.open(20)
    events = gather(worker, has(Finished))
    assert all(event.request == after for event in events if isinstance(event, (Progressed, Finished)))
    assert len(animator.calls) == 2
    worker.close()


def test_faults_become_sentences_and_the_worker_goes_on() -> None:
    class Faulty(FakeAnimator):
        def animate(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            if not self.calls:
                self.calls.append(args[2])
                raise ZeroDivisionError("inside")
            return super().animate(*args, **kwargs)

    animator = Faulty()
    worker = GenerationWorker(lambda: animator, isolate=False)
    worker.submit(MESH, TRACKS, SamplingOptions())
    failed = next(event for event in gather(worker, has(Failed)) if isinstance(event, Failed))
    assert "ZeroDivisionError" in failed.detail and "ZeroDivisionError" not in failed.message
    worker.submit(MESH, TRACKS, SamplingOptions())
    gather(worker, has(Finished))
    worker.close()


def test_a_model_that_cannot_be_loaded_is_reported_once() -> None:
    def broken() -> FakeAnimator:
        raise CheckpointError("assets/checkpoints/small.safetensors is missing; install it.")

    worker = GenerationWorker(broken, isolate=False)
    worker.start()
    events = gather(worker, has(EngineFailed))
    assert next(event for event in events if isinstance(event, EngineFailed)).message.endswith("install it.")
    worker.close()


@pytest.mark.filterwarnings("ignore")
def test_the_same_over_a_process_of_its_own() -> None:
    worker = GenerationWorker(make_fake, isolate=True)
    worker.submit(MESH, TRACKS, SamplingOptions(seeds=2))
    finished = next(event for event in gather(worker, has(Finished)) if isinstance(event, Finished))
    target = TRACKS.handles[0].keys[16]
    for sample in finished.samples.samples:
        assert np.abs(sample.sequence.vertices[16, 3] - target).max() < 1e-4
        assert sample.sequence.handles is not None and sample.sequence.handles.handles[1].pinned
    worker.close()


def test_a_mesh_can_be_posed_while_the_model_is_still_loading() -> None:
    go = threading.Event()

    def slow() -> FakeAnimator:
        go.wait(PATIENCE)
        return FakeAnimator(heading=1.5)

    worker = GenerationWorker(slow, isolate=False)
    worker.prepare(MESH)
    events = gather(worker, has(DragReady))
    assert not has(EngineReady)(events)
    go.set()
    events = gather(worker, has(FacingKnown))
    assert has(EngineReady)(events) and not has(DragReady)(events), "it is worked out once"
    assert next(event.heading for event in events if isinstance(event, FacingKnown)) == 1.5
    worker.close()
