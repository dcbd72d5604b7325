"""Features of images by DINOv2 ViT-B/14 (Oquab et al. 2023), as published; an optional extra, fetched at first use."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from core.errors import ConfigError
from core.shapes import Float

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what the model was trained with


@torch.no_grad()
def image_features(images: Float[Tensor, "B T H W"], weights: str) -> Float[Tensor, "B T 257 768"]:
    """Features of grey images in 0..1. `weights` is a local folder or a name on the hub.

    Raises ConfigError when `transformers` or the weights are not there.
    """
    model = dinov2(weights).to(images.device)
    batch, frames = images.shape[:2]
    squares = F.interpolate(images.flatten(0, 1)[:, None].float(), (SIDE, SIDE), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    features = model((squares.expand(-1, 3, -1, -1) - mean) / std).last_hidden_state
    return features.unflatten(0, (batch, frames)).float()


@lru_cache(maxsize=1)
def dinov2(weights: str) -> Any:
    """The frozen model."""
    try:
        from transformers import Dinov2Model
    except ImportError as error:
        raise ConfigError(
            "conditions.images is dinov2, which needs the package transformers: pip install 'm2v-studio[images]'."
        ) from error
    try:
        model = Dinov2Model.from_pretrained(weights)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The DINOv2 weights {weights!r} cannot be read; set conditions.image_weights to a folder that holds them, "
            "or connect to the internet once."
        ) from error
    return model.eval().requires_grad_(False)
