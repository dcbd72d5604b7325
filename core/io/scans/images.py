"""Pictures of scans: depth PNGs and colour frames."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.io.arrays import SkippedError, read_arrays, read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 1 << 26
MAX_SIDE = 512  # colour frames are reduced to this; the models look at 224 pixels
_SAME_ASPECT = 0.02


def png_kind(path: Path) -> str | None:
    """ "depth" for a PNG of one 16-bit channel, "images" for any other, None when its heading is not one."""
    try:
        with path.open("rb") as stream:
            head = stream.read(26)
    except OSError:
        return None
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 26:
        return None
    return "depth" if head[24] == 16 and head[25] == 0 else "images"


def read_depth_image(path: Path) -> NDArray[np.float64]:
    """The numbers [H, W] of a depth PNG; raises SkippedError."""
    picture = _open(path)
    if picture.mode not in ("I;16", "I;16B", "I", "L"):
        raise SkippedError(f"is a colour picture ({picture.mode}), not a depth map of one channel with 16 bits")
    return np.asarray(picture, dtype=np.float64)


def read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """[H, W] of that shape, true where a picture is not black or transparent; raises SkippedError."""
    from PIL import Image as Images

    picture = _open(path)
    if abs(picture.size[0] * shape[0] / (picture.size[1] * shape[1]) - 1) > _SAME_ASPECT:
        raise SkippedError(f"has other proportions than the depth maps' {shape[1]} x {shape[0]}")
    picture = picture.resize((shape[1], shape[0]), Images.Resampling.NEAREST)
    values = np.asarray(picture if picture.mode != "P" else picture.convert("RGBA"))
    if values.ndim == 2:
        return values > 0
    seen = (values[..., : 3 if values.shape[-1] > 2 else 1] > 0).any(axis=-1)
    return np.asarray(seen & (values[..., -1] > 0) if values.shape[-1] in (2, 4) else seen)


def read_image_frames(files: list[Path]) -> tuple[NDArray[np.uint8], list[str], list[tuple[str, str]], list[str]]:
    """Pictures in order as one array [T, H, W, 3]: it, the names used, (name, why) of those skipped, and notes.

    The first picture that can be read sets the size (at most 512 pixels a side). Others of the same proportions are
    scaled to it, others still are skipped. A `.npz` holds them as `images` [T, H, W, 3] uint8. Raises DataError.
    """
    if files[0].suffix.lower() in (".npz", ".npy"):
        return _image_array(files[0])
    from PIL import Image as Images

    size: tuple[int, int] | None = None
    first: tuple[int, int] = (1, 1)
    frames, names, skipped, scaled = [], [], [], 0
    for path in files:
        try:
            picture = _open(path)
            if size is None:
                first = picture.size
                factor = min(1.0, MAX_SIDE / max(first))
                size = max(1, round(first[0] * factor)), max(1, round(first[1] * factor))
            if abs(picture.size[0] * first[1] / (picture.size[1] * first[0]) - 1) > _SAME_ASPECT:
                raise SkippedError(
                    f"has {picture.size[0]} x {picture.size[1]} pixels, which are other proportions than the first's "
                    f"{first[0]} x {first[1]}"
                )
            scaled += int(picture.size != first)
            frames.append(np.asarray(_colours(picture).resize(size, Images.Resampling.BILINEAR), dtype=np.uint8))
            names.append(path.name)
        except SkippedError as error:
            skipped.append((path.name, str(error)))
    notes = []
    if scaled:
        notes.append(f"{scaled:,} pictures were scaled to the size of the first, {first[0]} x {first[1]} pixels.")
    if size is not None and size != first:
        notes.append(f"Pictures were reduced from {first[0]} x {first[1]} to {size[0]} x {size[1]} pixels.")
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
        raise DataError(f"{path.name}: images of shape [T, H, W, 3] with numbers 0 to 255 (uint8) are needed.")
    step = -(-max(images.shape[1:3]) // MAX_SIDE)
    notes = [f"Pictures were reduced to every {step}th pixel."] if step > 1 else []
    return images[:, ::step, ::step], [f"frame {frame}" for frame in range(len(images))], [], notes


def _open(path: Path) -> Image:
    """A fully decoded picture of a reasonable size; raises SkippedError."""
    from PIL import Image as Images

    data = read_bytes(path)
    try:
        picture = Images.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if picture.size[0] * picture.size[1] > MAX_PIXELS:
            raise SkippedError(f"declares {picture.size[0]:,} x {picture.size[1]:,} pixels, which is too many")
        picture.load()
    except SkippedError:
        raise
    except Exception as error:  # Pillow fails in many ways on damaged files
        reason = " ".join(str(error).split())[:60] if "BytesIO" not in str(error) else "no picture in it"
        raise SkippedError(f"is damaged or cut short ({reason})") from error
    return picture


def _colours(picture: Image) -> Image:
    """RGB with transparent parts on white, as a subject that was cut out is usually shown."""
    from PIL import Image as Images

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        cut_out = picture.convert("RGBA")
        return Images.alpha_composite(Images.new("RGBA", cut_out.size, (255, 255, 255, 255)), cut_out).convert("RGB")
    return picture.convert("RGB")
