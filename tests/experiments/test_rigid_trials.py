"""Trials of other ways to the rigid surface: what they change, and what the report says."""

import numpy as np
import pytest

from core.evaluation.prior import SHARES, PriorTask, samples_of, tracks_of
from core.experiments.rigid_trials import PROJECTED, ROWS, decoding_errors, projected_estimates, trial_tables
from core.pipelines.animate import Animator
from tests.evaluation.test_prior import clip  # noqa: F401  a fixture


@pytest.fixture(scope="module")
def animator() -> Animator:
    return Animator.load("small", "cpu")


def test_true_rotations_decode_a_true_motion_no_worse(animator, clip):  # noqa: F811
    found, true = decoding_errors(animator.body_of(clip.mesh), clip)
    assert 0 < true <= found * 1.05


def test_projection_changes_samples_within_the_block_only(animator, clip):  # noqa: F811
    tracks = tracks_of(clip, *PriorTask("3 full tracks", 3, True).keys(clip))
    sample = lambda: samples_of(animator, clip, tracks, 1, SHARES["denoiser alone"])  # noqa: E731
    before = sample()
    with projected_estimates(animator):
        projected = sample()
    assert np.isfinite(projected).all() and np.abs(projected - before).max() > 1e-5
    np.testing.assert_array_equal(sample(), before)


def test_tables_name_both_trials():
    figures = dict.fromkeys(("size", "best", "apart", "strain", "skate", "mean"), 1.0)
    rows = ROWS[0], PROJECTED.format(ROWS[0])
    summary = [{"task": "3 full tracks", "row": row, "clips": 2, **figures} for row in rows]
    text = "\n".join(trial_tables({"summary": summary, "decoding": {"clips": 2, "found": 0.03, "true": 0.02}}))
    assert rows[1] in text and "0.0200" in text and "energy" not in text
