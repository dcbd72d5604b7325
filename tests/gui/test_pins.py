"""Pins as bars and easing as a curve, in the real window by real input."""

from __future__ import annotations

import numpy as np
import polyscope.imgui as psim

from core.key_easing import Easing
from m2v_studio.document import commands
from m2v_studio.driver import Driver, Point
from m2v_studio.view.key_strip import ROW

from .hands import CTRL, button_at, finish, item_at, rest
from .test_habits import at_key, choose_from_menu, keyed  # noqa: F401  a fixture


def at_bar(driver: Driver, row: int, frame: float) -> Point:
    x, y = at_key(driver, row, frame)  # type: ignore[arg-type]
    return x, y + 0.32 * ROW


def test_a_foot_is_held_from_here_and_its_bar_is_dragged(keyed: Driver) -> None:  # noqa: F811
    studio = keyed.app.studio
    studio.request_draft()
    finish(keyed)
    studio.show(commands.set_time, 5.0)
    studio.show(commands.select_handle, 0)
    rest(keyed)
    shown = keyed.app.viewport.figures[0].positions.copy()
    keyed.key(psim.ImGuiKey_H)
    handle = studio.state.document.handles[0]
    assert handle.pins == ((5, 7),)
    np.testing.assert_allclose(handle.keys[5], shown[handle.vertex], atol=1e-6)
    keyed.drag(at_bar(keyed, 0, 7), at_bar(keyed, 0, 11))
    assert studio.state.document.handles[0].pins == ((5, 11),)
    keyed.drag(at_bar(keyed, 0, 5), at_bar(keyed, 0, 3))
    assert studio.state.document.handles[0].pins == ((3, 11),)
    keyed.drag(at_bar(keyed, 0, 7), at_bar(keyed, 0, 9))
    assert studio.state.document.handles[0].pins == ((5, 13),)
    assert [step.label for step in studio.session.past][-4:] == ["pin from here"] + 3 * ["drag a pin"]
    state = finish(keyed)
    rest(keyed)
    track = state.results.samples.samples[0].sequence.vertices[:, handle.vertex]  # type: ignore[union-attr]
    held = studio.state.document.handles[0].keys[5]
    assert np.abs(track[5:14] - held).max() < 1e-3, "it stays where it is"
    keyed.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document.handles[0].pins == ((3, 11),)


def test_a_bar_is_let_go_by_a_right_click(keyed: Driver) -> None:  # noqa: F811
    studio = keyed.app.studio
    studio.show(commands.set_time, 9.0)
    studio.show(commands.select_handle, 0)
    keyed.key(psim.ImGuiKey_H)
    assert studio.state.document.handles[0].pins == ((9, 16),)
    keyed.move(at_bar(keyed, 0, 12))
    keyed.press(1)
    keyed.release(1)
    keyed.tick(2)
    choose_from_menu(keyed, "Let go here", "Pins")
    assert studio.state.document.handles[0].pins == ((9, 12),)


def test_a_key_is_eased_and_its_curve_is_bent(keyed: Driver) -> None:  # noqa: F811
    studio = keyed.app.studio
    rest(keyed)
    keyed.click(at_key(keyed, 0, 4))
    keyed.click(button_at(keyed, "Ease"))
    assert dict(studio.state.document.handles[0].easing) == {4: Easing("smooth", 0.6)}
    finish(keyed)
    rest(keyed)
    keyed.click(at_key(keyed, 0, 4))
    at = item_at(keyed, "InvisibleButton", "##curve")
    keyed.drag(at, (at[0], at[1] + 30))
    bend = studio.state.document.handles[0].easing[4].bend
    assert 0.05 < bend < 0.5
    assert studio.session.past[-1].label == "bend easing"
    keyed.key(psim.ImGuiKey_Z, CTRL)
    assert studio.state.document.handles[0].easing[4].bend == 0.6
    finish(keyed)
    rest(keyed)
    keyed.click(button_at(keyed, "Free"))
    assert not studio.state.document.handles[0].easing
