"""The pixels of handles and their paths, computed once per camera, motion and edit, not once per frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.sequence import Handle
from m2v_studio.view.camera import Projection

Pixel = tuple[float, float]
DOT_SPACING = 6.0  # pixels between the dots of a path, at least


@dataclass(frozen=True, eq=False)
class HandleOnScreen:
    """One handle on one figure, in pixels; None for points behind the camera."""

    path: tuple[Pixel | None, ...]  # on the surface, one per frame of the figure's track
    line: NDArray[np.float32] | None  # [T, 2], the path for Dear ImGui's polyline
    dots: tuple[Pixel, ...]  # of the path, at least DOT_SPACING apart
    chain: tuple[Pixel, ...] | None  # the rest position and the keys after it
    keys: dict[int, Pixel | None]  # the keys after the rest pose, by frame

    def knob(self, frame: int, at_key: int | None) -> Pixel | None:
        """The pixel where the handle is drawn and grabbed: its key in frame `at_key`, or if None, on the surface."""
        return self.path[frame] if at_key is None else self.keys[at_key]


def handles_on_screen(
    handles: tuple[Handle, ...],
    track: NDArray[np.float32],
    rest: NDArray[np.float32],
    projection: Projection,
    to_view: Callable[[NDArray], NDArray[np.float64]],
) -> tuple[HandleOnScreen, ...]:
    """Project one figure's handles: `track` [T, V, 3] and `rest` [V, 3] in source units, `to_view` to the scene."""
    if not handles:
        return ()
    vertices = [handle.vertex for handle in handles]
    pixels, depth = projection.project(to_view(track[:, vertices]))
    found = []
    for row, handle in enumerate(handles):
        later = {frame: position for frame, position in handle.keys.items() if frame > 0}
        points = np.stack([rest[handle.vertex].astype(np.float64), *later.values()])
        at, away = projection.project(to_view(points))
        chain = _pixels(at, away)
        path = _pixels(pixels[:, row], depth[:, row])
        whole = len(path) > 1 and None not in path
        found.append(
            HandleOnScreen(
                path=path,
                line=np.asfortranarray(pixels[:, row], dtype=np.float32) if whole else None,
                dots=_apart(path) if whole else (),
                chain=None if None in chain else chain,  # type: ignore[arg-type]
                keys=dict(zip(later, chain[1:], strict=True)),
            )
        )
    return tuple(found)


def _pixels(points: NDArray[np.float64], depth: NDArray[np.float64]) -> tuple[Pixel | None, ...]:
    """Plain numbers, which Dear ImGui takes much faster than arrays."""
    return tuple((x, y) if d > 0 else None for (x, y), d in zip(points.tolist(), depth.tolist(), strict=True))


def _apart(path: tuple[Pixel | None, ...]) -> tuple[Pixel, ...]:
    kept: list[Pixel] = []
    for point in path:
        if point is None:
            continue
        if not kept or abs(point[0] - kept[-1][0]) + abs(point[1] - kept[-1][1]) >= DOT_SPACING:
            kept.append(point)
    return tuple(kept)
