"""An example serves as many steps as asked for, and which one a step gets never depends on who asks, or when."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import torch

from core.checkpoint import STAGES
from core.data.clips import ClipBatch
from core.data.procedural import ProceduralSource
from core.errors import ConfigError
from core.training.examples import SPACING, Examples
from core.training.motion_objective import MotionDiffusionObjective
from core.training.objectives import Objective
from core.training.scores import relative_score
from core.training.stages import build_objective, train
from tests.training.fixed import FixedClips, tiny

CPU = torch.device("cpu")


class Counting(Objective):
    """Prepares a batch as its first coordinate, and counts how often it is asked to."""

    def __init__(self, reuse: int) -> None:
        super().__init__(tiny())
        self.uses, self.prepared = reuse, 0

    @property
    def reuse(self) -> int:
        return self.uses

    def example(self, clips: ClipBatch, generator: torch.Generator) -> float:
        self.prepared += 1
        return float(clips.points.flatten()[0])


def examples(reuse: int) -> tuple[Examples, Counting]:
    objective = Counting(reuse)
    return Examples(objective, ProceduralSource(kinds=["snake"]), 1, 7, CPU), objective


@pytest.mark.parametrize("reuse", [1, 2, 4])
def test_an_example_serves_that_many_steps(reuse: int) -> None:
    ours, objective = examples(reuse)
    steps = 120
    uses = Counter(ours.at(step, 0).example for step in range(steps))
    assert objective.prepared == len(uses) == steps // reuse
    # But for the first, which have no older ones beside them, and the last, whose other uses are still to come.
    edge = SPACING * (reuse - 1)
    assert set(list(uses.values())[edge : steps // reuse - edge]) == {reuse}
    assert sum(uses.values()) == steps


def test_a_run_that_goes_on_gets_what_it_would_have_got() -> None:
    whole, _ = examples(3)
    expected = [whole.at(step, block) for step in range(40) for block in (0, 1)]
    resumed, _ = examples(3)
    got = [resumed.at(step, block) for step in range(23, 40) for block in (0, 1)]
    for one, other in zip(expected[46:], got, strict=True):
        assert one.example == other.example
        assert one.generator.initial_seed() == other.generator.initial_seed()


def test_noise_differs_between_the_uses_of_an_example() -> None:
    ours, _ = examples(4)
    seeds = [ours.at(step, 0).generator.initial_seed() for step in range(40)]
    assert len(set(seeds)) == len(seeds)


@pytest.fixture
def objective(tmp_path: Path) -> MotionDiffusionObjective:
    config = tiny()
    config = dataclasses.replace(config, diffusion=dataclasses.replace(config.diffusion, posterior_mean_fraction=1.0))
    train(STAGES[:2], config, tmp_path, steps=1, source=FixedClips())
    result = build_objective(STAGES[3], config, tmp_path)
    assert isinstance(result, MotionDiffusionObjective)
    return result


def test_less_than_one_use_is_refused(tmp_path: Path) -> None:
    config = tiny(training={"reuse": 0})
    train(STAGES[:2], config, tmp_path, steps=1, source=FixedClips())
    with pytest.raises(ConfigError, match=r"training.reuse: 0 is out of range"):
        build_objective(STAGES[3], config, tmp_path)


def test_the_distance_of_a_perfect_and_of_the_rigid_answer(objective: MotionDiffusionObjective) -> None:
    generator = torch.Generator().manual_seed(0)
    clips = objective.draw(FixedClips(), 3, generator, "train")
    example = objective.example_of("handles", clips, generator)
    moved = example.clips[2][..., :3]
    assert example.warm is not None
    torch.testing.assert_close(relative_score(moved, moved, example.warm), torch.zeros(3), atol=1e-3, rtol=0)
    ratio = relative_score(example.warm.guesses[..., 0, :], moved, example.warm)
    assert bool((ratio < 1).all()) and bool((ratio > 0).all())
    motion = relative_score(torch.zeros_like(moved), moved, None)
    assert bool((motion < 1).all()) and bool((motion > 0.5).all())


def test_learned_channels_do_not_drown_displacements(objective: MotionDiffusionObjective) -> None:
    """Their units are their own: they count in standard deviations, beside displacements in lengths."""
    generator = torch.Generator().manual_seed(0)
    clips = objective.draw(FixedClips(), 3, generator, "train")
    objective.fit_statistics(clips, generator)
    example = objective.example_of("handles", clips, generator)
    latents, warm = example.clips[2], example.warm
    assert latents.shape[-1] > 3 and warm is not None
    clean = objective.trained.whiten(latents, warm)
    exact = objective._score(clean, clean, latents, warm, 1)
    torch.testing.assert_close(exact, torch.zeros(3), atol=1e-2, rtol=0)
    unmoved, unlearned = clean.clone(), clean.clone()
    unmoved[..., :3] = objective.trained.whiten(torch.zeros_like(latents), warm)[..., :3]
    unlearned[..., 3:] = 0
    for useless in (unmoved, unlearned):
        score = objective._score(useless, clean, latents, warm, 1)
        assert bool((score > 0.1).all()) and bool((score < 10).all())


def test_pure_noise_is_judged_by_distance(objective: MotionDiffusionObjective) -> None:
    generator = torch.Generator().manual_seed(0)
    clips = objective.draw(FixedClips(), 3, generator, "train")
    example = objective.example_of("handles", clips, generator)
    loss, figures = objective.loss_of(example, torch.Generator().manual_seed(1))
    assert float(loss.detach()) == pytest.approx(float(figures["loss_pure"]))
    again, _ = objective.loss_of(example, torch.Generator().manual_seed(1))
    other, _ = objective.loss_of(example, torch.Generator().manual_seed(2))
    assert float(loss.detach()) == float(again.detach()) != float(other.detach())
