"""Tints the regions of handles on the figures."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from core.sequence import Handle
from m2v_studio.document.selection import chosen_rows
from m2v_studio.document.state import Same, State
from m2v_studio.view import theme
from m2v_studio.view.figure import Figure
from m2v_studio.view.theme import Color

SHARE, CHOSEN_SHARE = 0.35, 0.62  # of the handle's colour, mixed into the figure's


def handle_color(handle: Handle) -> Color:
    """Red for a moved handle, blue for a pinned one."""
    if handle.pinned:
        return theme.PINNED
    return theme.MOVED if any(frame > 0 for frame in handle.keys) else theme.UNUSED


class RegionTints:
    """The tints by figure, computed again only when something has changed."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Hashable, NDArray[np.float32]]] = {}

    def of(self, state: State, figure: Figure) -> NDArray[np.float32] | None:
        """A figure's colours [V, 3]; None without regions, or if none is selected and its own colours are shown."""
        handles, chosen = state.document.handles, chosen_rows(state)
        regions = [row for row, handle in enumerate(handles) if len(handle.region)]
        if not regions:
            self._kept.clear()
        if not regions or (figure.looks is not None and not any(row in chosen for row in regions)):
            return None
        count = figure.track.shape[1]
        looks = tuple((Same(handle.region), handle_color(handle)) for handle in handles)
        stamp = (looks, chosen, figure.color, count)
        kept = self._kept.get(figure.name)
        if kept is None or kept[0] != stamp:
            colors = np.tile(np.array(figure.color, dtype=np.float32), (count, 1))
            for row, handle in enumerate(handles):
                share = CHOSEN_SHARE if row in chosen else SHARE
                if len(handle.region):
                    own = np.append(handle.region, handle.vertex)
                    color = handle_color(handle)
                    # Grey would hardly be seen on a shape that is nearly grey itself.
                    colors[own] = theme.mix(figure.color, theme.ACCENT if color == theme.UNUSED else color, share)
            kept = self._kept[figure.name] = (stamp, colors)
        return kept[1]
