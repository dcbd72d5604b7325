"""A reconstruction baseline with the bank but without networks: the best body, bent to the scan and tracked.

The body is bent to frame 0's points as in `core.pipelines.body_fit` and follows later frames like the Poisson baseline.
For images it is bent to their outlines.
"""

from __future__ import annotations

import numpy as np

from core.errors import MeshError
from core.evaluation.scan_baseline import BaselineSettings, track
from core.observation_kinds import kind_of
from core.pipelines.body_fit import fit_bodies
from core.pipelines.body_search import BodyPoses, find_bodies
from core.pipelines.frame_box import FrameBox
from core.pipelines.free_space import RAYS, FreeSpace
from core.pipelines.outline_fit import bend_to_outline, follow_outlines
from core.pipelines.outline_search import find_outlined
from core.pipelines.outlined_bodies import TRIED as OUTLINED
from core.pipelines.outlined_bodies import outlines_of
from core.pipelines.scan_bodies import TRIED
from core.pipelines.seen_side import Extent
from core.pipelines.tracked_surface import ENOUGH
from core.sequence import MeshSequence, ScanSequence


def bodies_may_help(scans: ScanSequence) -> bool:
    """Whether a body of the bank could tell more than these scans: they show only a part, or are coarse."""
    return scans.partial or scans.voxels is not None or (scans.tracked and len(scans.points[0]) < ENOUGH)


def reconstruct_by_body(poses: BodyPoses, scans: ScanSequence, settings: BaselineSettings) -> MeshSequence:
    """The best-fitting body through all frames of scans in normalised space. Raises MeshError where none fits."""
    if scans.images is not None:
        outlines = outlines_of(scans.images)
        bent = bend_to_outline(find_outlined(poses, outlines[0], OUTLINED), outlines[0])
        if bent:
            return _sequence(follow_outlines(bent[0], outlines), bent[0].faces, scans)
    else:
        seen = kind_of(scans).prepare(scans)
        clouds = [np.asarray(points, dtype=np.float64) for points in seen.points]
        sided = seen.near is not None and seen.camera is not None and len(seen.near) > RAYS
        free = FreeSpace(seen.near, seen.camera) if sided else None  # type: ignore[arg-type]
        extent = (Extent.CUT if scans.tracked else Extent.SIDE) if scans.partial else Extent.WHOLE
        box = FrameBox.of_cut(clouds[0]) if extent is Extent.CUT else FrameBox.unknown()
        found = find_bodies(poses, clouds[0], free, TRIED, extent=extent, box=box)
        fits = fit_bodies(found, clouds[0], free, extent=extent, box=box)
        if fits:
            vertices, faces = fits[0].vertices, fits[0].faces
            return _sequence(track(vertices, faces, clouds, scans.tracked, settings), faces, scans)
    raise MeshError("No body of the bank fits.")


def _sequence(tracks: np.ndarray, faces: np.ndarray, scans: ScanSequence) -> MeshSequence:
    return MeshSequence(tracks.astype(np.float32), faces.astype(np.int32), scans.fps, name=scans.name)
