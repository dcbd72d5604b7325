"""Films come back from the file as they went in, at their rate, or the file is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import Cancelled, ExportError
from core.io.films import check_film_path, film_writer, gif_durations

SIZE = (64, 48)
COLORS = ((200, 40, 30), (30, 160, 60), (40, 60, 190))


def pictures() -> list[np.ndarray]:
    return [np.full((SIZE[1], SIZE[0], 3), color, np.uint8) for color in COLORS]


def write(out: Path) -> None:
    with film_writer(out, SIZE, 24.0) as add:
        for picture in pictures():
            add(picture)


def test_a_gif_shows_every_picture() -> None:
    assert sum(gif_durations(24, 24.0)) == 1000
    assert set(gif_durations(24, 24.0)) == {40, 50}


def test_a_gif_keeps_its_colours(tmp_path: Path) -> None:
    write(tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
        for number, color in enumerate(COLORS):
            film.seek(number)
            assert np.abs(np.asarray(film.convert("RGB"), float).mean(axis=(0, 1)) - color).max() < 4


def test_an_mp4_has_the_pictures_and_the_rate(tmp_path: Path) -> None:
    from imageio_ffmpeg import read_frames

    write(tmp_path / "film.mp4")
    frames = read_frames(str(tmp_path / "film.mp4"))
    about = next(frames)
    assert about["size"] == SIZE and about["fps"] == 24.0
    seen = [np.frombuffer(frame, np.uint8).reshape(SIZE[1], SIZE[0], 3).mean(axis=(0, 1)) for frame in frames]
    assert np.abs(np.array(seen) - COLORS).max() < 12


def test_a_folder_keeps_transparency_and_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "film"
    write(out)
    clear = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    with film_writer(out, SIZE, 24.0) as add:
        add(clear)
    assert [path.name for path in out.iterdir()] == ["frame_0000.png"]
    with Image.open(out / "frame_0000.png") as picture:
        assert picture.mode == "RGBA"


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "film"])
def test_what_is_cancelled_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(Cancelled), film_writer(tmp_path / name, SIZE, 24.0) as add:
        add(pictures()[0])
        raise Cancelled
    assert list(tmp_path.iterdir()) == []


def test_other_names_and_folders_of_other_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"\.mp4 or \.gif"):
        check_film_path(tmp_path / "film.avi")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "letter.txt").write_text("dear")
    with pytest.raises(ExportError, match=r"letter\.txt"):
        check_film_path(tmp_path / "own")
