"""Pure functions State -> State for the running generation and for drags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.pipelines.request import Progress, Quality, ReconstructionSet, SampleSet
from m2v_studio.document.result_commands import with_kept
from m2v_studio.document.state import ColorBy, DraggedPose, Job, Results, State, edit_key
from m2v_studio.document.words import counted


def job_started(state: State, request: int, quality: Quality, seeds: int) -> State:
    job = Job(request=request, key=edit_key(state.document), quality=quality, seeds=seeds)
    return replace(state, job=job)


def job_progressed(state: State, request: int, progress: Progress) -> State:
    job = state.job
    if job is None or job.request != request:
        return state
    job = replace(job, done=progress.done, total=progress.total, message=progress.message)
    if progress.preview is not None:
        job = replace(job, preview=progress.preview, preview_faces=progress.preview_faces, body=progress.body)
    return replace(state, job=job)


def set_pose(state: State, figure: str, frame: int, vertices: NDArray[np.float32]) -> State:
    """Show the mesh as it is being dragged."""
    return replace(state, pose=DraggedPose(figure, frame, vertices[None], state.document.handles))


def job_finished(state: State, request: int, samples: SampleSet | ReconstructionSet, held: bool = False) -> State:
    """Show and play the results, unless a newer request has replaced this one.

    A draft, except the first, leaves a playhead that the user has set in its place, because keys are often set one
    after the other. While a handle is `held`, the dragged pose stays visible.
    """
    job = state.job
    if job is None or job.request != request:
        return state
    results = with_kept(state, Results(samples=samples, key=job.key, quality=job.quality))
    several = len(results.samples.samples) > 1
    moving = job.quality != "draft" or state.results is None or state.view.playing or state.view.resume
    view = replace(
        state.view,
        solo=min(state.view.solo, len(samples.samples) - 1),  # of the new ones
        layout=state.view.layout if several else "one",
        color=_color(state, results.samples),
        playing=state.document.frames > 1 and moving and not held,
        resume=held and moving,
        played=False,
    )
    pose = state.pose if held else None
    made = _made(len(samples.samples), job.quality, state.document.scans is not None)
    message = f"Generated {made} in {samples.seconds:.1f} s."
    return replace(state, results=results, job=None, pose=pose, view=view, message=message)


def _color(state: State, samples: SampleSet | ReconstructionSet) -> ColorBy:
    """The colouring stays, but completed scans are tinted, and a single result cannot show disagreement."""
    color = state.view.color
    if color == "disagreement" and len(samples.samples) < 2:
        return "none"
    scans = state.document.scans
    measured = scans is not None and scans.point_counts().any()
    if color == "none" and measured and isinstance(samples, ReconstructionSet):
        return "unseen" if any(sample.body for sample in samples.samples) else color
    return color


def _made(count: int, quality: Quality, of_scans: bool) -> str:
    """What was generated, in words: "a draft", "1 motion", "4 meshes"."""
    if count == 1 and quality == "draft":
        return "a draft"
    return counted(count, "mesh" if of_scans else "motion")


def job_stopped(state: State, request: int | None = None, message: str = "Cancelled.") -> State:
    if state.job is None or (request is not None and state.job.request != request):
        return state
    return replace(state, job=None, message=message)
