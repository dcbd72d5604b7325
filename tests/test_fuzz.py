"""Damaged files of every kind are read or refused with one sentence; the whole of it is `python -m tests.fuzz`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.runner import run


def test_two_thousand_mutated_inputs_are_answered() -> None:
    outcome = run(2000, seed=20261127)
    assert outcome.faults == {}
    assert outcome.read > 100 and outcome.refused > 600 and outcome.memory < 1 << 30
    assert len(outcome.kinds) > 20


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="writers are forked")
def test_killed_writers_lose_nothing_and_leave_nothing() -> None:
    """Two kills of each kind, in a process that has no threads yet."""
    command = [sys.executable, "-m", "tests.fuzz.kills", "--count", "2"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("2 kills") == 6
