"""Easing, pins over a range, and the path they ask of a handle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import HandleError
from core.io.handle_file import read_handle_file
from core.key_easing import EASING_KINDS, Easing, easing_from, easing_record
from core.sequence import Handle, HandleTracks
from tests.studio.shapes import ball

REST = np.zeros(3)
UP = np.array([0.0, 1.0, 0.0])


@pytest.mark.parametrize("kind", EASING_KINDS)
@pytest.mark.parametrize("bend", [0.0, 0.4, 1.0])
def test_every_easing_starts_and_ends_at_its_keys(kind: str, bend: float) -> None:
    easing = Easing(kind, bend)  # type: ignore[arg-type]
    np.testing.assert_allclose(easing.share([0.0, 1.0]), [0.0, 1.0], atol=1e-12)
    assert easing_from(easing_record(easing)) == easing


def test_smooth_is_slow_at_both_ends_and_overshoot_goes_past_and_back() -> None:
    time = np.linspace(0.0, 1.0, 101)
    smooth = Easing("smooth", 1.0).share(time)
    assert smooth[5] < 0.01 and smooth[95] > 0.99 and (np.diff(smooth) >= 0).all()
    over = Easing("overshoot", 0.43).share(time)
    assert 1.08 < over.max() < 1.12 and over[-1] == 1.0
    assert Easing("overshoot", 0.0).share(time) == pytest.approx(time)
    assert Easing("smooth", 0.0).share(time) == pytest.approx(time)
    assert (Easing("hold").share(time)[:-1] == 0.0).all()


@pytest.mark.parametrize(
    "value", ["gentle", ["smooth"], ["smooth", 2.0], ["smooth", "1"], 3, None, ["smooth", True], {}]
)
def test_what_is_no_easing_is_said(value: object) -> None:
    with pytest.raises(HandleError):
        easing_from(value)


def test_a_motion_is_free_between_keys_unless_one_is_eased() -> None:
    keys = {4: UP, 8: 2 * UP, 12: UP}
    targets, given = Handle(0, keys).path(REST, 17)[:2]
    assert list(np.flatnonzero(given)) == [0, 4, 8, 12]
    targets, given = Handle(0, keys, easing={4: Easing("linear")}).path(REST, 17)[:2]
    assert list(np.flatnonzero(given)) == [0, 4, 5, 6, 7, 8, 12]
    np.testing.assert_allclose(targets[4:9, 1], [1.0, 1.25, 1.5, 1.75, 2.0])
    targets, given = Handle(0, keys, easing={0: Easing("hold")}).path(REST, 17)[:2]
    assert given[:5].all() and (targets[:4, 1] == 0).all() and targets[4, 1] == 1.0


def test_hold_is_linear_between_keys_and_still_after_the_last() -> None:
    targets, given = Handle(0, {4: UP, 8: 3 * UP}, hold=True).path(REST, 12)[:2]
    assert given.all()
    np.testing.assert_allclose(targets[:, 1], np.interp(np.arange(12), [0, 4, 8], [0, 1, 3]))


def test_a_pin_over_a_range_stays_where_its_first_frame_is() -> None:
    handle = Handle(0, {4: UP, 6: 5 * UP, 14: 2 * UP}, pins=((4, 9),))
    targets, given = handle.path(REST, 17)[:2]
    assert list(np.flatnonzero(given)) == [0, 4, 5, 6, 7, 8, 9, 14]
    assert (targets[4:10, 1] == 1.0).all() and targets[14, 1] == 2.0
    at_start = Handle(0, {}, pins=((0, 3), (10, 16))).path(REST, 17)[:2]
    assert list(np.flatnonzero(at_start[1])) == [0, 1, 2, 3, *range(10, 17)] and not at_start[0].any()
    assert not Handle(0, {}, pins=((20, 30),)).path(REST, 17)[1][1:].any(), "past the end"
    lifted = Handle(0, {4: UP, 14: 2 * UP}, pins=((4, 8),), easing={4: Easing("smooth")}, hold=True).path(REST, 17)[:2]
    np.testing.assert_allclose(lifted[0][8:15, 1], np.linspace(1.0, 2.0, 7))


def test_pins_that_touch_are_one_and_easing_needs_its_key() -> None:
    handle = Handle(0, {3: UP}, pins=((5, 9), (2, 5)), easing={3: Easing(), 7: Easing()})
    assert handle.pins == ((2, 9),) and list(handle.easing) == [3]
    with pytest.raises(HandleError, match="must end after it starts"):
        Handle(0, {}, pins=((5, 2),))
    with pytest.raises(HandleError, match="a pin ends at frame 20"):
        HandleTracks((Handle(0, {}, pins=((2, 20),)),), 17).validate(ball().vertices)


def test_a_handle_file_says_pins_and_easing(tmp_path: Path) -> None:
    path = tmp_path / "h.yaml"
    path.write_text(
        "frames: 17\nhandles:\n  - vertex: 3\n    keys: {8: [0, 1, 0], 12: [0, 1.2, 0]}\n"
        "    pins: [[12, 15]]\n    easing: {0: smooth, 8: [overshoot, 0.3]}\n"
    )
    handle = read_handle_file(path, ball()).handles[0]
    assert handle.pins == ((12, 15),)
    assert dict(handle.easing) == {0: Easing("smooth", 0.6), 8: Easing("overshoot", 0.3)}
    for wrong, part in (
        ("pins: [3]", "must be written"),
        ("pins: [[9, 3]]", "must end after it starts"),
        ("easing: {5: smooth}", "where it has no key"),
        ("easing: {8: gentle}", "linear, smooth"),
        ("easing: smooth", "must be written"),
    ):
        path.write_text(f"handles:\n  - vertex: 3\n    keys: {{8: [0, 1, 0]}}\n    {wrong}\n")
        with pytest.raises(HandleError, match=part):
            read_handle_file(path, ball())
