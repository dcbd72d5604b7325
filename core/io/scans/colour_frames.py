"""Reads colour images as scans, from one file per frame or an array of all frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.io.arrays import SkippedError, read_arrays
from core.io.scans.images import IMAGE_SUFFIXES, SAME_ASPECT, is_colour_image, open_image
from core.io.scans.scan_files import none_usable, skipped_notes
from core.io.scans.scan_kind import MAX_FRAMES, ReadingOptions, ScanKind, ScanLayout
from core.sequence import ScanSequence, frozen_array

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_SIDE = 512  # pixels to which larger images are reduced


def read_image_scans(path: Path, layout: ScanLayout, asked: ReadingOptions) -> ScanSequence:
    """All images, scaled to one size, without points. Raises DataError if none can be used."""
    stack, names, skipped, notes = read_image_frames(layout.files)
    stack = stack[:MAX_FRAMES]
    total = len(names) + len(skipped)
    if not len(stack):
        raise DataError(none_usable(path, total, skipped))
    empty = frozen_array(np.zeros((0, 3)), np.float32, (None, 3), "points")
    images = np.ascontiguousarray(stack)
    images.setflags(write=False)
    return ScanSequence(
        (empty,) * len(images), modality="images", up_axis=asked.up_axis or "y", partial=True, dense=images,
        notes=(*layout.notes, *skipped_notes(total, skipped), *notes),
    )  # fmt: skip


def read_image_frames(files: list[Path]) -> tuple[NDArray[np.uint8], list[str], list[tuple[str, str]], list[str]]:
    """Images [T, H, W, 3] in order, the names of those used, (name, reason) of those skipped, and notes.

    The first readable image sets the size, at most 512 pixels a side. Others are scaled to it, or skipped if their
    aspect ratio differs. A `.npz` has `images` [T, H, W, 3] uint8. Raises DataError if none can be used.
    """
    if files[0].suffix.lower() in (".npz", ".npy"):
        return _image_array(files[0])
    from PIL import Image as Images

    size: tuple[int, int] | None = None
    first: tuple[int, int] = (1, 1)
    frames, names, skipped, scaled = [], [], [], 0
    for path in files:
        try:
            image = open_image(path)
            if size is None:
                first = image.size
                factor = min(1.0, MAX_SIDE / max(first))
                size = max(1, round(first[0] * factor)), max(1, round(first[1] * factor))
            if abs(image.size[0] * first[1] / (image.size[1] * first[0]) - 1) > SAME_ASPECT:
                raise SkippedError(
                    f"has {image.size[0]} x {image.size[1]} pixels, another aspect ratio than the first image's "
                    f"{first[0]} x {first[1]}"
                )
            scaled += int(image.size != first)
            frames.append(np.asarray(_colours(image).resize(size, Images.Resampling.BILINEAR), dtype=np.uint8))
            names.append(path.name)
        except SkippedError as error:
            skipped.append((path.name, str(error)))
    notes = []
    if scaled:
        counted = "1 image was" if scaled == 1 else f"{scaled:,} images were"
        notes.append(f"{counted} scaled to the size of the first, {first[0]} x {first[1]} pixels.")
    if size is not None and size != first:
        notes.append(f"Images were reduced from {first[0]} x {first[1]} to {size[0]} x {size[1]} pixels.")
    stack = np.stack(frames) if frames else np.zeros((0, 1, 1, 3), np.uint8)
    return stack, names, skipped, notes


def _image_array(path: Path) -> tuple[NDArray[np.uint8], list[str], list[tuple[str, str]], list[str]]:
    try:
        arrays = read_arrays(path)
    except SkippedError as error:
        raise DataError(f"{path.name} {error}; export it again.") from error
    images = arrays.get("images", next(iter(arrays.values()), np.zeros(0)))
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or 0 in images.shape:
        raise DataError(f"{path.name}: images must have shape [T, H, W, 3] and type uint8 (0 to 255).")
    step = -(-max(images.shape[1:3]) // MAX_SIDE)
    notes = [f"Images were reduced to every {step}th pixel."] if step > 1 else []
    return images[:, ::step, ::step], [f"frame {frame}" for frame in range(len(images))], [], notes


def _colours(image: Image) -> Image:
    """The image as RGB, with white where it is transparent, as cut-out subjects are usually shown."""
    from PIL import Image as Images

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        cut_out = image.convert("RGBA")
        return Images.alpha_composite(Images.new("RGBA", cut_out.size, (255, 255, 255, 255)), cut_out).convert("RGB")
    return image.convert("RGB")


IMAGES = ScanKind(
    "images",
    "images",
    "images",
    read_image_scans,
    suffixes=IMAGE_SUFFIXES,
    recognised=is_colour_image,
    array="images",
    fitting=lambda shape, number: np.dtype(number) == np.uint8 and len(shape) == 4 and shape[-1] == 3,
    whole_arrays=True,
)
