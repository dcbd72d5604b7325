"""The measured points that a State shows, and the room that scans and their box need. Pure, as `scene` is."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from m2v_studio.document.scan_document import OpenedScans, box_corners, scan_bounds
from m2v_studio.document.state import Same, State, frame_shown, is_box_shown, shown_samples
from m2v_studio.view.figure import Figure

MOST_POINTS = 30_000  # shown of one frame; a dense scan is thinned evenly
IMAGE_SIDE = 128  # pixels
REACH = 1.5  # content within this many sides of the guessed box's middle is framed

Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Cloud:
    """The points [N, 3] of one scan in the scans' units, shown with this figure, or alone if the name is empty."""

    name: str
    points: NDArray[np.float32]
    radius: float  # normalised
    figure: str = ""

    @property
    def stamp(self) -> Hashable:
        """Changes exactly when the points must be sent again."""
        return Same(self.points)


def clouds(state: State, figures: tuple[Figure, ...]) -> tuple[Cloud, ...]:
    """The points of the frame under the playhead, beside every figure that has a cell of its own."""
    scans = state.document.scans
    if scans is None or not state.view.points:
        return ()
    points = _shown_points(scans, min(frame_shown(state), scans.sequence.frames - 1))
    if not len(points):
        return ()
    radius = dot_radius(scans)
    if any(figure.cell is not None for figure in figures):
        return tuple(Cloud(f"scan-{figure.name}", points, radius, figure.name) for figure in figures)
    return (Cloud("scan", points, radius),)


def scan_image(state: State, figures: tuple[Figure, ...]) -> NDArray[np.float32] | None:
    """The image [H, W, 3] under the playhead, from 0 to 1, with sides of at most `IMAGE_SIDE` pixels.

    None when the scans are not images, or when meshes are side by side.
    """
    scans = state.document.scans
    if scans is None or scans.sequence.images is None or not state.view.points:
        return None
    if any(figure.cell is not None for figure in figures):
        return None
    return _shown_image(scans, min(frame_shown(state), len(scans.sequence.images) - 1))


@lru_cache(maxsize=256)
def _shown_image(scans: OpenedScans, frame: int) -> NDArray[np.float32]:
    assert scans.sequence.images is not None
    pixels = scans.sequence.images[frame]
    every = -(-max(pixels.shape[:2]) // IMAGE_SIDE)
    return (pixels[::every, ::every] / np.float32(255.0)).astype(np.float32)


@lru_cache(maxsize=256)
def _shown_points(scans: OpenedScans, frame: int) -> NDArray[np.float32]:
    """The same number of points in every frame, so that Polyscope only has to move them: the last one is repeated."""
    points = _thinned(scans.sequence.points[frame])
    missing = _most_shown(scans) - len(points) if len(points) else 0
    return np.concatenate([points, np.repeat(points[-1:], missing, axis=0)]).astype(np.float32)


@lru_cache(maxsize=2)
def _most_shown(scans: OpenedScans) -> int:
    return max(len(_thinned(points)) for points in scans.sequence.points)


def _thinned(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return points[:: -(-len(points) // MOST_POINTS)] if len(points) else points


def point_radius(count: int) -> float:
    """Radius of the dots, normalised: about a fifth of the distance between neighbours on a surface."""
    return float(np.clip(0.19 / np.sqrt(max(count, 1)), 0.0022, 0.0085))


def dot_radius(scans: OpenedScans) -> float:
    """Radius of the dots, normalised and the same in every frame. For voxels, the balls nearly touch."""
    if scans.sequence.voxels is not None:
        return 0.42 * scans.sequence.voxel_side / scans.sequence.voxels.shape[1] / scans.guess.scale
    return point_radius(_most_shown(scans))


def scan_box(state: State, with_box: bool) -> Bounds:
    """Corners of the points, the results and the alignment's box, in the scans' units.

    Points and results far outside of the guess are left out, as they would shrink the shape to a dot.
    """
    scans, place = state.document.scans, state.document.alignment
    assert scans is not None and place is not None
    seen = _seen(scans)
    lows, highs = ([], []) if seen is None else ([seen[0]], [seen[1]])
    if state.results is not None:
        for row in shown_samples(state):
            track = state.results.samples.samples[row].sequence.vertices
            lows.append(track.min((0, 1)).astype(np.float64))
            highs.append(track.max((0, 1)).astype(np.float64))
    corners = box_corners(place, state.document.box_shares)
    if not lows:
        return corners.min(0), corners.max(0)
    middle, reach = scans.guess.center, REACH * scans.guess.scale
    low, high = np.maximum(np.min(lows, axis=0), middle - reach), np.minimum(np.max(highs, axis=0), middle + reach)
    if with_box:
        low, high = np.minimum(low, corners.min(0)), np.maximum(high, corners.max(0))
    return low, high


@lru_cache(maxsize=2)
def _seen(scans: OpenedScans) -> Bounds | None:
    return scan_bounds(scans.sequence)


def scan_stamp(state: State) -> Hashable:
    """Equal while the content of the view needs the same room."""
    boxed = is_box_shown(state)
    return (
        Same(state.document.scans),
        Same(state.results),
        shown_samples(state),
        Same(state.document.alignment) if boxed else None,
    )
