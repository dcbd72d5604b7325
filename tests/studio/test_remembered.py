"""Answers go with what they are about."""

from __future__ import annotations

import gc
import weakref

from core.pipelines.request import SamplingOptions
from m2v_studio.document import commands
from m2v_studio.document.remembered import remembered
from m2v_studio.document.state import State, tracks

from .fake_animator import FakeAnimator
from .shapes import ball


class Thing:
    pass


def test_it_is_asked_once_and_the_answers_go_with_the_thing() -> None:
    asked: list[int] = []

    @remembered
    def answer(thing: Thing, number: int = 0) -> int:
        asked.append(number)
        return number + 1

    thing = Thing()
    assert [answer(thing, 3), answer(thing, 3), answer(thing, 4), answer(thing, number=4)] == [4, 4, 5, 5]
    assert asked == [3, 4, 4]
    gone = weakref.ref(thing)
    del thing
    gc.collect()
    assert gone() is None


def test_the_table_of_results_keeps_no_motion_alive() -> None:
    from m2v_studio.panels.samples import about_sample
    from m2v_studio.view.footing import footing

    state = commands.add_handle(commands.open_source(State(), ball()), 3, True)
    source = state.document.source
    assert source is not None
    sample = FakeAnimator().animate(source, tracks(state.document), SamplingOptions(seeds=1)).samples[0]
    assert about_sample(sample, True)
    assert footing(sample, source) is footing(sample, source)
    motion = weakref.ref(sample.sequence)
    del sample
    gc.collect()
    assert motion() is None
