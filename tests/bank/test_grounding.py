"""A body led by its feet: it neither slides nor sinks where the shape that it borrows from stands."""

from dataclasses import replace

import numpy as np
import torch

from core.bank.grounding import lead_by_feet, may_stand
from core.bank.library import MotionLibrary
from core.bank.search import Window
from tests.bank.creatures import swinging_rod
from tests.bank.test_borrowing import rod_body, tip_wish


def sliding(behaviour: str = "gesture") -> tuple[list[Window], torch.Tensor, torch.Tensor]:
    """A window whose shape stands on its left half, its true nodes, and the same sliding and sinking away."""
    library = MotionLibrary([swinging_rod(behaviour=behaviour)])
    body = rod_body(library.shapes[0])
    match = next(found for found in library.match(body) if not found.entry.reflected)
    shape = match.entry.shape
    truth = torch.from_numpy(shape.posed(shape.clips[0], list(range(13)))).float()[None]
    away = torch.linspace(0, 0.2, 13)[:, None] * torch.tensor([1.0, -0.5, 0.7])
    return [Window(match, 0, 0.0, 1.0, 1.0, 0.0)], truth, truth + away[None, :, None]


def wish(loop: bool = False):
    body = rod_body(swinging_rod())
    return replace(tip_wish(body, None, frames=13, loop=loop), fps=12.0)


def test_what_stands_in_the_window_stays_where_it_was():
    windows, truth, moved = sliding()
    led = lead_by_feet(windows, wish(), moved)
    assert float((moved - truth).norm(dim=-1).max()) > 0.2
    np.testing.assert_allclose(led.numpy(), truth.numpy(), atol=0.03)


def test_what_swims_and_what_goes_round_is_left_alone():
    windows, _, moved = sliding("swim")
    assert torch.equal(lead_by_feet(windows, wish(), moved), moved)
    windows, _, moved = sliding()
    assert torch.equal(lead_by_feet(windows, wish(loop=True), moved), moved)


def seen(*behaviours: str) -> list[Window]:
    """A window of each clip of a shape that shows these behaviours."""
    shape = swinging_rod()
    shape = replace(shape, clips=tuple(replace(shape.clips[0], behaviour=behaviour) for behaviour in behaviours))
    library = MotionLibrary([shape])
    match = library.match(rod_body(shape))[0]
    return [Window(match, number, 0.0, 1.0, 1.0, 0.0) for number in range(len(behaviours))]


def stand(windows: list[Window], similar: list[Window]) -> list[bool]:
    return may_stand(windows, similar[0].match.entry.shape).tolist()


def test_a_swimmer_never_puts_its_belly_down():
    fish = seen("swim", "attack")
    assert stand(fish, fish) == [False, False]


def test_a_bird_stands_but_where_it_flies():
    bird = seen("fly", "walk", "idle")
    assert stand(bird, bird) == [False, True, True]


def test_a_walker_keeps_its_feet_down_whatever_it_borrows():
    fish, dog, swimming_dog = seen("swim", "attack"), seen("walk", "idle"), seen("swim", "walk")
    assert stand(fish, dog) == [True, True]
    assert stand(dog, fish) == [True, True]
    assert stand(swimming_dog, swimming_dog) == [False, True]
