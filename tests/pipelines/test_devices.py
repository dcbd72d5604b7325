"""Devices that are not there are refused; where memory runs out, less is done at a time, or on the CPU, and it is said.

Stand-ins raise what torch raises when a GPU is full.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from core.errors import M2VError
from core.pipelines.devices import choose_device, in_smaller_batches, is_out_of_memory, on_cpu_at_need, where_it_fits
from core.pipelines.request import SamplingOptions
from core.sequence import Handle, HandleTracks

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def refusal(name: str) -> str:
    with pytest.raises(M2VError) as refused:
        choose_device(name)
    return str(refused.value)


def test_devices_that_are_not_there_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("abacus", "meta", "cuda:x", "cuda:-1", "", "cuda:9" * 100):
        assert "choose auto, cpu, cuda, cuda:N or mps" in refusal(name)
    assert "no CUDA device" in refusal("cuda:9") and "no CUDA device" in refusal("cuda")
    assert "no MPS device" in refusal("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "cuda:0 to cuda:1" in refusal("cuda:9")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "has one, cuda:0" in refusal("cuda:1")
    assert choose_device("cuda:0") == GPU and choose_device("auto") == torch.device("cuda")


def test_missing_memory_is_told_from_other_faults() -> None:
    messages = (
        "MPS backend out of memory (MPS allocated: 9 GB)",
        "DefaultCPUAllocator: can't allocate memory: 1 bytes",
    )
    assert all(is_out_of_memory(RuntimeError(message)) for message in messages)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(FULL)
    assert not is_out_of_memory(RuntimeError("shapes do not fit")) and not is_out_of_memory(ValueError("out of memory"))


def test_batches_are_halved_until_they_fit_and_nothing_is_done_twice() -> None:
    tried: list[tuple[int, int]] = []

    def compute(seeds: slice) -> list[int]:
        tried.append((seeds.start, seeds.stop))
        if seeds.stop - seeds.start > 2:
            raise FULL
        return list(range(seeds.start, seeds.stop))

    parts, notes = in_smaller_batches(compute, 7, GPU)
    assert [seed for part in parts for seed in part] == list(range(7)) and tried[:3] == [(0, 7), (0, 4), (0, 2)]
    assert tried[3:] == [(2, 4), (4, 6), (6, 7)]
    assert notes == ("cuda:0 did not have enough memory for 7 seeds at once, so they were made 2 at a time.",)
    assert in_smaller_batches(compute, 2, GPU)[1] == ()


def test_one_seed_that_does_not_fit_is_a_lack_of_memory_and_other_faults_pass() -> None:
    def full(seeds: slice) -> int:
        raise FULL

    def broken(seeds: slice) -> int:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(MemoryError):
        in_smaller_batches(full, 4, GPU)
    with pytest.raises(RuntimeError, match="shapes"):
        in_smaller_batches(broken, 4, GPU)


@dataclass(frozen=True)
class Result:
    place: str
    notes: tuple[str, ...] = ()


class Models:
    """Fit only where they are told to."""

    def __init__(self, device: torch.device, fit: tuple[str, ...]) -> None:
        self.device, self.fit = device, fit

    def on_cpu(self) -> Models:
        return Models(CPU, self.fit)

    def run(self) -> Result:
        if self.device.type not in self.fit:
            raise FULL
        return Result(self.device.type)


def test_the_cpu_takes_over_with_a_note() -> None:
    assert on_cpu_at_need(Models(GPU, ("cuda", "cpu")), Models.run) == Result("cuda")
    moved = on_cpu_at_need(Models(GPU, ("cpu",)), Models.run)
    assert moved.place == "cpu" and moved.notes[0].endswith("so this was computed on the CPU.")
    for place in (GPU, CPU):
        with pytest.raises(MemoryError):
            on_cpu_at_need(Models(place, ()), Models.run)
    assert where_it_fits(lambda place: Models(place, ("cpu",)).run(), GPU) == Result("cpu")


def test_an_animator_makes_the_same_motions_in_smaller_batches_and_on_the_cpu(animator, mesh, monkeypatch) -> None:
    tip = int(mesh.vertices[:, 1].argmax())
    tracks = HandleTracks((Handle(tip, {8: mesh.vertices[tip] + 0.1}),), frames=9)
    options = SamplingOptions(seeds=3)
    expected = animator.animate(mesh, tracks, options)
    assert expected.notes == ()
    estimate, most = type(animator)._estimate, {"cpu": 2, "cuda": 0}

    def limited(self, prepared, request, borrowed, tracks, options, seeds, report):
        if len(seeds) > most[self.device.type]:
            raise FULL
        return estimate(self, prepared, request, borrowed, tracks, options, seeds, report)

    monkeypatch.setattr(type(animator), "_estimate", limited)
    for device, notes in (CPU, 1), (GPU, 2):
        monkeypatch.setattr(animator, "device", device)
        found = animator.animate(mesh, tracks, options)
        assert len(found.notes) == notes and found.device == "cpu"
        for one, other in zip(expected.samples, found.samples, strict=True):
            np.testing.assert_allclose(one.sequence.vertices, other.sequence.vertices, atol=1e-4 * mesh.size)
    most["cpu"] = 0
    with pytest.raises(MemoryError):
        animator.animate(mesh, tracks, options)
