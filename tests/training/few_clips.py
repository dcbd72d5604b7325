"""The training command with held-out figures from a few clips, for tests that start processes of their own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from unittest.mock import patch

from core.training.__main__ import main as train


def main(arguments: Sequence[str]) -> int:
    with patch("core.training.loop.CHECK_CLIPS", 4), patch("core.training.loop.flops_per_clip", lambda *_: 1.0):
        return train(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
