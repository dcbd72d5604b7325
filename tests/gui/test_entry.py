"""`m2v-studio` from the command line, and what importing the editor costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, *arguments], env={**kept, **environment}, cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_without_a_display_it_says_what_to_do_instead() -> None:
    if sys.platform in ("win32", "darwin"):
        return
    ended = run("-m", "m2v_studio")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "m2v demo" in ended.stderr


def test_without_polyscope_it_answers_in_one_sentence() -> None:
    blocked = "import sys; sys.modules['polyscope'] = None; from m2v_studio.__main__ import main; sys.exit(main([]))"
    for display, answer in (({}, "needs a display"), ({"DISPLAY": ":99"}, "cannot be drawn")):
        if display or sys.platform not in ("win32", "darwin"):
            ended = run("-c", blocked, **display)
            assert ended.returncode == 2
            assert ended.stderr.count("\n") == 1 and answer in ended.stderr and "m2v animate" in ended.stderr


def test_the_window_does_not_import_torch() -> None:
    ended = run("-c", "import sys, m2v_studio.app; print('torch' in sys.modules)")
    assert ended.stdout.strip() == "False", ended.stderr
