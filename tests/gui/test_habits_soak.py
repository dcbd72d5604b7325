"""Ten minutes of an animator's work in the real window: every habit once and more, in an order of chance.

The minutes are those of the window's clock, most of them spent thinking; nothing here depends on the wall's.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from m2v_studio.driver import Driver
from m2v_studio.soak import Soak

from .habits.every_habit import Habits
from .hands import Hands

MINUTES = 10.0


@pytest.mark.slow
def test_ten_minutes_of_an_animators_habits_end_without_a_fault(driver: Driver, tmp_path: Path) -> None:
    app, frame, size = driver.app, driver.app.frame, driver.app._window()
    try:
        quick = Hands(app, pace=1)
        habits = Habits(quick, tmp_path, random.Random(19))
        report = Soak(quick, habits, 19, by_cpu=True).run(lambda report: report.clock < 60.0 * MINUTES)
    finally:
        app.frame = frame  # type: ignore[method-assign]
    assert not report.faults, "\n".join(report.lines())
    assert set(report.kinds) == set(habits.habits)
    assert app._window() == size and app.studio.state.notice is None
