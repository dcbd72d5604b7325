"""Whether matched nodes lie on the right part: a perfect network, a blind one, and the one that ships."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.assets import asset_path
from core.bank.bank_file import read_bank
from core.bank.shape import BankShape
from core.errors import DataError
from core.evaluation.part_matching import METHODS, evaluate_parts, left_out_rigs
from core.experiments.results_page import write_results
from core.pipelines.part_descriptions import PartDescriptions
from tests.bank.creatures import swinging_rod
from tests.report_tables import ReportTables

PROGRAM, ALONE, BOX = METHODS


class Knowing:
    """Knows the rod: which half a node is, by its place along the axis that it is longest in; that it faces +Z."""

    version = "knowing"

    def __call__(self, points: NDArray, normals: NDArray) -> tuple[NDArray, float]:
        return np.eye(2)[(points[:, np.ptp(points, axis=0).argmax()] > 0).astype(int)], 0.0

    def described(self, shape: BankShape) -> BankShape:
        own, _ = self(shape.nodes, shape.normals)
        return replace(shape, descriptors=np.stack([own, own[:, ::-1]]), described_by=self.version)


def rods() -> tuple[list[BankShape], list[BankShape]]:
    named = replace(swinging_rod("rod", degrees=10.0), part_names=("Hand.R", "Hand.L"))
    return [named], [replace(named, name="other", author="another")]


def test_a_report_counts_nodes_on_the_right_part(tmp_path: Path) -> None:
    report = evaluate_parts(Knowing(), *rods(), tmp_path / "parts.json", raw=tmp_path / "raw.json")  # type: ignore[arg-type]
    whole = report["summary"]["every rig"]
    for method in METHODS:
        assert 0 <= whole[method]["part and side"] == whole[method]["limb and side"] <= 1, "a limb of one part"
    assert report["clips"][0][ALONE]["part and side"] == 1, "at rest and facing +Z it knows them all"
    assert whole["heading"] == pytest.approx(0.25), "it says +Z whichever way the rod faces"
    stored = json.loads((tmp_path / "parts.json").read_text())
    assert "clips" not in stored and len(json.loads((tmp_path / "raw.json").read_text())["clips"]) == 8
    shown = ReportTables((tmp_path / "parts.md").read_text())
    assert shown.value("every rig", PROGRAM) == pytest.approx(whole[PROGRAM]["limb and side"], abs=5e-4)
    assert "Which part is which" in write_results(tmp_path).read_text()


def test_rigs_without_names_or_others_to_match_are_refused(tmp_path: Path) -> None:
    rigs, others = rods()
    unnamed = [replace(rigs[0], part_names=("a", "b"))]
    for mine, bank in ((unnamed, others), (rigs, rigs), ([], others)):
        with pytest.raises(DataError):
            evaluate_parts(Knowing(), mine, bank, tmp_path / "parts.json")  # type: ignore[arg-type]


def test_the_weights_that_ship_beat_places_in_a_box_on_an_author_left_out(tmp_path: Path) -> None:
    rigs, _ = left_out_rigs()
    assert {shape.author for shape in rigs} == {"Mesh2Motion", "Kay Lousberg"}
    bank = read_bank(asset_path("bank", "motions.safetensors"))[::4]
    horse = [shape for shape in rigs if shape.name == "m2m_horse"]
    report = evaluate_parts(PartDescriptions.load("small"), horse, bank, tmp_path / "parts.json")
    whole = report["summary"]["every rig"]
    assert whole[PROGRAM]["limb and side"] > whole[BOX]["limb and side"]
