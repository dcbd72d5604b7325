"""Damaged files of every kind are read or refused with one sentence; the whole of it is `python -m tests.fuzz`."""

from __future__ import annotations

from tests.fuzz.runner import run


def test_a_thousand_mutated_inputs_are_answered() -> None:
    outcome = run(1000, seed=20261127)
    assert outcome.faults == {}
    assert outcome.read > 50 and outcome.refused > 300 and outcome.memory < 1 << 30
    assert len(outcome.kinds) > 20
