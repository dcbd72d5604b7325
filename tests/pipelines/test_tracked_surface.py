"""Tracked points of a whole shape: what hangs together stays together, what was apart stays apart."""

import numpy as np

from core.geometry.binding import mesh_components
from core.pipelines.tracked_surface import too_thin, tracked_surface

RNG = np.random.default_rng(0)


def ball(center: tuple[float, float, float], count: int = 250, radius: float = 0.15) -> np.ndarray:
    directions = RNG.normal(size=(count, 3))
    return np.asarray(center) + radius * directions / np.linalg.norm(directions, axis=1, keepdims=True)


def unsure(places: np.ndarray) -> np.ndarray:
    """A model that knows nothing of the shape."""
    return np.full(len(places), -0.5)


def parts(tracks: np.ndarray) -> tuple[int, np.ndarray]:
    vertices, faces = tracked_surface(tracks.astype(np.float32), unsure, 64)
    return len(np.unique(mesh_components(faces, len(vertices))[faces])), vertices


def test_a_limb_of_a_dozen_points_holds_its_end() -> None:
    along = np.linspace(-0.15, 0.2, 12)
    rod = np.stack([along, 0.006 * np.cos(5 * np.arange(12)), 0.006 * np.sin(5 * np.arange(12))], axis=1)
    points = np.concatenate([ball((-0.3, 0, 0)), rod, ball((0.3, 0, 0), 60, 0.06)])
    count, vertices = parts(np.stack([points, points]))
    assert count == 1
    assert vertices[:, 0].max() > 0.3, "the end of the limb is there"


def test_what_was_seen_to_be_apart_stays_apart() -> None:
    points = np.concatenate([ball((-0.3, 0, 0)), ball((0.3, 0, 0))])
    moved = np.concatenate([points[:250], points[250:] + np.array([0.05, 0.1, 0])])
    assert parts(np.stack([points, moved]))[0] == 2


def test_nothing_floats_where_no_point_lies() -> None:
    def cloud(places: np.ndarray) -> np.ndarray:
        return 20.0 * (0.05 - np.linalg.norm(places - [0.35, 0.35, 0.35], axis=1)) + 8.0

    points = ball((-0.2, 0, 0))
    vertices, _ = tracked_surface(np.stack([points, points]).astype(np.float32), cloud, 64)
    assert np.linalg.norm(vertices - [-0.2, 0, 0], axis=1).max() < 0.2


def test_points_are_too_few_for_long_thin_limbs_and_not_for_a_trunk() -> None:
    trunk = ball((0, 0, 0), 400)
    limbs = [np.stack([np.linspace(0.15, 0.5, 12), 0.4 * k * np.ones(12), 0 * np.ones(12)], axis=1) for k in (-1, 0, 1)]
    assert not too_thin(np.stack([trunk, trunk]))
    thin = np.concatenate([trunk[:60], *limbs])
    assert too_thin(np.stack([thin, thin]))
