"""Opens untrusted image files of scans: depth PNGs, masks and colour frames."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.io.arrays import SkippedError, read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 1 << 26
SAME_ASPECT = 0.02


def png_is_depth(path: Path) -> bool:
    """Whether a file is a PNG of one 16-bit channel."""
    head = _png_heading(path)
    return head is not None and head[24] == 16 and head[25] == 0


def _png_heading(path: Path) -> bytes | None:
    try:
        with path.open("rb") as stream:
            head = stream.read(26)
    except OSError:  # its reader says why
        return None
    return head if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) == 26 else None


def is_colour_image(path: Path) -> bool:
    """Whether a file is an image without depth, by its header; all but PNGs are."""
    head = _png_heading(path)
    return path.suffix.lower() != ".png" or (head is not None and not png_is_depth(path))


def read_depth_image(path: Path) -> NDArray[np.float64]:
    """The values [H, W] of a depth PNG. Raises SkippedError."""
    image = open_image(path)
    if image.mode not in ("I;16", "I;16B", "I", "L"):
        raise SkippedError(f"is a colour image ({image.mode}), not a depth map of one channel with 16 bits")
    return np.asarray(image, dtype=np.float64)


def read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """[H, W] of this shape, true where an image is neither black nor transparent. Raises SkippedError."""
    from PIL import Image as Images

    image = open_image(path)
    if abs(image.size[0] * shape[0] / (image.size[1] * shape[1]) - 1) > SAME_ASPECT:
        raise SkippedError(f"has a different aspect ratio from the depth maps' {shape[1]} x {shape[0]}")
    image = image.resize((shape[1], shape[0]), Images.Resampling.NEAREST)
    values = np.asarray(image if image.mode != "P" else image.convert("RGBA"))
    if values.ndim == 2:
        return values > 0
    seen = (values[..., : 3 if values.shape[-1] > 2 else 1] > 0).any(axis=-1)
    return np.asarray(seen & (values[..., -1] > 0) if values.shape[-1] in (2, 4) else seen)


def open_image(path: Path) -> Image:
    """A decoded image. Raises SkippedError if it is damaged or too large."""
    from PIL import Image as Images

    data = read_bytes(path)
    try:
        image = Images.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if image.size[0] * image.size[1] > MAX_PIXELS:
            raise SkippedError(f"declares {image.size[0]:,} x {image.size[1]:,} pixels, which is too many")
        image.load()
    except SkippedError:
        raise
    except Exception as error:  # Pillow fails in many ways on damaged files
        reason = " ".join(str(error).split())[:60] if "BytesIO" not in str(error) else "no image in it"
        raise SkippedError(f"is damaged or cut short ({reason})") from error
    return image
