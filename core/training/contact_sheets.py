"""Draws contact sheets of training progress: held-out clips, the true motion above the model's.

It needs only numpy and torch, since a bare GPU machine has no plotting library: points are drawn as depth-shaded
squares, and the PNG is written by hand.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from core.atomic import write_atomically
from core.data.clips import ClipSource
from core.training.motion_objective import MotionDiffusionObjective
from core.training.objectives import MotionAutoencoderObjective, Objective
from core.training.tasks import handles_from_tracks, pick_handles

CLIPS, COLUMNS, HANDLES = 4, 6, 5
TILE = 144  # pixels
BACKGROUND = (250, 250, 252)
TRUE, MADE, HANDLE = (70, 90, 120), (215, 120, 40), (200, 20, 60)
YAW, PITCH = 0.6, 0.25  # of the view, in radians

Image = NDArray[np.uint8]


class ContactSheets:
    """An `on_check` callback of `train` that writes `<stage>-<step>.png`; stages without motion write none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, stage: str, step: int, objective: Objective, source: ClipSource) -> None:
        sheet = contact_sheet(objective, source)
        if sheet is not None:
            write_png(self.folder / f"{stage}-{step:07d}.png", sheet)


@torch.no_grad()
def contact_sheet(objective: Objective, source: ClipSource) -> Image | None:
    """Two rows per held-out clip, the true and the model's motion, frames from left to right; None for other stages.

    The motion autoencoder shows its reconstruction, motion diffusion its draft from the handles, which are marked where
    they are keyed. Half of the clips have full tracks, the other half keys in the last frame only.
    """
    device = next(objective.trained.parameters()).device
    generator = torch.Generator(device=device).manual_seed(777)
    if not isinstance(objective, MotionAutoencoderObjective | MotionDiffusionObjective):
        return None
    clips = objective.draw(source, CLIPS, generator, "unseen_identity")
    marks: list[list[NDArray[np.float64]]] = [[np.zeros((0, 3))] * clips.points.shape[1] for _ in range(CLIPS)]
    if isinstance(objective, MotionAutoencoderObjective):
        made = objective.reconstruct(clips)
    else:
        frames = clips.points.shape[1] - 1
        everywhere = torch.ones(CLIPS, dtype=torch.bool, device=device)
        index = pick_handles(clips.points[:, 0], HANDLES, everywhere, generator)
        keyframe_mask = torch.ones(CLIPS, frames, HANDLES, dtype=torch.bool, device=device)
        keyframe_mask[CLIPS // 2 :, :-1] = False
        handles = handles_from_tracks(clips.points, index, keyframe_mask, torch.ones_like(keyframe_mask[:, 0]))
        made = objective.draft(clips, handles, generator)
        targets = (handles.positions[:, None] + handles.displacements).double().cpu().numpy()
        known = keyframe_mask.cpu().numpy()
        marks = [
            [handles.positions[clip].double().cpu().numpy()]
            + [targets[clip, frame][known[clip, frame]] for frame in range(frames)]
            for clip in range(CLIPS)
        ]
    true = clips.points.double().cpu().numpy()
    made_points = torch.cat([clips.points[:, :1], made], dim=1).double().cpu().numpy()
    columns = np.unique(np.linspace(0, true.shape[1] - 1, COLUMNS).round().astype(int))
    rows = []
    for clip in range(CLIPS):
        low, high = true[clip].min(axis=(0, 1)), true[clip].max(axis=(0, 1))
        frame_of = ((low + high) / 2, float(np.linalg.norm(high - low)) or 1.0)
        for points, colour in ((true[clip], TRUE), (made_points[clip], MADE)):
            tiles = [draw_points(points[t], colour, marks[clip][t], *frame_of) for t in columns]
            rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows, axis=0)


def draw_points(
    points: NDArray[np.float64],
    colour: tuple[int, int, int],
    marks: NDArray[np.float64],
    centre: NDArray[np.float64],
    size: float,
) -> Image:
    """A tile [TILE, TILE, 3] of points [N, 3], which fade with distance, and larger marks [K, 3], from the front left.

    `centre` [3] is the middle of the tile and `size` the length that fills it, both in the points' units.
    """
    image = np.full((TILE, TILE, 3), BACKGROUND, dtype=np.uint8)
    cos, sin = np.cos(YAW), np.sin(YAW)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    cos, sin = np.cos(PITCH), np.sin(PITCH)
    view = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ turn
    for positions, paint, radius in ((points, colour, 1), (marks, HANDLE, 3)):
        seen = (np.nan_to_num(positions) - centre) @ view.T / size  # x right, y up, z towards the viewer
        seen = seen[np.argsort(seen[:, 2])]
        pale = np.clip(0.5 - seen[:, 2:], 0.0, 0.8) if radius == 1 else np.zeros((len(seen), 1))
        shades = (np.asarray(paint) * (1 - pale) + np.asarray(BACKGROUND) * pale).astype(np.uint8)
        pixels = np.stack([0.5 - seen[:, 1], 0.5 + seen[:, 0]], axis=1) * TILE
        pixels = np.clip(pixels, -TILE, 2 * TILE).astype(int)
        for row, column in np.ndindex(2 * radius + 1, 2 * radius + 1):
            at = pixels + np.array([row - radius, column - radius])
            inside = ((at >= 0) & (at < TILE)).all(axis=1)
            image[at[inside, 0], at[inside, 1]] = shades[inside]
    image[-1:, :] = image[:, -1:] = 225  # a thin line between tiles
    return image


def write_png(path: Path, image: Image) -> None:
    """Write an RGB image [H, W, 3] of bytes atomically."""
    height, width, _ = image.shape
    # Each row starts with its filter type, 0: none.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, width * 3)], axis=1)
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
