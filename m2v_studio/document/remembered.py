"""Answers that are kept as long as what they are about: a cache by number would keep large results alive."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

P = ParamSpec("P")
Answer = TypeVar("Answer")


def remembered(work: Callable[P, Answer]) -> Callable[P, Answer]:
    """For a function whose first argument is an object that is equal only to itself: it is asked once for it and each
    set of further arguments, and the answers go when the object goes. They must not hold it."""
    kept: WeakKeyDictionary[Any, dict[Hashable, Answer]] = WeakKeyDictionary()

    @wraps(work)
    def ask(*args: P.args, **kwargs: P.kwargs) -> Answer:
        answers = kept.setdefault(args[0], {})
        rest = (args[1:], tuple(sorted(kwargs.items())))
        if rest not in answers:
            answers[rest] = work(*args, **kwargs)
        return answers[rest]

    return ask
