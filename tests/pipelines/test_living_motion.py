"""Handles are met, feet stand, and what the handles say is told from what they leave open."""

import numpy as np
import pytest
import torch

from core.bank.borrowing import Borrowed
from core.geometry.sampling import face_normals, sample_surface
from core.geometry.surroundings import surrounding_nodes
from core.pipelines.living_motion import blend, certainty_in_time, handle_certainty, plant_feet, settle
from core.pipelines.moving_body import KeyedHandles, MovingBody, unnamed_parts, wish_for
from core.pipelines.turned_handles import TurnedHandles
from core.quaternions import nearest_rotations, turned_by
from tests.pipelines.conftest import tube


@pytest.fixture(scope="module")
def body() -> MovingBody:
    vertices, faces = tube()
    vertices = (vertices - (vertices.min(0) + vertices.max(0)) / 2) / np.ptp(vertices, axis=0).max()
    samples = sample_surface(vertices, faces, 400, np.random.default_rng(0))
    return MovingBody(vertices, faces, samples, face_normals(vertices, faces)[samples.face], None, unnamed_parts)


def still(body: MovingBody, frames: int = 9, seeds: int = 2) -> Borrowed:
    positions = torch.from_numpy(body.nodes).expand(seeds, frames, -1, -1).clone()
    return Borrowed(positions, torch.eye(3).expand(seeds, frames, len(body.nodes), 3, 3).clone())


def request(body: MovingBody, frames: int = 9) -> KeyedHandles:
    seats = body.seats(np.array([5, len(body.rest) - 5]))
    targets = np.repeat(seats.places[:, None].astype(float), frames, 1)
    targets[1, -1] += [0.05, 0.2, 0.1]
    keyframe_mask = np.zeros((2, frames), bool)
    keyframe_mask[:, 0] = keyframe_mask[0] = keyframe_mask[1, -1] = True
    return KeyedHandles(seats, targets, keyframe_mask)


def test_keys_and_pins_are_met_at_the_vertices(body):
    handles = request(body)
    moved, missed = settle(body, still(body), handles, 24.0)
    vertices = body.carry(moved.positions[0], moved.rotations[0])
    np.testing.assert_allclose(vertices[:, 5], handles.targets[0], atol=1e-5)
    np.testing.assert_allclose(vertices[-1, -5], handles.targets[1, -1], atol=1e-5)
    np.testing.assert_allclose(vertices[0], body.rest, atol=1e-5)
    assert missed.shape == (2,) and (missed > 0.01).all()


def test_a_moved_handle_bends_the_body_and_stretches_it_little(body):
    handles = request(body)
    moved, _ = settle(body, still(body), handles, 24.0)
    vertices = body.carry(moved.positions[0], moved.rotations[0])
    assert np.linalg.norm(vertices[-1] - body.rest, axis=-1).max() > 0.1
    assert body.stretch(vertices) < 0.05


def test_certainty_is_high_near_a_track_and_low_far_from_a_pin(body):
    handles = request(body)
    sure = handle_certainty(body, handles)
    near_key, near_pin = handles.seats.shares.argmax(axis=1)[::-1]
    assert sure[-1, near_key] > 0.8
    assert sure[4, near_key] < sure[-1, near_key]
    assert sure[-1, near_pin] < 0.5
    assert handle_certainty(body, body.without_handles(9)).max() == 0


def test_a_handle_is_sure_in_its_keys_only():
    keyframe_mask = np.array([[True, False, False, False, True, False, False]])
    sure = certainty_in_time(keyframe_mask)[0]
    assert sure[0] == sure[4] == 1 and sure[2] < sure[1] < 1 and sure[6] < sure[5] < 1


def test_a_foot_that_slides_slowly_is_planted_and_one_that_steps_is_not(body):
    led = still(body, 24, 1).positions
    feet = torch.from_numpy(body.feet)
    slide = torch.linspace(0, 0.05, 24)
    led[0, :, feet, 0] += slide[:, None]
    planted = plant_feet(body, led, body.without_handles(0).seats, 24.0)
    assert float((planted[0, :, feet] - planted[0, :1, feet]).norm(dim=-1).max()) < 1e-5
    led[0, :, feet, 0] += 20 * slide[:, None]
    stepping = plant_feet(body, led, body.without_handles(0).seats, 24.0)
    assert float((stepping[0, -1, feet, 0] - led[0, -1, feet, 0]).abs().max()) < 1e-4


def test_feet_are_planted_in_the_motions_that_stand_only(body):
    led = still(body, 24, 3)
    led.positions[..., 0] += torch.linspace(0, 0.05, 24)[:, None]
    nobody = body.without_handles(24)
    feet = torch.from_numpy(body.feet)
    moved = settle(body, led, nobody, 24.0, contacts=np.array([True, False, True]))[0]
    slid = (moved.positions[:, -1, feet, 0] - moved.positions[:, 0, feet, 0]).abs().amax(dim=1)
    assert slid[0] < 0.01 and slid[1] > 0.045 and slid[2] < 0.01
    every, none = (settle(body, led, nobody, 24.0, contacts=contacts)[0] for contacts in (True, False))
    np.testing.assert_allclose(moved.positions[::2].numpy(), every.positions[::2].numpy(), atol=1e-6)
    np.testing.assert_allclose(moved.positions[1].numpy(), none.positions[1].numpy(), atol=1e-6)


def test_feet_do_not_sink_into_the_ground(body):
    led = still(body, 8, 1).positions
    led[0, 3, :, 1] -= 0.1
    planted = plant_feet(body, led, body.without_handles(0).seats, 24.0)
    assert float(planted[0, 3, torch.from_numpy(body.feet), 1].min()) >= body.ground - 1e-3


def test_a_wish_holds_every_key_but_the_rest_pose(body):
    handles = request(body)
    wish = wish_for(handles, 24.0)
    assert {(handle, frame) for handle, frame, _ in wish.keys} == {(0, f) for f in range(1, 9)} | {(1, 8)}
    np.testing.assert_allclose(wish.shares.sum(axis=1), 1, atol=1e-5)


def test_a_turned_handle_turns_what_is_around_it_as_asked(body):
    handles = request(body)
    turn = turned_by(np.array([0.0, 0.9, 0.4]))
    turns = np.broadcast_to(np.eye(3), (1, 9, 3, 3)).copy()
    turns[0, -1] = turn
    nodes = surrounding_nodes(body.nodes, body.body.weight, handles.seats.shares, handles.seats.places, (1,))
    turning = TurnedHandles((1,), tuple(nodes), turns, np.arange(9)[None] == 8)
    moved, _ = settle(body, still(body), handles, 24.0, turning=turning)
    vertices = body.carry(moved.positions[0], moved.rotations[0])
    near = np.linalg.norm(body.rest - body.rest[-5], axis=1) < 0.09
    arms = [shape[near] - shape[near].mean(axis=0) for shape in (body.rest, vertices[-1])]
    found = nearest_rotations((arms[1].T @ arms[0]).astype(float)[None])[0]
    apart = np.degrees(np.arccos(min((np.trace(turn.T @ found) - 1) / 2, 1.0)))
    assert near.sum() > 4 and apart < 3.0
    np.testing.assert_allclose(vertices[-1, -5], handles.targets[1, -1], atol=1e-4)
    middle = moved.rotations[0, 4, nodes[0][0]].numpy()
    angle = np.degrees(np.arccos((np.trace(middle) - 1) / 2))
    assert 10 < angle < 46, "on the way there it is turned in part, not squeezed"


def test_the_share_of_the_estimate_passes_a_key_without_a_cusp(body):
    borrowed = still(body, 17, 1)
    estimated = borrowed._replace(positions=borrowed.positions + 0.1)
    share = np.exp(-np.abs(np.arange(17) - 8.0) / 3)[:, None].repeat(len(body.nodes), axis=1).astype(np.float32)
    mixed = (blend(borrowed, estimated, share).positions - borrowed.positions)[0, :, 0, 0].numpy()
    sharp = np.abs(np.diff(0.1 * share[:, 0], n=2)).max()
    assert np.abs(np.diff(mixed, n=2)).max() < 0.5 * sharp
    even = blend(borrowed, estimated, np.full_like(share, 0.4)).positions - borrowed.positions
    np.testing.assert_allclose(even.numpy(), 0.04, atol=1e-6)


def test_many_tracks_know_better_than_the_ground_where_feet_are(body):
    """A body that slides slowly along the ground: its own ground points may not hold it back."""
    slide = np.linspace(0, 0.04, 9)[:, None]

    def off(count: int) -> float:
        seats = body.seats(np.linspace(5, len(body.rest) - 5, count).round().astype(int))
        targets = seats.places[:, None] + slide * np.array([1.0, 0.0, 0.0])
        handles = KeyedHandles(seats, targets.astype(float), np.ones((count, 9), bool))
        moved = settle(body, still(body), handles, 24.0)[0].positions[0]
        return float((moved[-1] - torch.from_numpy(body.nodes) - torch.tensor([0.04, 0, 0])).norm(dim=-1).mean())

    assert len(body.feet) > 3
    assert off(10) < 0.5 * off(3)
