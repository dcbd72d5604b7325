"""`m2v demo` in a process of its own (Polyscope can be opened once per process), with a stand-in for the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from core.io.mesh.mesh_reader import read_mesh
from core.io.sequence_file import read_sequence

from ..studio.shapes import ball_arrays, write_ball

RUNNER = """
import sys
from pathlib import Path
import pytest
from m2v_studio.demo import run_demo
from tests.gui.unseen import fill_only_what_is_read
from tests.studio.fake_animator import make_fake
fill_only_what_is_read(pytest.MonkeyPatch())
run_demo(Path(sys.argv[1]), Path(sys.argv[2]), make_fake, isolate=False, on_file=lambda path: print(path, flush=True))
"""


def test_each_file_is_told_as_it_is_written_and_all_are_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", RUNNER, str(out), str(write_ball(tmp_path / "ball.obj"))]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    told = [Path(line) for line in done.stdout.splitlines()]
    pictures = {path.stem for path in told if path.suffix == ".png"}
    assert all(path.stat().st_size > 1000 for path in told) and len(told) == len(set(told)) == 15
    assert {"01-open", "05-generating", "07-side-by-side", "11-error", "contact-sheet"} <= pictures
    rest = ball_arrays()[0]
    motion = read_sequence(out / "exports" / "ball-motion.npz")
    assert motion.vertices.shape == (17, *rest.shape)
    assert read_mesh(out / "exports" / "ball-motion.glb").vertices.shape == rest.shape
