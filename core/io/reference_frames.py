"""Reads reference images for an animator: a video, or a folder of images sorted by name."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.io.arrays import SkippedError
from core.io.scans.images import IMAGE_SUFFIXES, open_image

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".gif")
SIDE = 448  # pixels of the longer side
MOST_FRAMES = 300  # about 110 MB of them


def is_reference(path: Path) -> bool:
    """Whether a path has the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def read_reference(path: Path, fps: float) -> NDArray[np.uint8]:
    """Up to `MOST_FRAMES` images [N, H, W, 3] of a video at `fps`, or of a folder.

    Raises DataError if none can be read.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise DataError(f"The reference {path} is missing; choose it again under View > Reference.")
    if not is_reference(path):
        kinds = ", ".join(VIDEO_SUFFIXES)
        raise DataError(f"{path.name} is neither a video ({kinds}) nor a folder of images; choose another reference.")
    return _video(path, fps)


def _video(path: Path, fps: float) -> NDArray[np.uint8]:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise DataError(
            "A reference video needs the package imageio-ffmpeg; install it, or choose a folder of images."
        ) from None
    logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)  # it warns whenever the size changes
    fit = f"fps={fps:g},scale={SIDE}:{SIDE}:force_original_aspect_ratio=decrease:force_divisible_by=2"
    # Only local files are opened: a playlist may name addresses.
    reader = imageio_ffmpeg.read_frames(
        str(path), pix_fmt="rgb24", input_params=["-protocol_whitelist", "file"], output_params=["-vf", fit]
    )
    frames = []
    try:
        width, height = next(reader)["size"]
        for data in reader:
            frames.append(np.frombuffer(data, np.uint8).reshape(height, width, 3))
            if len(frames) == MOST_FRAMES:
                break
    except Exception as error:  # the decoder fails in many ways on damaged files
        raise DataError(f"{path.name} cannot be read as a video; convert it to .mp4 (H.264).") from error
    finally:
        reader.close()
    if not frames:
        raise DataError(f"{path.name} contains no images; choose another reference.")
    return np.stack(frames)


def _folder(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    files = sorted((file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES), key=_by_number)
    frames: list[NDArray[np.uint8]] = []
    for file in files[:MOST_FRAMES]:
        try:
            image = open_image(file)
        except SkippedError as error:
            raise DataError(f"{file.name} {error}; remove it from the folder.") from error
        image = image.convert("RGB")
        image.thumbnail((SIDE, SIDE))
        if frames:  # one texture for all
            height, width = frames[0].shape[:2]
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        frames.append(np.asarray(image, dtype=np.uint8))
    if not frames:
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise DataError(f"There are no images ({kinds}) in {path}; choose another folder.")
    return np.stack(frames)


def _by_number(path: Path) -> tuple[object, ...]:
    """A sort key that puts `frame 9` before `frame 10`."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
