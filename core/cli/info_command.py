"""`m2v info`: describes a checkpoint, a folder of checkpoints or a preset in tables."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.arguments import AddCommand
from core.config import Config, load_config, preset_names
from core.errors import CheckpointError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_LONGEST_VALUE = 200


def add_command(command: AddCommand) -> None:
    """Register `m2v info`."""
    info = command("info", run_info, "Show what a checkpoint or preset is and how it was trained.")
    info.add_argument("checkpoint", metavar="CHECKPOINT", help="a .safetensors file, a folder of them, or a preset")


def run_info(options: argparse.Namespace) -> None:
    """`m2v info`."""
    show_info(options.checkpoint)


def show_info(name: str) -> None:
    """Describe a .safetensors file, a folder of stages or a preset. Raises CheckpointError for anything else."""
    from rich.console import Console

    from core.checkpoint import EVERY_STAGE, PART_DESCRIPTOR, SCAN_MOTION, checkpoint_path, load_checkpoint

    console = Console()
    path = Path(name)
    if path.is_file() or path.suffix == ".safetensors":
        _show_checkpoint(console, path)
        return
    found = [checkpoint_path(name, stage) for stage in (*EVERY_STAGE, SCAN_MOTION)]
    found = [file for file in found if file.is_file()]
    if not found and name not in preset_names():
        raise CheckpointError(
            f"There is no checkpoint, folder of checkpoints or preset {name!r}; "
            f"presets are {', '.join(preset_names())}."
        )
    main = [file for file in found if file.stem != PART_DESCRIPTOR] or found  # the last stage's config covers all
    config = load_checkpoint(main[-1]).config if found else load_config(name)
    _show_config(console, config, "from its weights" if found else "no weights are here: train it with 'm2v train all'")
    for file in found:
        _show_checkpoint(console, file, with_config=False)


def _show_checkpoint(console: Console, path: Path, with_config: bool = True) -> None:
    from core.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    if with_config:
        _show_config(console, checkpoint.config, f"in {path.name}")
    table = _table(f"{checkpoint.stage}: {path}")
    numbers = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    precision = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in checkpoint.tensors.values()}))
    table.add_row("parameters", f"{numbers:,} in {len(checkpoint.tensors)} tensors, {precision}")
    table.add_row("file size", f"{path.stat().st_size / 1e6:.1f} MB")
    for key, value in checkpoint.record.items():
        table.add_row(str(key), _shown(value))
    console.print(table)


def _show_config(console: Console, config: Config, where: str) -> None:
    table = _table(f"preset {config.name}, {where}")
    for section in dataclasses.fields(config):
        value = getattr(config, section.name)
        if not dataclasses.is_dataclass(value) or isinstance(value, type):
            continue
        default = type(value)()
        for field in dataclasses.fields(value):
            own = getattr(value, field.name)
            changed = own != getattr(default, field.name)
            table.add_row(f"{section.name}.{field.name}", f"[bold]{own}[/bold]" if changed else f"[dim]{own}[/dim]")
    console.print(table)


def _table(title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    return table


def _shown(value: Any) -> str:
    """A value of the training record on one line; of a list, such as the checks, only its last entry."""
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return f"{len(value)} entries, last: {_shown(value[-1])}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."
