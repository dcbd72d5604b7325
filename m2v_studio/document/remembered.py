"""A cache whose entries live as long as their argument, so that large results are not kept alive."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

P = ParamSpec("P")
Answer = TypeVar("Answer")


def remembered(work: Callable[P, Answer]) -> Callable[P, Answer]:
    """Decorator that caches a function's results by its first argument's identity and its further arguments.

    Results are dropped together with that first argument, so they must not refer to it.
    """
    kept: WeakKeyDictionary[Any, dict[Hashable, Answer]] = WeakKeyDictionary()

    @wraps(work)
    def ask(*args: P.args, **kwargs: P.kwargs) -> Answer:
        answers = kept.setdefault(args[0], {})
        rest = (args[1:], tuple(sorted(kwargs.items())))
        if rest not in answers:
            answers[rest] = work(*args, **kwargs)
        return answers[rest]

    return ask
