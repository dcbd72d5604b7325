"""Results that would not fit into memory are refused before any work is done."""

from __future__ import annotations

import pytest

from core.errors import M2VError
from core.pipelines import memory_room
from core.pipelines.memory_room import check_room, free_memory, return_freed_memory
from core.pipelines.request import SamplingOptions
from core.sequence import Handle, HandleTracks


def test_what_does_not_fit_is_said_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_room, "free_memory", lambda: 4_000_000_000)
    check_room(200_000, 1000, 1)
    said = r"would take 6\.4 GB, but only 4\.0 GB of memory is free; ask for fewer seeds or frames"
    with pytest.raises(M2VError, match=said):
        check_room(200_000, 1000, 2)
    monkeypatch.setattr(memory_room, "free_memory", lambda: None)  # a system that does not say
    check_room(200_000, 1000, 64)


def test_free_memory_is_a_number_or_unknown() -> None:
    found = free_memory()
    assert found is None or found > 0
    return_freed_memory()


def test_an_animation_is_refused_before_it_is_made(animator, mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_room, "free_memory", lambda: 1000)
    tracks = HandleTracks((Handle(0, {8: mesh.vertices[0] + 0.1}),), frames=9)
    reports: list[object] = []
    with pytest.raises(M2VError, match="of memory is free"):
        animator.animate(mesh, tracks, SamplingOptions(seeds=1), reports.append)
    assert reports == []
