"""The model's process takes the cores that others leave, and its threads sleep while they wait."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.usable_cores import usable_cores
from m2v_studio.work import cores
from m2v_studio.work.cores import CoreWatch

TICKS = os.sysconf("SC_CLK_TCK")


class Machine:
    """Eight cores, a clock and the system's count of what ran."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stat: Path) -> None:
        self.stat, self.clock, self.own, self.others = stat, 100.0, 1.0, 50.0
        self.write()
        monkeypatch.setattr(cores, "_STAT", stat)
        monkeypatch.setattr(cores, "usable_cores", lambda: 8)
        monkeypatch.setattr(time, "monotonic", lambda: self.clock)
        monkeypatch.setattr(time, "process_time", lambda: self.own)

    def write(self) -> None:
        busy = round((self.own + self.others) * TICKS)
        self.stat.write_text(f"cpu  {busy - 30} 10 5 99999 777 5 5 5 0 0\ncpu0 1 2 3\n")

    def passes(self, seconds: float, own: float, others: float) -> None:
        self.clock += seconds
        self.own += own
        self.others += others
        self.write()


def test_cores_that_others_use_are_left_to_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = Machine(monkeypatch, tmp_path / "stat")
    for own, others, free in ((4.0, 0.0, 8), (4.0, 4.2, 7), (0.0, 12.0, 5), (2.0, 40.0, 1)):
        watch = CoreWatch()
        machine.passes(4.0, own, others)
        assert watch.free() == free


def test_where_the_system_does_not_say_the_load_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cores, "_STAT", tmp_path / "none")
    monkeypatch.setattr(cores, "usable_cores", lambda: 4)
    for load, free in ((0.2, 4), (2.6, 1), (9.0, 1)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert CoreWatch().free() == free


def test_at_least_one_core_of_this_machine_is_free() -> None:
    assert 1 <= CoreWatch().free() <= usable_cores()


def test_threads_are_told_to_sleep_before_torch_is_loaded() -> None:
    names = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")
    code = (
        "import os, sys, m2v_studio.work.worker, core.cli.command_line\n"
        f"print('torch' in sys.modules, *[os.environ[name] for name in {names}])"
    )
    clean = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "passive", "0"]
