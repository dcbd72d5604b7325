"""The `m2v` command: one file a command; `command_line` joins them."""

from core.cli.command_line import main

__all__ = ["main"]
