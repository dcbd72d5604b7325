"""Array shapes in annotations. Tests check them with jaxtyping; a bare training machine works without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
else:
    try:
        from jaxtyping import Bool, Float, Int
    except ImportError:

        class _Shape:
            def __class_getitem__(cls, item: object) -> type:
                return cls

        Bool = Float = Int = _Shape

__all__ = ["Bool", "Float", "Int"]
