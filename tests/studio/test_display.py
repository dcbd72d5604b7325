"""Text is as large as the desktop asks for, on the first start."""

from __future__ import annotations

import pytest

from m2v_studio.work.display import display_scale, dots_per_inch


def test_dots_per_inch_are_read_from_the_displays_resources() -> None:
    assert dots_per_inch("Xcursor.size:\t24\nXft.dpi:\t192\nXft.hinting:\t1\n") == 192.0
    assert dots_per_inch("") == 96.0


@pytest.mark.skipif("sys.platform != 'linux'")
def test_the_desktops_own_variable_counts_and_stays_within_what_the_menu_offers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for named, scale in (("2", 2.0), ("1.3", 1.25), ("9", 2.0), ("0.5", 1.0), ("large", 1.0)):
        monkeypatch.setenv("GDK_SCALE", named)
        assert display_scale() == scale
    monkeypatch.delenv("GDK_SCALE")
    monkeypatch.delenv("GDK_DPI_SCALE", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    assert display_scale() == 1.0
