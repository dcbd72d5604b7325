"""Compares an image with renderings by the features of a DINOv2 model, if one is installed.

Outlines do not distinguish a dog from a cow in the same pose; features of a network trained on many photographs do. The
model is the folder `dinov2` in the program's configuration folder, as `transformers` saves it; nothing is downloaded.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.assets import config_folder
from core.errors import DataError

SIDE = 16  # patches along a side of the model's input
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the colours of its training images
BATCH = 16


def features_folder() -> Path:
    """The folder in which a DINOv2 model may be installed."""
    return config_folder() / "dinov2"


def installed_features() -> ImageFeatures | None:
    """The installed model; None without one or without `transformers`. Raises DataError if it is damaged."""
    folder = features_folder()
    if not (folder / "config.json").is_file() or find_spec("transformers") is None:
        return None
    return _loaded(folder)


@lru_cache(maxsize=1)
def _loaded(folder: Path) -> ImageFeatures:
    from transformers import Dinov2Model

    try:
        model = Dinov2Model.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(
            f"The folder {folder} holds no DINOv2 model that can be read; it needs config.json and model.safetensors."
        ) from error
    return ImageFeatures(model)


class ImageFeatures:
    """A DINOv2 model on the CPU."""

    def __init__(self, model: Any) -> None:
        self._model = model.float().eval()

    @torch.inference_mode()
    def unlike(self, image: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.float64]:
        """How unlike an image [S, S] others [N, S, S] are [N], 0 to 2; all grey in 0..1, with a black background.

        It is 1 minus the cosine of the features, averaged over the patches in which either image shows something.
        """
        own, shown = self._tokens(image[None])
        found = []
        for start in range(0, len(others), BATCH):
            tokens, covered = self._tokens(others[start : start + BATCH])
            weight = torch.maximum(covered, shown)
            apart = 1 - (tokens * own).sum(dim=-1)
            found.append((apart * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(1e-6))
        return torch.cat(found).numpy().astype(np.float64)

    def _tokens(self, images: NDArray[np.floating]) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit features of the patches [N, SIDE * SIDE, D] and the share of each that is not black [N, SIDE * SIDE]."""
        side = SIDE * int(self._model.config.patch_size)
        grey = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
        large = torch.nn.functional.interpolate(grey, (side, side), mode="bilinear", antialias=True)
        colours = (large.expand(-1, 3, -1, -1) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[
            :, None, None
        ]
        tokens = self._model(pixel_values=colours).last_hidden_state[:, 1:]
        covered = torch.nn.functional.adaptive_avg_pool2d((large > 0.02).float(), SIDE).flatten(1)
        return torch.nn.functional.normalize(tokens, dim=-1), covered
