"""A loop flows from its last frame into its first: in the vertices a user gets, not only in what they are made from."""

import numpy as np
import pytest
import torch

from core.assets import asset_path
from core.bank.borrowing import Borrowed
from core.errors import M2VError
from core.io.mesh.mesh_reader import read_mesh
from core.pipelines.animate import Animator
from core.pipelines.looping import SHORTEST_LOOP, closed_loop, seam_gaps
from core.pipelines.request import SamplingOptions
from core.sequence import Handle, HandleTracks, SourceMesh

FRAMES = 48


@pytest.fixture(scope="module")
def shipped() -> Animator:
    return Animator.load("small", "cpu")


def requests(mesh: SourceMesh) -> dict[str, HandleTracks]:
    """Nothing asked, and the head led to and fro with a foot pinned."""
    places = mesh.vertices
    head, foot = int(np.argmax(places[:, 2] + 0.5 * places[:, 1])), int(np.argmin(places[:, 1] - 0.01 * places[:, 2]))
    keys = {
        frame: places[head] + np.array(move) * mesh.size for frame, move in ((16, (0.1, 0.1, 0)), (32, (-0.1, 0, 0.05)))
    }
    return {
        "free": HandleTracks((), FRAMES),
        "led": HandleTracks((Handle(head, keys), Handle(foot, pinned=True)), FRAMES),
    }


@pytest.mark.parametrize(("name", "contacts"), [("hound", True), ("walker", True), ("spider", False)])
def test_position_and_velocity_agree_at_the_seam_within_a_hundredth_of_the_motion(shipped, name, contacts):
    mesh = read_mesh(asset_path("meshes", f"{name}.glb"))
    for tracks in requests(mesh).values():
        options = SamplingOptions(seeds=2, loop=True, contacts=contacts)
        for sample in shipped.animate(mesh, tracks, options).samples:
            vertices = sample.sequence.vertices
            assert max(seam_gaps(vertices)) < 0.01, sample.source
            assert surprise(vertices) < 0.003, sample.source
            assert sample.handle_error < 1e-5
            np.testing.assert_array_equal(vertices[0], mesh.vertices)


def surprise(vertices: np.ndarray) -> float:
    """How far frame 0 is from the polynomial through three frames on either side, as a share of the motion.

    A leap shows with half its size, a change of speed in one frame with 0.3 of it.
    """
    around = np.concatenate([vertices[-3:], vertices[1:4]]).astype(float)
    expected = np.tensordot(np.array([1, -6, 15, 15, -6, 1]) / 20, around, 1)
    motion = np.sqrt(np.square(vertices - vertices[0]).sum(-1).mean(-1)).max()
    return float(np.sqrt(np.square(vertices[0] - expected).sum(-1).mean()) / motion)


def test_a_motion_that_walks_away_comes_back():
    time = torch.arange(40.0)
    path = torch.stack([0.02 * time, 0.05 * torch.sin(time), 0 * time], dim=-1)
    motion = Borrowed(path[None, :, None].expand(1, 40, 6, 3), torch.eye(3).expand(1, 40, 6, 3, 3))
    closed = closed_loop(motion)
    assert max(seam_gaps(closed.positions[0].numpy())) < 0.01
    assert max(seam_gaps(motion.positions[0].numpy())) > 0.5
    torch.testing.assert_close(closed.positions[:, :1], motion.positions[:, :1])
    torch.testing.assert_close(closed.positions[:, 6:20], motion.positions[:, 6:20], atol=0.02, rtol=0)


def test_a_loop_that_flows_already_stays_as_it_is():
    angle = torch.arange(36.0) / 36 * 2 * torch.pi
    path = torch.stack([torch.sin(angle), torch.cos(angle) - 1, 0 * angle], dim=-1)
    motion = Borrowed(path[None, :, None].expand(1, 36, 6, 3), torch.eye(3).expand(1, 36, 6, 3, 3))
    torch.testing.assert_close(closed_loop(motion).positions, motion.positions, atol=5e-3, rtol=0)


def test_a_loop_of_few_frames_is_refused_with_a_sentence(animator, mesh):
    tracks = HandleTracks((), SHORTEST_LOOP - 1)
    with pytest.raises(M2VError, match="too short to close"):
        animator.animate(mesh, tracks, SamplingOptions(seeds=1, loop=True))
