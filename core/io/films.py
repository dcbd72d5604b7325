"""Writes films: MP4 (H.264), GIF, or a folder of PNG images, completely or not at all."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ExportError
from core.io import staging

FILES = (".mp4", ".gif")
IMAGES = r"frame_\d{4,}\.png"
GIF_COLORS = 255
SHORTEST_GIF = 2  # hundredths of a second; viewers play anything shorter far slower
DITHER = 5.0  # of 255, amplitude of the pattern that hides steps in smooth shades

AddImage = Callable[[NDArray[np.uint8]], None]


def check_film_path(out: Path) -> None:
    """Raise ExportError unless `out` names a .mp4 or .gif file, or a folder of images that may be replaced."""
    suffix = out.suffix.lower()
    if suffix not in (*FILES, ""):
        raise ExportError(f"{out}: its name must end in .mp4 or .gif, or be that of a folder for PNG images.")
    staging.check_target(out, suffix == "", re.compile(IMAGES))
    if suffix == ".mp4":
        _ffmpeg()


@contextlib.contextmanager
def film_writer(out: Path, size: tuple[int, int], fps: float) -> Iterator[AddImage]:
    """Yield a function that adds one image [H, W, 3] (for a folder also [H, W, 4]) of `size` (width, height).

    The file appears when the block ends, and not after an exception. Width and height must be even for .mp4. Raises
    ExportError.
    """
    check_film_path(out)
    suffix = out.suffix.lower()
    writers = {".mp4": _mp4, ".gif": _gif, "": _folder}
    with staging.staged(out) as folder:
        with writers[suffix](folder / f"made{suffix}", size, fps) as add:
            yield add
        (folder / f"made{suffix}").rename(folder / out.name)
        for left in folder.iterdir():
            if left.name != out.name:
                shutil.rmtree(left)
        staging.commit(folder, out)


@contextlib.contextmanager
def _mp4(path: Path, size: tuple[int, int], fps: float) -> Iterator[AddImage]:
    sharp = ["-crf", "17", "-preset", "medium", "-movflags", "+faststart"]
    film: Any = _ffmpeg().write_frames(
        str(path), size, fps=fps, codec="libx264", pix_fmt_in="rgb24", quality=None,
        output_params=sharp, macro_block_size=2, ffmpeg_log_level="error",
    )  # fmt: skip
    film.send(None)
    try:
        yield lambda image: film.send(np.ascontiguousarray(image[..., :3]))
    finally:
        film.close()


def _ffmpeg() -> Any:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise ExportError(
            "MP4 needs the package imageio-ffmpeg, which is not installed; install it, or write .gif or a folder."
        ) from None
    return imageio_ffmpeg


@contextlib.contextmanager
def _folder(path: Path, size: tuple[int, int], fps: float) -> Iterator[AddImage]:
    from PIL import Image

    path.mkdir()
    count = 0

    def add(image: NDArray[np.uint8]) -> None:
        nonlocal count
        Image.fromarray(image).save(path / f"frame_{count:04d}.png", compress_level=6)
        count += 1

    yield add


@contextlib.contextmanager
def _gif(path: Path, size: tuple[int, int], fps: float) -> Iterator[AddImage]:
    """One palette for all images, so that still areas compress to nothing."""
    from PIL import Image

    kept = path.parent / "images"
    with _folder(kept, size, fps) as add:
        yield add
    files = sorted(kept.iterdir())
    pattern = _pattern(size)
    palette = _palette(files, size)

    def reduced(file: Path) -> Image.Image:
        with Image.open(file) as image:
            spread = np.asarray(image.convert("RGB"), dtype=np.float32) + pattern
        return Image.fromarray(spread.clip(0, 255).astype(np.uint8)).quantize(palette=palette, dither=Image.Dither.NONE)

    first, *others = files
    reduced(first).save(
        path, format="GIF", save_all=True, append_images=(reduced(file) for file in others),
        duration=gif_durations(len(files), fps), loop=0, optimize=False,
    )  # fmt: skip


def _palette(files: Sequence[Path], size: tuple[int, int]) -> Any:
    from PIL import Image

    chosen = [files[round(place)] for place in np.linspace(0, len(files) - 1, min(len(files), 12))]
    across, down = max(size[0] // 2, 1), max(size[1] // 2, 1)
    sheet = Image.new("RGB", (across, down * len(chosen)))
    for row, file in enumerate(chosen):
        with Image.open(file) as image:
            sheet.paste(image.convert("RGB").resize((across, down), Image.Resampling.NEAREST), (0, row * down))
    return sheet.quantize(GIF_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _pattern(size: tuple[int, int]) -> NDArray[np.float32]:
    """[H, W, 1] an ordered dither (Bayer 1973) around 0, the same for every image."""
    small = np.array([[0, 2], [3, 1]])
    pattern = small
    for _ in range(2):
        pattern = np.block([[4 * pattern + small[i, j] for j in (0, 1)] for i in (0, 1)])
    side = len(pattern)
    tiled = np.tile((pattern + 0.5) / side**2 - 0.5, (-(-size[1] // side), -(-size[0] // side)))
    return (DITHER * tiled[: size[1], : size[0], None]).astype(np.float32)


def gif_durations(count: int, fps: float) -> list[int]:
    """Milliseconds per image. GIF has hundredths of a second, so these vary to keep the rate."""
    ends = np.rint(100 * np.arange(1, count + 1) / fps)
    steps = np.diff(ends, prepend=0.0).clip(SHORTEST_GIF)
    return [int(10 * step) for step in steps]
