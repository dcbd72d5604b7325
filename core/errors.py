"""Errors a person can act on: each message is one sentence that says what is wrong and what to do."""

from __future__ import annotations

MAX_MESSAGE = 300  # characters; a damaged file may have any name or value


class M2VError(Exception):
    """Base of every error shown to a person; the command line prints it and exits 2, the studio shows a dialog.

    A longer message loses its middle: its beginning says what is wrong, its end what to do.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(shortened(str(message)))


def shortened(message: str) -> str:
    """At most MAX_MESSAGE characters on one line, cut in the middle."""
    most = MAX_MESSAGE
    line = " ".join(message[: 4 * most].split()) if len(message) > 4 * most else message
    if len(message) > 4 * most:
        line += message[-most:]
    if len(line) <= most:
        return line
    head = most // 2
    return f"{line[:head]} ... {line[len(line) - (most - head - 5) :]}"


class MeshError(M2VError):
    """A mesh file or mesh arrays cannot be used."""


class HandleError(M2VError):
    """A handle, a key or a handle file cannot be used."""


class ConfigError(M2VError):
    """A preset, a YAML file or a `--set` override cannot be used."""


class CheckpointError(M2VError):
    """A checkpoint is missing, damaged, or of another version."""


class DataError(M2VError):
    """A data set, a rig or a scan cannot be used."""


class ExportError(M2VError):
    """A sequence cannot be written where or as asked."""


class Cancelled(Exception):
    """Raised inside a progress callback to stop a long call; nothing is written after it."""
