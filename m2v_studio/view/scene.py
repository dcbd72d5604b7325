"""The figures that a State shows, with their colours and frames. Pure; the viewport draws them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.io.appearance import Appearance
from core.pipelines.request import ReconstructionSet, SampleSet
from core.sequence import HandleTracks, Normalization, SourceMesh
from m2v_studio.document.looks import own_looks
from m2v_studio.document.result_commands import mark_of, result_label
from m2v_studio.document.state import (
    ColorBy,
    Results,
    Same,
    State,
    frame_shown,
    is_box_shown,
    is_open,
    is_stale,
    shown_pose,
    shown_samples,
    tracks,
)
from m2v_studio.view import theme
from m2v_studio.view.figure import Figure
from m2v_studio.view.region_tints import RegionTints
from m2v_studio.view.scan_scene import scan_box, scan_stamp
from m2v_studio.view.strain import Strain, strain_top

MEASURED = 30_000_000  # at most this many numbers of a motion are read for its bounds
GHOSTLY = 0.4  # opacity of a body that is being fitted to scans
UNSEEN = 0.06  # of the size: vertices this far from all scanned points are tinted fully


class SceneBuilder:
    """Builds the figures; caches the rest track and the ranges of heat maps."""

    def __init__(self) -> None:
        self._rest: tuple[SourceMesh, NDArray[np.float32]] | None = None
        self._range: tuple[Hashable, float] | None = None
        self._tints = RegionTints()
        self._strains: dict[Same, Strain] = {}
        self._strained: object = None  # the results that the strains belong to

    def figures(self, state: State) -> tuple[Figure, ...]:
        """The figures to show, with regions tinted."""
        return tuple(replace(figure, tint=self._tints.of(state, figure)) for figure in self._posed(state))

    def _posed(self, state: State) -> tuple[Figure, ...]:
        figures, pose = self._unposed(state), shown_pose(state)
        if pose is None or not figures:
            return figures
        taken = next((row for row, figure in enumerate(figures) if figure.name == pose.figure), 0)
        figure = figures[taken]
        color = theme.CLAY if figure.name == "source" else theme.result_color(int(figure.name.removeprefix("result-")))
        label = f"frame {pose.frame}, being dragged"
        posed = replace(figure, track=pose.track, frame=0, heat=None, color=color, label=label)
        return (*figures[:taken], posed, *figures[taken + 1 :])

    def _unposed(self, state: State) -> tuple[Figure, ...]:
        source = state.document.source
        if not is_open(state.document):
            return ()
        frame = frame_shown(state)
        job = state.job
        if job is not None and job.preview is not None:
            track = job.preview
            faces = job.preview_faces if source is None else source.faces
            if faces is not None:
                label = f"seed {state.document.seed}, being generated"
                at = min(frame, len(track) - 1)
                if job.body:
                    label = f"{job.body}, a body that is being fitted"
                    return (Figure("fitted-body", track, faces, 0, theme.result_color(0), GHOSTLY, label),)
                looks = self._looks(state, 0)
                return (Figure("result-0", track, faces, at, theme.result_color(0), label=label, looks=looks),)
        if state.results is None:
            if source is None:
                return ()
            looks = own_looks(source)
            return (Figure("source", self._rest_track(source), source.faces, 0, theme.CLAY, looks=looks),)
        return tuple(self._result(state, row, frame) for row in shown_samples(state))

    def _rest_track(self, source: SourceMesh) -> NDArray[np.float32]:
        if self._rest is None or self._rest[0] is not source:
            self._rest = (source, np.asarray(source.vertices, dtype=np.float32)[None])
        return self._rest[1]

    def _result(self, state: State, row: int, frame: int) -> Figure:
        assert state.results is not None
        sample = state.results.samples.samples[row]
        track = sample.sequence.vertices
        source = state.document.source
        frame = min(frame, len(track) - 1)
        stale = is_stale(state) or mark_of(state.results, row).older
        color = theme.result_color(row)
        if stale:
            color = theme.mix(color, theme.BACKGROUND, 0.72)
        opacity = 1.0
        if state.view.layout == "overlay" and row != state.view.solo:
            opacity = 0.55
        heat, heat_max = (None, 0.0) if stale else self._heat(state, row, frame)
        return Figure(
            name=f"result-{row}",
            track=track,
            # Every sequence has a copy of its own; the source's is the same object for all of them.
            faces=sample.sequence.faces if source is None else source.faces,
            frame=frame,
            color=color,
            opacity=opacity,
            label=result_label(state.results, row) + (", of an older edit" if stale else ""),
            cell=row if state.view.layout == "side" else None,
            looks=self._looks(state, row),
            heat=heat,
            heat_max=heat_max,
            heat_stamp=(state.view.color, Same(state.results), row, frame, heat_max),
        )

    @staticmethod
    def _looks(state: State, row: int) -> Appearance | None:
        """The mesh's own colours if they are on; not in an overlay, whose ghosts differ only in colour."""
        source, view = state.document.source, state.view
        ghost = view.layout == "overlay" and row != view.solo
        return own_looks(source) if source is not None and view.color == "own" and not ghost else None

    def _strain(self, state: State, row: int) -> Strain:
        """Cached for the present results; results of one mesh share it."""
        assert state.results is not None
        source = state.document.source
        sequence = state.results.samples.samples[row].sequence
        faces = sequence.faces if source is None else source.faces
        rest = sequence.vertices[0] if source is None else source.vertices
        key = Same(faces)
        if key not in self._strains:
            if self._strained is not state.results.samples:
                self._strains, self._strained = {}, state.results.samples
            self._strains[key] = Strain(rest, faces)
        return self._strains[key]

    def _heat(self, state: State, row: int, frame: int) -> tuple[NDArray[np.float32] | None, float]:
        assert state.results is not None
        samples, color = state.results.samples, state.view.color
        if color == "handle_error":
            if state.document.source is None or not isinstance(samples, SampleSet):
                return None, 0.0
            given = tracks(state.document)
            errors = handle_error_map(state.document.source, samples.samples[row].sequence.vertices, given, frame)
            return errors, self.heat_max(state)
        if color == "stretch":
            strain = self._strain(state, row)
            return strain.at(samples.samples[row].sequence.vertices[frame]), self.heat_max(state)
        values = heat_track(state.results, color, row)
        return (None, 0.0) if values is None else (values[min(frame, len(values) - 1)], self.heat_max(state))

    def heat_max(self, state: State) -> float:
        """Top of the legend, as a fraction of size; fixed for a set of results, so that colours can be compared."""
        results, color = state.results, state.view.color
        if results is None or color in ("none", "own"):
            return 0.0
        if color == "handle_error":
            if not isinstance(results.samples, SampleSet):
                return 0.0
            return max(0.01, nice_ceiling(max(s.handle_error for s in results.samples.samples)))
        if color == "unseen":
            return UNSEEN
        key = (Same(results), color)
        if self._range is None or self._range[0] != key:
            rows = range(len(results.samples.samples))
            if color == "stretch":
                moving = [sample.sequence.vertices for sample in results.samples.samples]
                top = strain_top([self._strain(state, row) for row in rows], moving)
                self._range = (key, max(0.02, nice_ceiling(top)))
                return self._range[1]
            tracks = [heat_track(results, color, row) for row in rows]
            tops = [np.quantile(values.max(axis=0), 0.995) for values in tracks if values is not None and values.size]
            self._range = (key, nice_ceiling(max(float(max(tops, default=0.0)), 1e-3)))
        return self._range[1]


def heat_track(results: Results, color: ColorBy, row: int) -> NDArray[np.float32] | None:
    """Values [T, V] of one result for a heat map that does not depend on the handles; None without them."""
    samples = results.samples
    if color == "truth_error":
        return None if results.truth_error is None else results.truth_error[row]
    if isinstance(samples, ReconstructionSet):
        maps = {"disagreement": samples.samples[row].disagreement, "to_scan": samples.samples[row].scan_distance}
        if color == "unseen":
            return unseen_track(samples.samples[row].scan_distance)
        return maps.get(color)
    return samples.disagreement if color == "disagreement" else None


def unseen_track(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    """The least distance over all frames of each vertex from the scanned points, repeated in every frame: [T, V]."""
    if not np.isfinite(distance).any():
        return np.zeros_like(distance)
    nearest = np.nanmin(np.where(np.isfinite(distance), distance, np.inf), axis=0)
    return np.broadcast_to(nearest.astype(np.float32), distance.shape)


def nice_ceiling(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    if not value > 0.0:
        return 0.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * 0.9999))


def handle_error_map(
    source: SourceMesh, track: NDArray[np.float32], given: HandleTracks, frame: int, radius: float = 0.12
) -> NDArray[np.float32]:
    """Distance of each handle from its target at this frame, faded out over `radius` (fractions of size): [V]."""
    total = np.zeros(len(source.vertices), dtype=np.float32)
    if not given.handles or frame >= given.frames:
        return total
    targets, fixed = given.constraints(source.vertices)
    for row, handle in enumerate(given.handles):
        if not fixed[row, frame]:
            continue
        error = float(np.linalg.norm(track[frame, handle.vertex] - targets[row, frame])) / source.size
        distance = np.linalg.norm(source.vertices - source.vertices[handle.vertex], axis=1) / source.size
        np.maximum(total, error * np.exp(-((distance / radius) ** 2)), out=total, casting="same_kind")
    return total


def content_stamp(state: State) -> Hashable:
    """Equal while the content of the view needs the same room."""
    document = state.document
    if document.scans is not None:
        return scan_stamp(state)
    return (Same(document.source), Same(state.results), shown_samples(state), Same(document.handles))


Box = tuple[NDArray[np.float64], NDArray[np.float64]]  # lowest and highest corner [3], in the opened file's units


def motion_box(state: State) -> Box:
    """The bounds over all frames of the rest shape and the shown results, or of the scans and their results."""
    source = state.document.source
    if source is None:
        return scan_box(state, with_box=False)
    tracks = [source.vertices]
    if state.results is not None:
        tracks += [state.results.samples.samples[row].sequence.vertices for row in shown_samples(state)]
    lows, highs = zip(*(bounds(track) for track in tracks), strict=True)
    return np.min(lows, axis=0).astype(float), np.max(highs, axis=0).astype(float)


def bounds(points: NDArray[np.floating]) -> Box:
    """Lowest and highest corner [3] of points [..., N, 3]. Long rows come first, as NumPy is 30 times faster on them.

    Of a very large motion only some frames, evenly spread, are read, so that the window does not wait.
    """
    rows = points.reshape(-1, points.shape[-2] * 3)
    rows = rows[:: max(1, rows.size // MEASURED)]
    return rows.min(axis=0).reshape(-1, 3).min(axis=0), rows.max(axis=0).reshape(-1, 3).max(axis=0)


def floor_level(motion: Box, norm: Normalization) -> float:
    """Normalised height of the floor, which lies under the shape in every frame: parts below it would look cut off."""
    return float(min(norm.apply(corner)[1] for corner in motion))


def content_box(state: State, motion: Box) -> Box:
    """Corners of all that the view frames: `motion`, handle keys and the box of an alignment."""
    source = state.document.source
    if source is None:
        return scan_box(state, is_box_shown(state))
    keys = [position for handle in state.document.handles for position in handle.keys.values()]
    low, high = np.min([motion[0], *keys], axis=0), np.max([motion[1], *keys], axis=0)
    # A handle dragged far out must not shrink the creature to a dot.
    middle, reach = (source.vertices.min(0) + source.vertices.max(0)) / 2, 0.9 * source.size
    return np.maximum(low, middle - reach), np.minimum(high, middle + reach)
