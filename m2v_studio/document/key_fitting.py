"""Motions made into keys: a result, or an animation that the mesh's file holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.geometry.key_fitting import FittedKeys, at_first_pose, keys_of_clip, keys_that_follow
from core.pipelines.request import SampleSet
from core.sequence import MAX_FRAMES, MIN_FRAMES, MeshSequence
from m2v_studio.document.selection import choose_nothing
from m2v_studio.document.state import State
from m2v_studio.document.words import counted


def result_as_keys(state: State, row: int) -> State:
    """Replace the handles by ones that follow this result: the existing ones, and more at spread-out places."""
    results, source = state.results, state.document.source
    if results is None or source is None or not isinstance(results.samples, SampleSet):
        return state
    sequence = results.samples.samples[row].sequence
    track = sequence.vertices.astype(np.float64)
    if len(track) < MIN_FRAMES or track.shape[1] != len(source.vertices):
        return state
    return _with_keys(state, keys_that_follow(source, track, state.document.handles), len(track), sequence.fps)


def clip_as_keys(state: State, sequence: MeshSequence) -> State:
    """Replace the handles by ones fitted to an animation of the mesh, with its first pose as the rest pose."""
    source, track = state.document.source, sequence.vertices
    if source is None or len(track) < MIN_FRAMES or track.shape[1] != len(source.vertices):
        return state
    posed = at_first_pose(source, sequence)
    state = replace(state, document=replace(state.document, source=posed))
    return _with_keys(state, keys_of_clip(posed, track), len(track), sequence.fps)


def _with_keys(state: State, fitted: FittedKeys, frames: int, fps: float) -> State:
    document = replace(state.document, handles=fitted.handles, frames=min(frames, MAX_FRAMES), fps=fps)
    message = (
        f"{counted(fitted.keys, 'key')} on {counted(len(fitted.handles), 'handle')} follow it within "
        f"{100 * fitted.worst:.1f} % of size."
    )
    return replace(choose_nothing(replace(state, document=document)), message=message)
