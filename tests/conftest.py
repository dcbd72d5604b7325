"""Shared test settings: array shapes in annotations of the networks are checked at run time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")  # several tests at once
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # the tests load torch before core
os.environ.setdefault("KMP_BLOCKTIME", "0")

import hypothesis
import pytest
from jaxtyping import install_import_hook

install_import_hook(["core.models", "core.diffusion"], "beartype.beartype")

# On a busy machine any example may take long; that says nothing about it.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# A run started in the background of a shell script inherits that Ctrl-C is ignored; tests of it need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = (
    "gui/",
    "evaluation/test_handles",
    "evaluation/test_reconstruction.py",
    "experiments/test_ablations",
    "training/test_from_weights",
    "training/test_overfit",
    "training/test_processes",
    "test_readme",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what trains, draws a whole window or runs a whole protocol as slow."""
    for item in items:
        if any(place in item.path.as_posix() for place in SLOW):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def unwritable(tmp_path: Path) -> Iterator[Path]:
    """A folder that may not be written, by root neither where there is one."""
    if os.name == "nt":
        pytest.skip("folders of Windows have no mode")
    if os.geteuid() == 0:
        if not Path("/proc/self").is_dir():
            pytest.skip("root may write everywhere here")
        yield Path("/proc/self")
        return
    folder = tmp_path / "unwritable"
    folder.mkdir(mode=0o500)
    yield folder
    folder.chmod(0o700)
