"""Images compared by a local DINOv2 model: a tiny one with random weights stands for it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import DataError
from core.pipelines.body_search import BodyPoses
from core.pipelines.image_features import features_folder, installed_features
from core.pipelines.outline_search import ImageOutline, find_outlined, shaded

from ..geometry.bodies import capsule
from .test_scan_bodies import bent, poses, turn  # noqa: F401  a fixture

CELLS = 96
SEEN = bent(1.0) @ turn(0.9).T


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("M2V_CONFIG_DIR", str(tmp_path))
    return features_folder()


class Likes:
    """Finds drawings the more unlike, the more of one is at its left, whatever the image is."""

    def __init__(self) -> None:
        self.asked = 0

    def unlike(self, image: np.ndarray, others: np.ndarray) -> np.ndarray:
        assert image.shape == others.shape[1:]
        self.asked += len(others)
        return 100 * np.stack([other[:, : CELLS // 2].sum() / other.sum() for other in others])


def test_features_decide_between_outlines(poses: BodyPoses) -> None:  # noqa: F811
    grey = shaded(SEEN, capsule()[1], CELLS)
    outline, likes = ImageOutline(grey > 0, grey), Likes()
    plain, chosen = find_outlined(poses, outline, 1)[0], find_outlined(poses, outline, 1, features=likes)[0]  # type: ignore[arg-type]
    left = [
        drawn[:, : CELLS // 2].sum() / drawn.sum()
        for drawn in (shaded(body.vertices, body.faces, CELLS) for body in (plain, chosen))
    ]
    assert likes.asked > 1 and left[1] < left[0]


def test_a_drawn_picture_is_grey_where_the_shape_is_and_black_elsewhere() -> None:
    grey = shaded(SEEN, capsule()[1], CELLS)
    assert grey.shape == (CELLS, CELLS) and 0.03 < (grey > 0).mean() < 0.5
    assert 0.25 <= grey[grey > 0].min() < grey.max() <= 1


def test_without_a_model_there_are_no_features(settings: Path) -> None:
    assert not settings.exists() and installed_features() is None


def test_a_model_says_that_an_image_is_like_itself(settings: Path) -> None:
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = transformers.Dinov2Config(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
        )
        transformers.Dinov2Model(config).save_pretrained(settings)
    features = installed_features()
    assert features is not None and features is installed_features()
    grey = shaded(SEEN, capsule()[1], CELLS)
    unlike = features.unlike(grey, np.stack([grey, grey[:, ::-1], shaded(SEEN @ turn(1.5), capsule()[1], CELLS)]))
    assert unlike[0] == pytest.approx(0, abs=1e-4) and unlike[1:].min() > 1e-3


def test_a_damaged_model_is_named(settings: Path) -> None:
    settings.mkdir()
    (settings / "config.json").write_text('{"model_type": "dinov2"}')
    with pytest.raises(DataError, match="no DINOv2 model"):
        installed_features()
