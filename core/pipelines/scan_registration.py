"""Fits a complete surface of frame 0 to the points of scans: the classical half of reconstruction.

Soft as-rigid-as-possible fits of a coarse copy of the surface (non-rigid ICP, after Li et al. 2008) to the points of
each frame, from stiff to soft. Where the camera's place is known, points are matched only with what faces it.
It is used three times: frame 0's surface is pulled onto frame 0's points; without correspondence it then follows the
scans, matched also by normals at first, which gives the motion prior its handles; and the prior's answer, which also
moves what was never seen, is pulled to the points once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from core.geometry.fairing import faired
from core.geometry.sampling import face_normals, orientation, vertex_normals
from core.geometry.soft_arap import Sliding, SoftArap, closest, simplified
from core.models.registration import VELOCITY, smoothed
from core.pipelines.free_space import RAYS, FreeSpace
from core.pipelines.scan_matching import ScanCloud, matched

MOST_FACES = 1000  # of the coarse copy
DENSE = 500  # points that weigh as much as any number of more
ITERATIONS, SLIDING_ITERATIONS = 3, 6  # of the rigid fit between two searches for matches
FEWEST_FACING = 10
STRETCHED = 0.05  # disagreement with the scans per relative change of the lengths of a surface's edges
MOST_MISPLACED = 0.2  # of the size inside empty space; farther is no worse


class Level(NamedTuple):
    """One round of matching and fitting."""

    weight: float  # of the points beside the cotangent weights of edges
    reach: float  # distance at which a match counts half
    facing: float = 0.0  # distance that counts as much as normals a unit apart
    beyond: float = 0.0  # share of the change that is added to it, since nearest points hold a surface back
    along: float = 1.0  # weight of offsets along the surface, relative to those across it


SNAP = (Level(0.1, 0.03), Level(0.5, 0.02), Level(2.0, 0.015), Level(8.0, 0.015))
SNAP_TRACKED = (*SNAP, Level(30.0, 0.015))  # tracked points come without most of their noise
FOLLOW = (
    *(Level(0.1, 0.1), Level(0.1, 0.1), Level(0.5, 0.05), Level(0.5, 0.05)),
    *(Level(2.0, 0.03), Level(2.0, 0.03), Level(5.0, 0.02), Level(5.0, 0.02)),
)
# Points of a camera have normals. Mean distances from where surface points belong, seen and unseen ones, on twelve
# development scans: 0.036 and 0.036 by place alone, 0.022 and 0.025 with normals. On nine of them, going beyond took
# 0.023 and 0.027 to 0.022 and 0.026; twice the change in all rounds is too much.
FOLLOW_SEEN = (
    *(Level(0.1, 0.1, facing=0.2, beyond=0.7), Level(0.1, 0.1, facing=0.2, beyond=0.7)),
    *(Level(0.5, 0.05, facing=0.1, beyond=0.7), Level(0.5, 0.05, facing=0.05, beyond=0.7)),
    *(Level(2.0, 0.03, beyond=0.7), Level(2.0, 0.03, beyond=0.7), Level(5.0, 0.02), Level(5.0, 0.02)),
)
# The same, but at first points do not hold the surface along itself: it takes gliding snakes along, and loses swinging
# legs. On twelve development scans (some with a `beyond` of 0.5 in the last of its levels) seen and unseen points ended
# 0.026 and 0.028 from the truth before, and 0.019 and 0.021 by the one of both that agrees better with the scans; it
# was the better one, or as good, in all.
FOLLOW_SLIDING = (*(level._replace(along=0.1) for level in FOLLOW_SEEN[:4]), *FOLLOW_SEEN[4:])
# Points of other scans that have normals are coarse, so that these count to the end (on ten development scans of
# voxels IoU 0.755 without in the last four rounds, 0.768 with them).
FOLLOW_FACING = (*FOLLOW_SEEN[:4], *(level._replace(facing=0.05) for level in FOLLOW_SEEN[4:]))
SETTLE = (Level(0.5, 0.05), Level(2.0, 0.03))
SETTLE_FACING = tuple(level._replace(facing=0.05) for level in SETTLE)
ATTACHED = 30.0  # weight of a tracked point in the end, which its distance from frame 0's surface lessens
NEAR = 0.03  # distance at which it is half of that


class SurfaceRegistration:
    """One surface and the scans it is fitted to, all in normalised space."""

    def __init__(
        self,
        vertices: NDArray[np.floating],
        faces: NDArray[np.integer],
        clouds: Sequence[NDArray[np.floating]],
        viewpoints: NDArray[np.floating] | None = None,
        tracked: bool = False,
        check_cancelled: Callable[[], None] = lambda: None,
        normals: Sequence[NDArray[np.floating]] | None = None,
        whole: bool = False,
    ) -> None:
        """Surface of frame 0 (vertices [V, 3], faces [F, 3]) and the points [N_t, 3] of all frames, frame 0 first.

        `viewpoints` [T, 3] are the camera's places. `tracked`: row i is the same surface point in every frame, with
        little noise left. `check_cancelled` is called often. `normals` [N_t, 3] of untracked points: see `ScanCloud`.
        `whole`: untracked points are all around the shape.
        """
        self.vertices = np.asarray(vertices, dtype=np.float64)
        self.faces = np.asarray(faces, dtype=np.int64)
        every = [np.asarray(cloud, dtype=np.float64).reshape(-1, 3) for cloud in clouds]
        self._every, self._tracked = every, tracked
        if viewpoints is not None and not tracked:
            self._clouds = [ScanCloud.seen(points, eye) for points, eye in zip(every, viewpoints, strict=True)]
        else:
            turned = [None] * len(every) if normals is None else [np.asarray(n, dtype=np.float64) for n in normals]
            self._clouds = [ScanCloud(points, some, whole) for points, some in zip(every, turned, strict=True)]
        self._facing = normals is not None
        self._viewpoints, self._check_cancelled = viewpoints, check_cancelled
        self._coarse, self._corners = simplified(self.vertices, self.faces, MOST_FACES)
        self._outward = orientation(self._coarse, self._corners)
        self._fine_of_coarse = closest(self._coarse, self._corners, self.vertices)[0]  # [V, v]
        self._coarse_of_fine = closest(self.vertices, self.faces, self._coarse)[0]  # [v, V]
        self._body = SoftArap(self._coarse, self._corners)

    def snap(self) -> NDArray[np.float64]:
        """Draw the surface onto frame 0's points, and keep it there; returns its vertices [V, 3].

        A camera's points are dense: with them the surface also loses its bumps.
        """
        drawn = self._drawn(self._coarse, 0, SNAP_TRACKED if self._tracked else SNAP)
        self.vertices = self.vertices + self._fine_of_coarse @ (drawn - self._coarse)
        if self._viewpoints is not None and not self._tracked and len(self._every[0]):
            self.vertices = faired(self.vertices, self.faces, self._every[0], self._viewpoints[0])
            drawn = self._coarse_of_fine @ self.vertices
        self._coarse, self._body = drawn, SoftArap(drawn, self._corners)
        return self.vertices

    def follow(self) -> NDArray[np.float64]:
        """Tracks [T, v, 3] of the coarse copy through the frames, one after another, smoothed over time.

        Points of a camera are followed in two ways, of which the one that contradicts the scans least is kept.
        """
        if self._viewpoints is None:
            return self._followed(FOLLOW_FACING if self._facing else FOLLOW)
        return min((self._followed(levels) for levels in (FOLLOW_SEEN, FOLLOW_SLIDING)), key=self._disagreement)

    def _followed(self, levels: Sequence[Level]) -> NDArray[np.float64]:
        poses = [self._coarse]
        for frame in range(1, len(self._clouds)):
            velocity = poses[-1] - poses[-2] if frame > 1 else np.zeros_like(poses[0])
            poses.append(self._drawn(poses[-1] + VELOCITY * velocity, frame, levels))
        return _without_jitter(np.stack(poses))

    def _disagreement(self, tracks: NDArray[np.float64]) -> float:
        """How far points are from tracks [T, v, 3] of the coarse copy, these inside empty space, and stretched."""
        assert self._viewpoints is not None
        total = 0.0
        for frame in range(1, len(tracks)):
            self._check_cancelled()
            total += STRETCHED * self._body.stretch(tracks[frame])
            if len(self._clouds[frame]):
                pose, some = tracks[frame], self._clouds[frame].thinned.points
                total += float(closest(pose, self._matchable(pose, frame), some)[1].mean())
            if len(self._every[frame]) > RAYS:
                free = FreeSpace(self._every[frame], self._viewpoints[frame])
                total += float(free.clearance(tracks[frame]).clip(0, MOST_MISPLACED).mean())
        return total

    def at(self, tracks: NDArray[np.floating], places: NDArray[np.floating]) -> NDArray[np.float64]:
        """Displacements [T, P, 3] from frame 0 of surface points `places` [P, 3] that go with the tracks [T, v, 3]."""
        attachment, _ = closest(self._coarse, self._corners, np.asarray(places, dtype=np.float64))
        return np.stack([attachment @ (pose - tracks[0]) for pose in np.asarray(tracks, dtype=np.float64)])

    def settle(self, motion: NDArray[np.floating]) -> NDArray[np.float64]:
        """A motion [T, V, 3] of the surface pulled to the points; parts without points keep their form."""
        coarse = np.stack([self._coarse_of_fine @ pose for pose in np.asarray(motion, dtype=np.float64)])
        correction = self._towards_tracks(coarse) if self._tracked else self._towards_points(coarse)
        return np.stack([pose + self._fine_of_coarse @ change for pose, change in zip(motion, correction, strict=True)])

    def _towards_points(self, coarse: NDArray[np.float64]) -> NDArray[np.float64]:
        correction, levels = np.zeros_like(coarse), SETTLE_FACING if self._facing else SETTLE
        for frame in range(1, len(coarse)):
            body = self._body.at_rest_in(coarse[frame])
            correction[frame] = self._drawn(coarse[frame], frame, levels, body) - coarse[frame]
        return _without_jitter(correction)

    def _towards_tracks(self, coarse: NDArray[np.float64]) -> NDArray[np.float64]:
        """Correction [T, v, 3] that moves the surface under each tracked point about as the point moves."""
        correction = np.zeros_like(coarse)
        tracks = [cloud.thinned.points for cloud in self._clouds]
        attachment, distance = closest(self._coarse, self._corners, tracks[0])
        count = len(tracks[0])
        share = ATTACHED * min(1.0, DENSE / count) / (1 + (distance / NEAR) ** 2)
        attached = self._body.attached(attachment, share)
        start = attachment @ coarse[0]
        for frame in range(1, len(coarse)):
            self._check_cancelled()
            body = self._body.at_rest_in(coarse[frame])
            moved = body.fit(coarse[frame], attached, start + tracks[frame] - tracks[0], ITERATIONS)
            correction[frame] = moved - coarse[frame]
        return correction

    def _drawn(
        self, start: NDArray[np.float64], frame: int, levels: Sequence[Level], body: SoftArap | None = None
    ) -> NDArray[np.float64]:
        """The coarse copy [v, 3] drawn from `start` to the points of a frame."""
        cloud, pose, body = self._clouds[frame], start, body or self._body
        if not len(cloud):
            return start
        for level in levels:
            self._check_cancelled()
            surface = ScanCloud(pose, self._outward * vertex_normals(pose, self._corners))
            found = matched(surface, self._matchable(pose, frame), cloud, level.facing)
            nearness = found.importance / (1 + (found.distance / level.reach) ** 2)
            share = level.weight * min(1.0, DENSE / len(cloud.thinned)) * nearness
            attached, normals = body.attached(found.attachment, share), cloud.thinned.normals
            if level.along < 1 and normals is not None:
                fitted = body.fit(pose, attached, found.targets, SLIDING_ITERATIONS, Sliding(normals, level.along))
            else:
                fitted = body.fit(pose, attached, found.targets, ITERATIONS)
            pose = fitted + level.beyond * (fitted - pose)
        return pose

    def _matchable(self, pose: NDArray[np.float64], frame: int) -> NDArray[np.int64]:
        """Faces that the camera of a frame may see."""
        if self._viewpoints is None:
            return self._corners
        towards = self._viewpoints[frame] - pose[self._corners].mean(axis=1)
        facing = self._outward * np.einsum("fi,fi->f", face_normals(pose, self._corners), towards) > 0
        return self._corners[facing] if facing.sum() >= FEWEST_FACING else self._corners


def _without_jitter(tracks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tracks [T, v, 3] without the noise between neighbouring frames."""
    moved = torch.from_numpy(tracks[1:] - tracks[0])[None]
    return np.concatenate([tracks[:1], tracks[0] + smoothed(moved)[0].numpy()])
