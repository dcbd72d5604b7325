"""Makes a film: draws every image, arranges figures side by side, labels them, and writes the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.io.films import check_film_path, film_writer
from m2v_studio.render.framing import frame_motion
from m2v_studio.render.shot import Actor, FilmOptions, OnImage, moments, rate_of

INK = (70, 78, 92)
GAP = 0.035  # of an image's height, below a label


def make_film(actors: tuple[Actor, ...], out: Path, options: FilmOptions, on_image: OnImage | None = None) -> None:
    """Write the film; `.mp4` and `.gif` are files, any other name is a folder of PNG images.

    Opens Polyscope off-screen, so it has to run in its own process; see `film_process`. Raises ExportError.
    """
    options.validate(out.suffix == "")
    check_film_path(out)
    plan = moments(actors, options)
    from m2v_studio.render.stage import FilmedFigure, Scene, Stage, turned

    columns, rows = grid(len(actors), options.width, options.height)
    width, height = options.width // columns // 2 * 2, options.height // rows // 2 * 2
    see_through = any(actor.looks is not None and actor.looks.opacity is not None for actor in actors)
    stage = Stage((width, height), see_through)
    scenes = [Scene(actor) for actor in actors]
    seen = [turned(scene.track, options.yaw) for scene in scenes]
    eye = frame_motion(seen, options.pitch, (width, height), bool(options.turntable))
    stage.look(eye)
    figures = [FilmedFigure(*each, stage, eye) for each in zip(actors, scenes, strict=True)]
    names = [name_tag(actor.label, (width, height)) if options.labels and actor.label else None for actor in actors]
    with film_writer(out, (width * columns, height * rows), rate_of(actors, options)) as add:
        for number, moment in enumerate(plan):
            tiles = []
            for figure, track, name in zip(figures, seen, names, strict=True):
                image = figure.draw(turned(track[min(moment.frame, len(track) - 1)], moment.turn))
                tile = image.alone() if options.transparent else image.over_backdrop()
                tiles.append(tile if name is None else named(tile, name))
            add(joined(tiles, columns, rows))
            if on_image is not None:
                on_image(number + 1, len(plan))


def grid(count: int, width: int, height: int) -> tuple[int, int]:
    """Columns and rows that give `count` figures the squarest tiles."""
    shapes = [(columns, -(-count // columns)) for columns in range(1, count + 1)]
    return max(shapes, key=lambda shape: min(width / shape[0], height / shape[1]))


def joined(tiles: list[NDArray[np.float32]], columns: int, rows: int) -> NDArray[np.uint8]:
    """[rows H, columns W, C] tiles [H, W, C] from 0 to 1 in reading order; free places look like their upper edge."""
    free = np.broadcast_to(tiles[0][:1] * (tiles[0].shape[-1] == 3), tiles[0].shape)
    filled = tiles + [free] * (columns * rows - len(tiles))
    lines = [np.concatenate(filled[row * columns : (row + 1) * columns], axis=1) for row in range(rows)]
    return np.rint(255 * np.concatenate(lines)).astype(np.uint8)


def name_tag(text: str, size: tuple[int, int]) -> NDArray[np.float32]:
    """[H, W, 1] ink coverage of `text` at the foot of an image of `size` (width, height)."""
    from PIL import Image, ImageDraw, ImageFont

    width, height = size
    sheet = Image.new("L", size, 0)
    draw = ImageDraw.Draw(sheet)
    letters = max(11.0, height / 26)
    font = ImageFont.load_default(letters)
    while letters > 9 and draw.textlength(text, font=font) > 0.94 * width:
        letters -= 1
        font = ImageFont.load_default(letters)
    draw.text((width / 2, height * (1 - GAP)), text, fill=255, font=font, anchor="ms")
    return (np.asarray(sheet)[..., None] / 255).astype(np.float32)


def named(tile: NDArray[np.float32], ink: NDArray[np.float32]) -> NDArray[np.float32]:
    """A tile [H, W, 3 or 4] with ink [H, W, 1] on it."""
    color = (np.array(INK) / 255).astype(np.float32)
    if tile.shape[-1] == 3:
        return np.asarray(tile * (1 - ink) + color * ink)
    alpha = tile[..., 3:]
    total = ink + (1 - ink) * alpha
    mixed = (color * ink + tile[..., :3] * alpha * (1 - ink)) / np.maximum(total, 1e-6)
    return np.concatenate([mixed, total], axis=-1)
