"""Bodies of the bank: closed surfaces in poses that differ, and the ones that ship."""

from __future__ import annotations

import numpy as np
import pytest

from core.assets import asset_path
from core.bank.bank_file import write_bank
from core.bank.bodies import POSES, body_of, differing, read_bodies, shipped_bodies
from core.bank.credits import LICENCE, Credit
from core.bank.read_sequence import MeshMotion, body_of_motion
from core.bank.shape import BankShape, mirrored
from core.errors import DataError
from core.geometry.occupancy import is_inside
from tests.bank.creatures import swinging_rod
from tests.geometry.bodies import capsule, coarse_surfaces


@pytest.fixture(scope="module")
def bending() -> BankShape:
    poses = np.stack([capsule(bend)[0] for bend in np.linspace(0.0, 1.2, 24)]).astype(np.float32)
    credit = Credit("a test", LICENCE, "capsules")
    with coarse_surfaces():
        return body_of_motion("capsule", MeshMotion("bend", poses, 24.0), capsule()[1], credit, "objects", 300)


@pytest.fixture(scope="module")
def bodies() -> list[BankShape]:
    return shipped_bodies()


def edges_with_one_face(faces: np.ndarray) -> int:
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return int((np.unique(edges, axis=0, return_counts=True)[1] % 2).sum())


def test_a_motion_becomes_a_closed_surface_that_bends_as_it_did(bending: BankShape) -> None:
    assert edges_with_one_face(bending.faces) == 0 and 200 < len(bending.nodes) < 400
    last = bending.posed(bending.clips[0])[-1]
    true = capsule(1.2)[0]
    size = np.ptp(capsule()[0], axis=0).max()
    places = np.random.default_rng(0).uniform(-0.5, 0.5, (4000, 3))
    one, other = is_inside(last, bending.faces, places), is_inside(true / size, capsule()[1], places)
    assert (one & other).sum() / (one | other).sum() > 0.85


def test_a_body_keeps_poses_that_differ_and_begins_with_the_default_one(bending: BankShape) -> None:
    body = body_of(bending)
    posed = body.posed(body.clips[0])
    assert 3 < len(posed) <= POSES
    np.testing.assert_allclose(posed[0], bending.nodes, atol=1e-5)
    apart = np.linalg.norm(posed[:, None] - posed[None], axis=-1).mean(axis=-1)
    assert apart[~np.eye(len(posed), dtype=bool)].min() > 0.003
    assert len(body_of(bending, poses=1).clips[0].places) == 1


def test_differing_poses_are_taken_farthest_first() -> None:
    line = np.zeros((5, 2, 3))
    line[:, :, 0] = np.array([0.0, 0.1, 0.2, 1.0, 0.001])[:, None]
    assert differing(line, 3) == [0, 3, 2]
    assert differing(line[[0, 4]], 3) == [0]


def test_bodies_are_read_as_they_were_written(bending: BankShape, tmp_path) -> None:
    body = body_of(bending)
    write_bank(tmp_path / "bodies.safetensors", [body, mirrored(body).renamed("other")])
    read = read_bodies(tmp_path / "bodies.safetensors")
    assert [shape.name for shape in read] == ["capsule", "other"]
    np.testing.assert_array_equal(read[0].faces, body.faces)
    np.testing.assert_array_equal(read[1].faces, body.faces[:, ::-1])
    np.testing.assert_allclose(read[0].posed(read[0].clips[0]), body.posed(body.clips[0]), atol=2e-3)


def test_a_bank_of_motions_holds_no_bodies(tmp_path) -> None:
    write_bank(tmp_path / "motions.safetensors", [swinging_rod()])
    with pytest.raises(DataError, match="holds motions and not bodies"):
        read_bodies(tmp_path / "motions.safetensors")


def test_what_ships_is_small_credited_closed_and_free_of_captured_motion(bodies: list[BankShape]) -> None:
    folder = asset_path("bank", "bodies.safetensors").parent
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12e6
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert len(bodies) >= 150 and len({body.name for body in bodies}) == len(bodies)
    for body in bodies:
        assert body.licence == LICENCE and body.author.split(",")[0] in readme and body.pack
        assert edges_with_one_face(body.faces) == 0
        assert body.clips[0].frames <= (1 if body.name.startswith("body_") else POSES)
