"""The part descriptor learns to name parts, to know a point again, and to tell front and up."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from core.bank.bank_file import write_bank
from core.bank.parts import CLASSES, MIRRORED, class_weights, part_of, side_or_spine_heading
from core.checkpoint import PART_DESCRIPTOR, load_checkpoint
from core.config import Config
from core.errors import ConfigError, DataError
from core.models.part_descriptor import Parts
from core.training.part_views import PartViews, PartViewSource
from core.training.parts_objective import PartsObjective, contrast, frame_loss, name_loss
from core.training.stages import build_objective, train
from tests.bank.creatures import swinging_rod
from tests.training.fixed import FixedClips, tiny


def config(**parts: object) -> Config:
    return tiny(
        parts={"width": 32, "blocks": 2, "head_dim": 16, "channels": 16, **parts},
        training={"batch": 8, "ema_decay": 0.95, "learning_rate": 3e-3},
    )


@pytest.fixture
def rigs(tmp_path: Path) -> str:
    """A rod along x from a right to a left hand, with a belly in front (+Z), and the same by an author left out."""
    rod = dataclasses.replace(swinging_rod("rod"), part_names=("Hand.R", "Hand.L"))
    belly = 0.3 * np.exp(-np.square(rod.nodes[:, 0] / 0.2))
    rod = dataclasses.replace(rod, nodes=rod.nodes + belly[:, None] * np.array([0, 0, 1], np.float32))
    path = tmp_path / "parts.safetensors"
    write_bank(path, [rod, dataclasses.replace(rod, name="m2m_rod")])
    return str(path)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_names_of_joints_give_classes_and_headings() -> None:
    assert part_of("FrontUpLeg.L") == ("front_upper", "left") and part_of("Bone.004") is None
    for number, (part, side) in enumerate(CLASSES):
        assert CLASSES[MIRRORED[number]] == (part, {"left": "right", "right": "left"}.get(side, side))
    nodes = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 0, 1], [0, 0, -1]])
    weights = np.eye(4)
    assert class_weights(["Hand.L", "Bone.004"]).sum(axis=1).tolist() == [1, 0]
    assert side_or_spine_heading(["Hand.L", "Hand.R", "x", "x"], nodes, weights) == pytest.approx([0, 0, 1])
    assert side_or_spine_heading(["x", "x", "Head", "Tail"], nodes, weights) == pytest.approx([0, 0, 1])
    assert side_or_spine_heading(["x"] * 4, nodes, weights) is None


def test_views_are_normalised_paired_and_repeatable(rigs: str) -> None:
    source = PartViewSource(rigs)
    views, again = (source.views(6, generator()) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(views, again, strict=True))
    assert views.points.shape == (6, 128, 3) and views.labels.shape == (6, 128, len(CLASSES))
    size = (views.points.amax(dim=1) - views.points.amin(dim=1)).amax(dim=-1)
    assert size == pytest.approx(torch.ones(6), abs=0.05)
    assert torch.equal(views.places[0::2], views.places[1::2])
    for vectors in (views.normals, views.up, views.forward):
        assert vectors.norm(dim=-1) == pytest.approx(torch.ones(vectors.shape[:-1]), abs=1e-4)


def test_the_left_hand_of_a_mirrored_view_is_on_the_left(rigs: str) -> None:
    """Left is where up x forward points, in every view."""
    views = PartViewSource(rigs).views(16, generator())
    assert views.mirrored.any() and not views.mirrored.all()
    left = views.labels[..., CLASSES.index(("hand", "left"))] > 0.5
    across = torch.linalg.cross(views.up, views.forward)
    for points, mine, axis in zip(views.points, left, across, strict=True):
        assert (points[mine].mean(dim=0) - points[~mine].mean(dim=0)) @ axis > 0.2


def test_losses_are_least_for_the_right_answer(rigs: str) -> None:
    views = PartViewSource(rigs).views(8, generator())
    frame = torch.stack([torch.linalg.cross(views.up, views.forward), views.up, views.forward], dim=-1)
    # Places far apart get descriptors that are far apart.
    directions = torch.randn(3, 64, generator=generator())
    own = torch.nn.functional.normalize((views.places @ directions * 30).sin(), dim=-1)
    right = Parts(own, 50 * views.labels, frame)
    wrong = Parts(own.flip(1), 50 * views.labels[..., torch.from_numpy(MIRRORED)], frame.roll(1, -1))
    for loss in (name_loss, contrast, frame_loss):
        assert loss(right, views) < loss(wrong, views)
    assert name_loss(right, views) < 0.01 and frame_loss(right, views).abs() < 1e-5


def test_it_learns_a_rig_by_heart(tmp_path: Path, rigs: str) -> None:
    learner = dataclasses.replace(config(), data=dataclasses.replace(config().data, rigs=rigs))
    (record,) = train([PART_DESCRIPTOR], learner, tmp_path / "run", steps=120)
    check = record["checks"][-1]
    assert check["accuracy"] > 0.85 and check["heading"] > 0.6
    named = dataclasses.replace(learner, data=dataclasses.replace(learner.data, rigs=Path(rigs).name))
    assert load_checkpoint(tmp_path / "run" / f"{PART_DESCRIPTOR}.safetensors", PART_DESCRIPTOR).config == named


def test_every_weight_gets_a_gradient(tmp_path: Path, rigs: str) -> None:
    objective = build_objective(PART_DESCRIPTOR, config(), tmp_path)
    loss, _ = objective(PartViewSource(rigs).views(4, generator()), generator())
    loss.backward()
    assert [name for name, weight in objective.trained.named_parameters() if weight.grad is None] == []


def test_what_it_cannot_learn_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.rigs"):
        PartViewSource("")
    with pytest.raises(ConfigError, match=r"parts\.classes"):
        PartsObjective(config(classes=7))
    with pytest.raises(ConfigError, match=r"data\.rigs"):
        PartsObjective(config()).draw(FixedClips(), 2, generator(), "train")


def test_mirrored_views_are_no_pair() -> None:
    descriptor = torch.nn.functional.normalize(torch.randn(2, 5, 8, generator=generator()), dim=-1)
    places, one = torch.randn(2, 5, 3, generator=generator()), torch.ones(2)
    rest = (places, places, torch.zeros(2, 5, 2), places[:, 0], places[:, 0], one, places)
    views = PartViews(*rest, mirrored=torch.tensor([True, False]))
    assert contrast(Parts(descriptor, torch.zeros(2, 5, 2), torch.eye(3).expand(2, 3, 3)), views) == 0
