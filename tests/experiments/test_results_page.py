"""The page of all results: only what was measured stands on it, and what was not is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.cli.evaluate_command import main
from core.errors import DataError
from core.evaluation.handles_report import summarise
from core.experiments import results_page
from core.experiments.plots import can_plot
from core.experiments.published import TABLES
from core.experiments.results_page import ALL, EARLIER, write_results
from tests.report_tables import ReportTables

MACHINE = {"processor": "a processor", "cores": 2, "torch": "2", "threads": 1}


def handles_report(error: float) -> dict[str, Any]:
    """Two clips of two categories on which ARAP is off by 0.02 and we are by `error`."""

    def figures(value: float) -> dict[str, float]:
        return {"error": value, "jitter": 0.002, "volume_change": 0.01, "crossings_gained": 0.001, "seconds": 1.0}

    methods = {name: figures(error) for name in ("draft", "single", "mean_of_seeds", "best_of_seeds")} | {
        "arap": figures(0.02),
        "biharmonic": figures(0.03),
    }
    seeds = {"mean_pairwise_distance": 0.01, "handle_error_before_solve": 0.001, "handle_error_after_solve": 0.0}
    clips = [
        {
            "clip": category, "source": "rigs", "split": "unseen_identity", "category": category, "motion": 0.1,
            "jitter": 0.002, "volume_change": 0.0, "crossings_gained": 0.0,
            "tasks": {"full_10": methods | {"seeds": seeds}},
        }
        for category in ("animals", "humans")
    ]  # fmt: skip
    return {
        "protocol": "handles",
        "settings": {"seeds": 8, "quality": "normal", "frames": 17},
        "model": {"preset": "small", "weights": "abc"},
        "machine": MACHINE,
        "summary": summarise(clips, ["full_10"]),
        "clips": clips,
    }


@pytest.fixture(autouse=True)
def weights_of_today(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The hashes that count as the preset's weights."""
    today = {"abc"}
    monkeypatch.setattr(results_page, "weight_hashes", lambda preset: frozenset(today))
    return today


def write(folder: Path, name: str, report: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(report))


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_figures_come_from_the_reports_and_the_rest_is_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "rigs.json", handles_report(0.01))
    write(tmp_path, "other.json", {"something": "else"})
    assert main(["report", "--out", str(tmp_path)]) == 0
    assert "RESULTS.md" in capsys.readouterr().out
    text = (tmp_path / "RESULTS.md").read_text()
    handles = section(text, "Handle editing")
    assert all(word in handles for word in ("`rigs.json`", "`small`", "weights abc"))
    tables, asked = ReportTables(handles), "mean of seeds over the better of ARAP and biharmonic"
    assert tables.value("animals (1)", "10 full tracks") == pytest.approx(0.5)
    assert tables.value(asked, "measured") == pytest.approx(0.5) and tables.value(asked, "at most") == 0.8
    assert tables.cell(asked, "reached") == "yes"
    assert section(text, "Voxels").strip().startswith("No report")
    assert all(f"- {name}" in section(text, "Protocols without a report") for name in ALL if name != "handles")
    assert len(list(tmp_path.glob("*.png"))) == int(can_plot())


def test_the_paper_stands_beside_ours_as_not_comparable(tmp_path: Path) -> None:
    write(tmp_path, "rigs.json", handles_report(0.01))
    text = write_results(tmp_path).read_text()
    assert "not comparable with ours" in text
    depth, sparse = ReportTables(section(text, "Depth scans")), ReportTables(section(text, "Sparse points"))
    scores = ("unseen motion: IoU", "unseen individual: CD x10", "unseen individual: Corr x10")
    found = [depth.value("D-FAUST, Motion2VecSets", score) for score in scores]
    assert found == pytest.approx([0.838, 0.075, 0.140])
    assert sparse.value("S2M, Motion2VecSets", "unseen individual: IoU") == pytest.approx(0.759)
    assert sparse.cell("S2M, Motion2VecSets", "unseen motion: IoU") == "/", "it was not published"
    for _, rows in TABLES.values():
        assert all(len(scores) in (0, 3) for row in rows for scores in row[2:])


def test_reports_of_earlier_weights_are_marked(tmp_path: Path, weights_of_today: set[str]) -> None:
    write(tmp_path, "rigs.json", handles_report(0.01))
    assert EARLIER not in write_results(tmp_path).read_text()
    weights_of_today.add("def")
    weights_of_today.remove("abc")
    assert EARLIER in section(write_results(tmp_path).read_text(), "Handle editing")
    weights_of_today.clear()
    assert EARLIER not in write_results(tmp_path).read_text(), "without the preset's weights nothing is known of them"


def test_bad_folders_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="no report"):
        write_results(tmp_path)
    assert main(["report", "--out", str(tmp_path / "nowhere")]) == 2
    assert "not a folder" in capsys.readouterr().err
    (tmp_path / "half.json").write_text('{"protocol": "handles"')
    with pytest.raises(DataError, match=r"half\.json"):
        write_results(tmp_path)
