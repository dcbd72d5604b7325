"""The benchmark's report; nothing here depends on how long anything takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.errors import DataError
from core.evaluation.reporting import PartialResults, write_text
from core.experiments import pipeline_benchmark
from core.experiments.benchmark_memory import peak_gigabytes
from core.io.mesh.source_mesh import build_source_mesh


def test_report_has_times_phases_and_ratios(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def child(module: str, arguments: list[str], environment: object = None) -> dict[str, object]:
        asked.append((module, arguments))
        assert (Path(arguments[0]) / "motion-diffusion.safetensors").is_file()
        return {"imported_gb": 0.3, "loaded_gb": 0.4, "before_gb": 0.4, "peak_gb": 0.5}

    monkeypatch.setattr(pipeline_benchmark, "_child", child)
    out = tmp_path / "bench.json"
    pipeline_benchmark.run_benchmark(
        out, preset="tiny", device="cpu", untrained=True, vertices=150, frames=5, repeats=1, window=False
    )
    report = json.loads(out.read_text())
    assert [module for module, _ in asked] == ["core.experiments.benchmark_memory"]
    for name in ("one_seed_draft", "one_seed_normal", "four_seeds_normal"):
        run = report["seconds"][name]
        assert len(run["runs"]) == 1 and run["warm"] > 0
        assert sum(run["phases"].values()) <= run["warm"] + 1e-6
    rows = {row[0]: row for row in pipeline_benchmark.benchmark_rows(report)}
    ratio = report["seconds"]["one_seed_draft"]["warm"] / report["seconds"]["arap"]["warm"]
    assert rows["one seed, draft, warm"][3] == f"{ratio:.2f}"
    assert rows["peak memory of four seeds"][1] == "0.50 GB"
    assert "torch" in out.with_suffix(".md").read_text()


def test_the_large_mesh_is_the_same_surface_and_can_be_opened() -> None:
    clip = pipeline_benchmark.benchmark_clip(300, 5)
    vertices, faces = pipeline_benchmark._divided(clip.vertices[0], clip.faces, 9_000)
    assert 8_000 < len(vertices) <= 9_000 and faces.max() == len(vertices) - 1
    np.testing.assert_array_equal(vertices[: len(clip.vertices[0])], clip.vertices[0].astype(np.float32))
    assert len(build_source_mesh(vertices, faces, name="large").vertices) == len(vertices)


def test_a_part_that_cannot_be_measured_is_said_in_the_report() -> None:
    failed = pipeline_benchmark._child("core.evaluation.no_such_module", [])
    assert "no_such_module" in failed["error"]


def test_peak_memory_counts_what_is_held() -> None:
    before = peak_gigabytes()
    held = np.ones(25_000_000)  # 0.2 GB
    assert peak_gigabytes() >= before
    assert peak_gigabytes() >= held.nbytes / 1e9


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_text(blocker / "report.json", "{}")
    assert list(tmp_path.iterdir()) == [blocker]


def test_partial_results_survive_and_forget_by_settings(tmp_path: Path) -> None:
    path = tmp_path / "report.partial.json"
    first = PartialResults(path, {"baselines": {"a": 1}, "ours": {"w": "x"}})
    first.recall("baselines", "clip", lambda: 5)
    first.recall("ours", "clip", lambda: 6)
    again = PartialResults(path, {"baselines": {"a": 1}, "ours": {"w": "y"}})
    assert again.recall("baselines", "clip", lambda: 0) == 5
    assert again.recall("ours", "clip", lambda: 7) == 7
    path.write_text("{damaged")
    assert PartialResults(path, {"baselines": {"a": 1}}).recall("baselines", "clip", lambda: 8) == 8
