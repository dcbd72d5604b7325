"""Averages over neighbouring frames."""

from __future__ import annotations

import torch
from torch import Tensor

from core.shapes import Float


def binomial_smooth(paths: Float[Tensor, "S T M C"], resting: bool = True) -> Float[Tensor, "S T M C"]:
    """Paths averaged over three frames with weights 1/4, 1/2, 1/4, which leave a steady motion as it is.

    `resting`: the paths are displacements that are 0 in the frame before the first; otherwise both ends are repeated.
    """
    before = torch.zeros_like(paths[:, :1]) if resting else paths[:, :1]
    after = 2 * paths[:, -1:] - torch.cat([before, paths], dim=1)[:, -2:-1] if resting else paths[:, -1:]
    longer = torch.cat([before, paths, after], dim=1)
    return (longer[:, :-2] + 2 * paths + longer[:, 2:]) / 4
