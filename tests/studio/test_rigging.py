"""Rigs from results, made in a process of their own."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from core.errors import Cancelled, ExportError
from core.io.export_clip import ExportOptions
from core.io.gltf.scene import GltfScene
from core.sequence import MeshSequence
from m2v_studio.work.rigging import RigJob, RigRequest
from m2v_studio.work.tasks import Tasks
from tests.rigging.bent_tube import bent_tube


def request(out: Path, *sequences: MeshSequence) -> RigRequest:
    names = tuple(f"seed {number}" for number in range(len(sequences)))
    return RigRequest(sequences, names, None, out, ExportOptions())


def test_several_results_are_actions_of_one_file(tmp_path: Path) -> None:
    out = tmp_path / "rig.glb"
    written = RigJob(request(out, bent_tube(), bent_tube(9, 1.0)))()
    assert written.paths == (out,) and "bones" in written.sentence and "rig.glb" in written.sentence
    scene = GltfScene(out)
    assert scene.clip_names == ("seed 0", "seed 1") and scene.bone_index.shape[1] > 1


def test_what_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    still = MeshSequence(np.repeat(bent_tube().vertices[:1], 3, axis=0), bent_tube().faces)
    with pytest.raises(ExportError, match="Nothing moves"):
        RigJob(request(tmp_path / "rig.glb", still))()
    assert list(tmp_path.iterdir()) == []


def test_stopping_ends_it_and_saves_do_not_wait_for_it(tmp_path: Path) -> None:
    tasks, job = Tasks(), RigJob(request(tmp_path / "rig.glb", bent_tube()))
    done: list[object] = []
    tasks.run("Making the rig", job, done.append, done.append, stop=job.stop)
    saved = threading.Event()
    tasks.run("Saving", saved.set, done.append, done.append)
    assert saved.wait(20) and tasks.busy == "Making the rig"
    tasks.close()
    tasks.poll()
    assert done == [None]  # of the save only: the rig was not finished
    with pytest.raises(Cancelled):
        job()
