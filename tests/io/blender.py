"""A Python that has Blender as its module bpy, which is never one of our dependencies.

It is looked for in $M2V_BPY_PYTHON, /opt/m2v-bpy and .bpy-venv in the repository. To make one:

    python3.11 -m venv .bpy-venv && .bpy-venv/bin/pip install "bpy==4.5.*"
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest


def blender_python() -> str:
    """Its path; skips the whole file of tests that asks where there is none."""
    found = _find()
    if found is None:
        pytest.skip("no Python with bpy, see tests/io/blender.py", allow_module_level=True)
    return found


@cache
def _find() -> str | None:
    root = Path(__file__).parents[2]
    places = [os.environ.get("M2V_BPY_PYTHON"), "/opt/m2v-bpy/bin/python", str(root / ".bpy-venv/bin/python")]
    for place in places:
        if place and Path(place).exists():
            tried = subprocess.run([place, "-c", "import bpy"], capture_output=True, timeout=120)
            if tried.returncode == 0:
                return place
    return None
