"""pymeshlab, which evaluation uses where it is installed."""

from __future__ import annotations

from typing import Any

from core.errors import DataError


def import_pymeshlab(user: str) -> Any:
    """The module; raises DataError that says what `user` needs."""
    try:
        import pymeshlab
    except ImportError as error:
        raise DataError(f"{user} needs pymeshlab; install it with: pip install 'm2v-studio[evaluation]'.") from error
    return pymeshlab
