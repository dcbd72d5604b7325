"""Plots reports as PNG files. Without matplotlib (`pip install 'm2v-studio[evaluation]'`) there are no plots."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.atomic import write_atomically
from core.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, NEUTRAL = "#2b6cb0", "#718096"
BLUES, OTHERS = ("#2b6cb0", "#90b4da", "#c3d7ec"), ("#b7791f", "#718096", "#a0aec0")  # ours; baselines


def can_plot() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def save_figure(path: Path, size: tuple[float, float], draw: Callable[[Axes], None], title: str) -> Path | None:
    """Draw on one pair of axes and write a PNG atomically. Without matplotlib it writes nothing and returns None."""
    if not can_plot():
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")  # no pyplot: no global state, no display
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png", dpi=110), DataError)
    return path


def plot_ratios(path: Path, rows: Sequence[tuple[str, float, float]], title: str, what: str) -> Path | None:
    """A dot with an error bar per row (name, value, deviation), and a line at 1."""

    def draw(axes: Axes) -> None:
        places = range(len(rows))
        values, spreads = [row[1] for row in rows], [row[2] for row in rows]
        axes.axvline(1.0, color=NEUTRAL, linewidth=1)
        axes.errorbar(values, places, xerr=spreads, fmt="o", color=OURS, markersize=4, capsize=2)
        axes.set_yticks(list(places), [row[0] for row in rows], fontsize=8)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel(what, fontsize=8)

    return save_figure(path, (7.0, 0.6 + 0.24 * max(len(rows), 4)), draw, title) if rows else None


def plot_groups(
    path: Path, groups: Sequence[str], series: Mapping[str, Sequence[float | None]], title: str, what: str
) -> Path | None:
    """Bars of several methods side by side. `series`: {method: a value per group, None where not measured}."""

    def draw(axes: Axes) -> None:
        width = 0.8 / max(len(series), 1)
        colours = _colours(list(series))
        for number, (name, values) in enumerate(series.items()):
            places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(groups))]
            shown = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
            axes.bar(
                [place for place, _ in shown], [value for _, value in shown], width * 0.92, label=name,
                color=colours[number],
            )  # fmt: skip
        axes.set_xticks(range(len(groups)), list(groups), fontsize=8)
        axes.set_ylabel(what, fontsize=8)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(
            fontsize=7, frameon=False, ncols=min(len(series), 2), loc="upper center", bbox_to_anchor=(0.5, -0.1)
        )

    return save_figure(path, (max(5.0, 1.3 * len(groups) + 1.5), 3.0), draw, title) if groups else None


def _colours(names: Sequence[str]) -> list[str]:
    """Blues for our methods, other colours for baselines."""
    ours, baselines = iter(BLUES), iter(OTHERS)
    return [next(ours if name.startswith("ours") else baselines, NEUTRAL) for name in names]
