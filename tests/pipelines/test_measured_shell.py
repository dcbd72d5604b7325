"""A shell behind the points of a camera: wings that are too thin for the model are there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.pipelines.measured_shell import SURE, THICKNESS, MeasuredShell

EYE = np.array([0.0, 0.0, 3.0])
NOTHING = lambda places: np.full(len(places), -4.0)  # noqa: E731  a model that sees nothing


@pytest.fixture(scope="module")
def shell() -> MeasuredShell:
    """The shell behind a square wing in the plane z = 0."""
    wing: NDArray[np.float64] = np.random.default_rng(0).uniform(-0.3, 0.3, (4000, 3)) * [1.0, 1.0, 0.0]
    return MeasuredShell(wing, EYE, NOTHING)


def test_what_was_measured_is_inside_to_a_small_depth(shell: MeasuredShell) -> None:
    depths = np.array([0.5, 0.05, 0.95, -0.1, 1.1]) * THICKNESS
    places = np.stack([np.full(5, 0.01), np.full(5, 0.02), -depths], axis=1)
    logits = shell.filled(np.full(5, -4.0), places)
    assert (logits[:3] > 0).all() and (logits[3:] < 0).all()
    assert logits[0] == pytest.approx(THICKNESS / 2 * 300, rel=0.1) and logits.max() <= SURE


def test_what_is_beside_or_far_behind_stays_as_the_model_says(shell: MeasuredShell) -> None:
    places = np.array([[0.35, 0.0, -0.005], [0.0, 0.0, -0.1], [0.0, 0.0, 0.1]])
    assert np.array_equal(shell.filled(np.array([-4.0, 3.0, -1.0]), places), [-4.0, 3.0, -1.0])


def test_a_body_that_is_there_gets_no_shell() -> None:
    body = lambda places: np.where(np.abs(places[:, 2] + 0.1) < 0.09, 4.0, -4.0)  # noqa: E731  from -0.01 to -0.19
    grid = np.stack(np.meshgrid(*[np.linspace(-0.3, 0.3, 40)] * 2, [0.0]), axis=-1).reshape(-1, 3)
    places = np.array([[0.01, 0.02, -0.005]])
    assert MeasuredShell(grid, EYE, body).filled(body(places), places) == body(places)


def test_nothing_becomes_less_likely(shell: MeasuredShell) -> None:
    places = np.random.default_rng(1).uniform(-0.4, 0.4, (500, 3)) * [1, 1, 0.1]
    model = np.random.default_rng(2).normal(size=500)
    assert (shell.filled(model, places) >= model).all()
