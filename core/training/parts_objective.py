"""The part descriptor's objective: names of parts, the same descriptors in all poses, and the heading."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core.bank.parts import CLASSES
from core.config import Config
from core.data.clips import ClipSource
from core.errors import ConfigError
from core.models.part_descriptor import PartDescriptor, Parts, build_part_descriptor
from core.precision import distances
from core.training.objectives import Figures, Objective
from core.training.part_views import PartViews, PartViewSource

TEMPERATURE = 0.07  # of the contrastive similarities
NEAR = 0.04  # of the size: nodes this close count as the same
NAMED = 0.3  # least share of named parts in the weights of a point that counts
CONTRAST = 0.5  # weight of the contrastive loss
WITHIN = 0.866  # cosine of 30 degrees


class PartsObjective(Objective):
    """Cross-entropy of part names, contrast between two views of a rig (van den Oord et al. 2018), front and up."""

    trained: PartDescriptor

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.parts.classes != len(CLASSES):
            raise ConfigError(
                f"parts.classes is {config.parts.classes}, but {len(CLASSES)} parts have names; use that number."
            )
        self.trained = build_part_descriptor(config)

    def draw(self, source: ClipSource, batch: int, generator: torch.Generator, split: str) -> PartViews:  # type: ignore[override]
        if not isinstance(source, PartViewSource):
            raise ConfigError("The part descriptor learns from rigs; give their folder with --set data.rigs=DIR.")
        return source.views(max(2, batch + batch % 2), generator, split)

    def forward(self, views: PartViews, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        found = self.trained(views.points, views.normals)
        names, contrasted, frame = name_loss(found, views), contrast(found, views), frame_loss(found, views)
        figures = {"names": names.detach(), "contrast": contrasted.detach(), "frame": frame.detach()}
        return names + CONTRAST * contrasted + frame, figures

    @torch.no_grad()
    def check(self, views: PartViews, generator: torch.Generator) -> Figures:  # type: ignore[override]
        """The fractions of correctly named points, and of views whose heading is within 30 degrees."""
        found = self.trained(views.points, views.normals)
        counted = views.labels.sum(dim=-1) > NAMED
        right = (found.logits.argmax(dim=-1) == views.labels.argmax(dim=-1)) & counted
        ahead = (found.frame[..., 2] * views.forward).sum(dim=-1) > WITHIN
        sure = views.certain == 1
        loss, figures = self(views, generator)
        return {
            "loss": float(loss),
            "accuracy": float(right.sum() / counted.sum().clamp_min(1)),
            "heading": float((ahead & sure).sum() / sure.sum().clamp_min(1)),
            **{name: float(value) for name, value in figures.items()},
        }


def name_loss(found: Parts, views: PartViews) -> Tensor:
    """Cross-entropy of the names, mean over points that have one."""
    counted = (views.labels.sum(dim=-1) > NAMED).float()
    entropy = -(views.labels * found.logits.log_softmax(dim=-1)).sum(dim=-1)
    return (entropy * counted).sum() / counted.sum().clamp_min(1)


def contrast(found: Parts, views: PartViews) -> Tensor:
    """Contrastive loss: each point is to be found among the points of the rig's other view, both ways.

    A view is not paired with a mirrored one, whose left paw is the other's right paw.
    """
    one, other = found.descriptor[0::2], found.descriptor[1::2]
    likeness = one @ other.transpose(1, 2) / TEMPERATURE
    apart = distances(views.places[0::2], views.places[1::2])
    wanted = (-apart.square() / (2 * NEAR**2)).softmax(dim=-1)
    missed = sum(
        -(target * scores.log_softmax(dim=-1)).sum(dim=-1).mean(dim=-1) / 2
        for target, scores in ((wanted, likeness), (wanted.transpose(1, 2), likeness.transpose(1, 2)))
    )
    paired = (views.mirrored[0::2] == views.mirrored[1::2]).float()
    return (missed * paired).sum() / paired.sum().clamp_min(1)


def frame_loss(found: Parts, views: PartViews) -> Tensor:
    """One minus the cosine, for up and for forward."""
    up = 1 - F.cosine_similarity(found.frame[..., 1], views.up, dim=-1)
    forward = 1 - F.cosine_similarity(found.frame[..., 2], views.forward, dim=-1)
    return up.mean() + (forward * views.certain).sum() / views.certain.sum().clamp_min(1e-6)
