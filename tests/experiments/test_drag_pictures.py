"""Eight drags that show a prior: one of each kind, and a clear word where a rig is missing."""

import numpy as np
import pytest

from core.errors import DataError
from core.experiments.drag_pictures import DRAGS, FRAMES, SEEDS, SHOWN, Drag, drag_picture, write_drag_pictures
from core.experiments.handle_pictures import TILE
from core.io.export import export_sequence
from core.sequence import MeshSequence
from tests.pipelines.conftest import animator, mesh  # noqa: F401


def test_eight_different_things_are_dragged():
    assert len({drag.rig for drag in DRAGS}) == len({drag.name for drag in DRAGS}) == 8


def test_a_missing_rig_is_named(animator, mesh, tmp_path):  # noqa: F811
    export_sequence(MeshSequence(mesh.vertices[None], mesh.faces), tmp_path / "m2m_cat.glb", mesh)
    with pytest.raises(DataError, match="Chest"):
        write_drag_pictures(animator, tmp_path, tmp_path / "out")


def test_a_picture_shows_every_seed_and_ends_where_the_drag_does(animator, mesh, tmp_path):  # noqa: F811
    path = tmp_path / "tube.glb"
    export_sequence(MeshSequence(mesh.vertices[None], mesh.faces), path, mesh)
    picture, sources = drag_picture(animator, Drag("an end", "tube", (1.0, 0, 0), (0, 0.2, 0)), path)
    assert picture.shape == (SEEDS * TILE, SHOWN * TILE, 3) and len(sources) == SEEDS and FRAMES > SHOWN
    rows = picture.reshape(SEEDS, TILE, SHOWN, TILE, 3)
    assert all(np.abs(rows[seed, :, 0].astype(int) - rows[seed, :, -1]).mean() > 0.5 for seed in range(SEEDS))
