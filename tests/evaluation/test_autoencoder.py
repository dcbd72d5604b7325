"""The autoencoders' own figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from core.evaluation import metrics
from core.evaluation.autoencoder import evaluate_autoencoders, reconstruct_motion
from core.evaluation.evaluation_clips import EvaluationClip, load, procedural_clips
from core.evaluation.models import animator_for
from tests.report_tables import ReportTables


def test_a_rigid_motion_is_reconstructed_almost_exactly() -> None:
    # The untrained affine head blends maps that turn with their neighbours, which are exact here.
    clip = load(procedural_clips(1, kinds=("quadruped",))[0], 5, 150)
    assert clip is not None
    rest = clip.vertices[0]
    turns = Rotation.from_rotvec(np.outer(np.arange(5), [0.0, 0.2, 0.0])).as_matrix()
    moved = np.stack([rest @ turn.T + number * np.array([0.03, 0.0, 0.01]) for number, turn in enumerate(turns)])
    rigid = EvaluationClip(clip.name, moved, clip.faces, clip.fps)
    decoded = reconstruct_motion(animator_for("tiny", "cpu", untrained=True), rigid)
    assert decoded.shape == moved.shape
    assert (decoded[0] == rest).all()
    assert metrics.vertex_error(decoded, moved) < 0.001 * metrics.motion_size(moved)


def test_report_has_both_autoencoders_per_category(tmp_path: Path) -> None:
    out = tmp_path / "autoencoders.json"
    animator = animator_for("tiny", "cpu", untrained=True)
    names = procedural_clips(2, kinds=("laptop", "stapler"))
    evaluate_autoencoders(animator, names, out, frames=5, vertices=150, occupancy_points=500)
    report = json.loads(out.read_text())
    both = report["summary"]["procedural/unseen_identity"]
    assert both["clips"] == 2
    assert 0 < both["vertex_error"]["mean"] < both["motion"]["mean"]
    assert 0 <= both["shape_iou"]["mean"] <= 1
    tables, row = ReportTables(out.with_suffix(".md").read_text()), "Procedural, unseen individual, laptop"
    laptop = report["summary"]["procedural/unseen_identity/laptop"]
    assert tables.value(row, "motion") == pytest.approx(laptop["motion"]["mean"], abs=5e-5)
    assert tables.value(row, "shape IoU") == pytest.approx(laptop["shape_iou"]["mean"], abs=5e-4)
