"""Opens files that another file refers to, and decodes text files of unknown encoding.

An untrusted mesh may name any path. Only regular files of limited size inside the mesh's own folder are opened, after
resolving links, so that no other file ends up in an export and no pipe or device blocks.
"""

from __future__ import annotations

import codecs
import stat
from pathlib import Path

MAX_FILE_BYTES = 1 << 29  # of a mesh file
MAX_BESIDE_BYTES = 1 << 28  # of one image, material file or buffer
MAX_TOTAL_BYTES = 1 << 29  # of all files that one mesh names
IMAGE_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class OutsideError(ValueError):
    """Why a named file is not opened: the rest of a sentence that begins with its name."""


class FilesBeside:
    """The files that a mesh in `folder` names. Each is read once, and their total size is limited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, bytes] = {}
        self._left = MAX_TOTAL_BYTES

    def read(self, name: str) -> bytes:
        """The content of a file by its relative path. Raises OutsideError (see `read_beside`)."""
        if name not in self._known:
            self._known[name] = read_beside(self.folder, name, min(MAX_BESIDE_BYTES, self._left))
            self._left -= len(self._known[name])
        return self._known[name]


def read_beside(folder: Path, name: str, limit: int = MAX_BESIDE_BYTES) -> bytes:
    """The content of the file `name` in `folder` or below it. Raises OutsideError if it must not or cannot be read."""
    try:
        place = folder.resolve()
        path = (place / name).resolve(strict=True)
        if not path.is_relative_to(place):
            raise OutsideError("lies outside the mesh's folder; copy it beside the mesh")
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise OutsideError("is not a file")
        if about.st_size > limit:
            raise OutsideError(f"is larger than {limit >> 20} MB")
        return path.read_bytes()
    except FileNotFoundError:
        raise OutsideError("was not found") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links that go round in a circle
        raise OutsideError("cannot be read") from error
    except ValueError as error:
        raise error if isinstance(error, OutsideError) else OutsideError("was not found") from None


def utf8(data: bytes) -> bytes:
    """Text with a byte-order mark as UTF-8 without it; other bytes are returned as they are."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            body = data[len(mark) :]
            return body if encoding == "utf-8" else body.decode(encoding, errors="replace").encode()
    return data


def is_number(word: str) -> bool:
    """Whether a word of a text file is a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def image_mime(data: bytes) -> str | None:
    """The kind of a PNG or JPEG image, which every format can hold; None for anything else."""
    return next((mime for signature, mime in IMAGE_SIGNATURES.items() if data.startswith(signature)), None)
