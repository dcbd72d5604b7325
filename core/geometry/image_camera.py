"""The camera that is assumed for images: the middle of those in training."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FRONT = (0.6, 0.25, 2.2)  # azimuth, elevation and distance: the front quarter, the middle of training's cameras
VIEW_SIDE = 1.5  # of the square an image covers at the distance of the origin


def camera_axes() -> NDArray[np.float64]:
    """[3, 3] rows right, down, forward of the camera at FRONT, which looks at the origin from FRONT[2] away."""
    azimuth, elevation, _ = FRONT
    level = math.cos(elevation)
    forward = -np.array([level * math.sin(azimuth), math.sin(elevation), level * math.cos(azimuth)])
    right = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)])
    return np.stack([right, np.cross(forward, right), forward])
