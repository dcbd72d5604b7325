"""A test that draws is skipped only where a bare Polyscope cannot draw off-screen either."""

from __future__ import annotations

import functools
import subprocess
import sys

import pytest

BARE = "import polyscope; polyscope.set_errors_throw_exceptions(True); polyscope.init('openGL3_egl')"


def skip_without_drawing() -> None:
    """To be called when a test's own window did not open: returns where one can, so that the failure counts."""
    error = _why_not()
    if error:
        pytest.skip(f"no off-screen drawing here: {error}")


@functools.cache
def _why_not() -> str:
    bare = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, timeout=120, check=False)
    return next(line for line in bare.stderr.splitlines() if "Error" in line) if bare.returncode else ""
