"""Bodies that tests deform."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from tests.evaluation.test_reconstruction_metrics import sphere


@contextmanager
def coarse_surfaces(cells: int = 64) -> Iterator[None]:
    """Closed surfaces are made on a coarser grid: enough for round bodies, in a tenth of the time."""
    with patch("core.geometry.closed_surface.CELLS", cells), patch("core.geometry.closed_surface.COARSE", cells // 2):
        yield


def capsule(bend: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """A long body along x, whose right half is turned about z by `bend` radians."""
    vertices, faces = sphere()
    body = vertices * [1.0, 0.3, 0.3]
    share = np.clip(body[:, 0] / 0.3 + 0.5, 0.0, 1.0) * bend
    cosine, sine = np.cos(share), np.sin(share)
    x, y, z = body.T
    return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], -1), faces
