"""Search, choice and borrowing on a body that the bank knows exactly: its own motion comes back."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from core.bank import borrowing
from core.bank.borrowing import borrow
from core.bank.choosing import choose_windows
from core.bank.library import MotionLibrary, Proposals
from core.bank.matching import Body
from core.bank.search import (
    PreparedWish,
    Window,
    Wish,
    effort,
    energy_of,
    find_windows,
    how_far,
    plain_name,
    position_functional,
    window_terms,
)
from core.errors import DataError
from core.geometry.rigid import RigidSurface
from tests.bank.creatures import swinging_rod


def rod_body(shape) -> Body:
    distance = np.linalg.norm(shape.nodes[:, None] - shape.nodes[None], axis=-1)
    weight = np.where((distance < 0.12) & (distance > 0), 1 / distance.clip(1e-3), 0).astype(np.float32)
    return Body(shape.nodes, shape.normals, shape.descriptors[0], 0.0, weight)


def tip_wish(body: Body, place, frames: int = 17, loop: bool = False) -> Wish:
    tip = int(body.nodes[:, 0].argmax())
    keys = () if place is None else ((0, frames - 1, tuple(map(float, place))),)
    return Wish(frames, 24.0, body.nodes[[tip]], np.array([[tip]]), np.ones((1, 1), np.float32), keys, loop=loop)


@pytest.fixture(scope="module")
def library() -> MotionLibrary:
    return MotionLibrary([swinging_rod("rod"), swinging_rod("calm", 10.0)])


def test_a_body_of_the_bank_moves_as_the_bank_says(library):
    shape = library.shapes[0]
    body = rod_body(shape)
    tip = int(body.nodes[:, 0].argmax())
    truth = shape.posed(shape.clips[0], [0, 8])
    wish = tip_wish(body, truth[1][tip])
    windows = find_windows(body, library.match(body), wish, position_functional(body))
    best = windows[0]
    assert best.match.entry.shape.name == "rod" and not best.match.entry.reflected
    moved = borrow(body, [best], wish).positions[0]
    np.testing.assert_allclose(moved[0], body.nodes, atol=1e-4)
    assert float((moved[-1, tip] - torch.from_numpy(truth[1][tip])).norm()) < 0.08


def test_the_functional_is_the_poisson_solve(library):
    body = rod_body(library.shapes[0])
    turns = torch.from_numpy(np.stack([_about_z(a) for a in np.linspace(0, 1, len(body.nodes))])).float()
    predicted = np.einsum("pna,nba->pb", position_functional(body), turns.numpy())
    surface = RigidSurface.floating(torch.from_numpy(body.nodes)[None], torch.from_numpy(body.weight)[None])
    solved = surface.positions(turns[None, :, None], torch.zeros(1, len(body.nodes), 1, 3))[0, :, 0]
    np.testing.assert_allclose(predicted, solved.numpy(), atol=1e-5)


def test_what_is_left_out_is_not_searched(library):
    body = rod_body(library.shapes[0])
    assert {match.entry.shape.name for match in library.match(body, {"calm"})} == {"rod"}
    assert library.match(body, {"rods"}) == []
    assert {shape.name for shape in library.without({"rod"}).shapes} == {"calm"}


def test_a_seeds_motion_does_not_depend_on_the_others(library):
    body = rod_body(library.shapes[0])
    wish = tip_wish(body, [0.3, 0.4, 0.0])
    matches = library.match(body)
    together = Proposals(body, matches, wish).of(range(6))[1].positions
    alone = Proposals(body, matches, wish).of([4])[1].positions
    assert torch.equal(together[4], alone[0])


def test_windows_borrowed_a_few_at_a_time_move_alike(library, monkeypatch):
    body = rod_body(library.shapes[0])
    wish = tip_wish(body, body.nodes[-1] + 0.1)
    windows = find_windows(body, library.match(body), wish, position_functional(body))[:5]
    whole = borrow(body, windows, wish)
    monkeypatch.setattr(borrowing, "_CHUNK", 1)
    for field, alone in zip(whole, borrow(body, windows, wish), strict=True):
        torch.testing.assert_close(field, alone, atol=1e-5, rtol=0)


def test_a_loop_ends_where_it_begins(library):
    body = rod_body(library.shapes[0])
    wish = tip_wish(body, None, frames=12, loop=True)
    moved = Proposals(body, library.match(body), wish).of([0])[1].positions[0]
    steps = (moved[1:] - moved[:-1]).norm(dim=-1).mean(dim=1)
    assert float((moved[-1] - moved[0]).norm(dim=-1).mean()) < 2.0 * float(steps.max()) + 1e-4


def test_a_request_longer_than_the_clip_goes_on_without_a_jump(library):
    body = rod_body(library.shapes[0])
    wish = tip_wish(body, None, frames=100)
    moved = Proposals(body, library.match(body), wish).of([0])[1].positions[0]
    assert moved.shape[0] == 100 and bool(torch.isfinite(moved).all())
    steps = (moved[1:] - moved[:-1]).norm(dim=-1).amax(dim=1)
    assert float(steps.max()) < 0.15


def test_a_clip_passes_into_another_without_a_jump_of_place_or_speed(library):
    body = rod_body(library.shapes[0])
    wish = tip_wish(body, None, frames=100)
    match = library.match(body)[0]
    assert not match.entry.shape.clips[0].period
    moved = borrow(body, [Window(match, 0, 0.0, 1.0, 1.0, 0.0)], wish).positions[0]
    turns = moved.diff(n=2, dim=0).norm(dim=-1).mean(dim=1)
    end = 2 * (match.entry.shape.clips[0].frames - 1)
    assert end < 80 and float(turns[end - 4 : end + 4].max()) < 1.5 * float(turns[: end - 4].max())


def test_who_has_died_stays_where_he_lies(library):
    shape = replace(library.shapes[0], clips=tuple(replace(c, behaviour="die") for c in library.shapes[0].clips))
    library = MotionLibrary([shape])
    body = rod_body(shape)
    moved = borrow(body, [Window(library.match(body)[0], 0, 0.0, 1.0, 1.0, 0.0)], tip_wish(body, None, 100)).positions[
        0
    ]
    torch.testing.assert_close(moved[-1], moved[-30], atol=1e-5, rtol=0)


def test_choices_serve_every_group_of_candidates():
    places = np.array([0.0, 0.01, 0.02, 5.0, 5.01, 9.0])
    distances = np.abs(places[:, None] - places[None])
    chosen = choose_windows(np.zeros(6), distances, 4.0, range(3))
    assert {round(places[row]) for row in chosen} == {0, 5, 9}
    assert choose_windows(np.zeros(6), distances, 4.0, [2]) == chosen[2:]


def test_names_read_as_a_person_says_them():
    assert plain_name("farm_Horse") == "Horse"
    assert plain_name("fish-2") == "Fish 2"
    assert plain_name("Velociraptor") == "Velociraptor"


def _about_z(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])


def test_a_window_that_misses_the_key_costs_more_and_stillness_earns_only_so_much(library):
    body = rod_body(library.shapes[0])
    tip = int(body.nodes[:, 0].argmax())
    shape = library.shapes[0]
    asked = PreparedWish.of(body, tip_wish(body, shape.posed(shape.clips[0], [8])[0][tip]), position_functional(body))
    match = next(found for found in library.match(body) if found.entry.shape.name == "rod")
    terms = next(found for found in window_terms(match, asked) if found.speed == 1.0)
    energy = energy_of(terms, match.cost, asked)
    near, far = terms.missed.argmin(), terms.missed.argmax()
    assert terms.missed[near] < 0.2 < terms.missed[far]
    assert energy[near] < energy[far]
    still = effort(np.array([0.0, 1e-3, 0.04, 0.08]), 0.5, 0.0)
    assert still[0] == still[1] < still[2] < still[3]
    told = effort(np.array([0.04, 0.08]), 0.5, 1.0)  # by the handles how the body moves: then it says little
    assert 0 < told[1] - told[0] < 0.2 * (still[3] - still[2])


def test_pins_tell_nothing_of_the_body(library):
    wish = tip_wish(rod_body(library.shapes[0]), (0.5, 0.3, 0.0))
    pin = (1, 8, tuple(map(float, wish.rest[0])))
    wish = replace(wish, rest=np.repeat(wish.rest, 3, 0), keys=(*wish.keys, pin))
    assert how_far(wish) == (pytest.approx(np.linalg.norm(np.array([0.5, 0.3, 0.0]) - wish.rest[0])), 0.0)
    assert how_far(replace(wish, keys=(*wish.keys, (2, 8, (0.0, 1.0, 0.0)))))[1] == 0.5


def test_clips_and_names_that_are_switched_off(library):
    body = rod_body(library.shapes[0])
    wish = replace(tip_wish(body, None), without=frozenset({"rod/Rig|Swing_Up"}))
    windows = find_windows(body, library.match(body, wish.without), wish, position_functional(body))
    assert {window.match.entry.shape.name for window in windows} == {"calm"}
    library.check_names(["rods", "calm", "rod/Rig|Swing_Up"])
    with pytest.raises(DataError, match=r"No motion is called 'rood'; is 'rod' meant\?"):
        library.check_names(["rood"])
