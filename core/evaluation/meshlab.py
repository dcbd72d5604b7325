"""Imports pymeshlab, an optional dependency of the evaluation."""

from __future__ import annotations

from typing import Any

from core.errors import DataError


def import_pymeshlab(user: str) -> Any:
    """The module. Raises DataError where it is missing; `user` begins that sentence ("The baseline")."""
    try:
        import pymeshlab
    except ImportError as error:
        raise DataError(f"{user} needs pymeshlab; install it with: pip install 'm2v-studio[evaluation]'.") from error
    return pymeshlab
