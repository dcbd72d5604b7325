"""DINOv2 features from a local folder, and a clear sentence when they are not there."""

from pathlib import Path

import pytest
import torch

from core.errors import ConfigError
from core.models.image_features import dinov2, image_features
from core.models.observation_conditioners import FeatureConditioner


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    dinov2.cache_clear()
    with pytest.raises(ConfigError, match="image_weights"):
        image_features(torch.zeros(1, 1, 8, 8), str(tmp_path / "nothing"))


def test_features_of_a_local_model(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = transformers.Dinov2Config(hidden_size=768, num_hidden_layers=1, num_attention_heads=12, image_size=224)
    transformers.Dinov2Model(small).save_pretrained(tmp_path)
    dinov2.cache_clear()
    images = torch.rand(1, 3, 40, 40)
    features = image_features(images, str(tmp_path))
    assert features.shape == (1, 3, 257, 768)
    assert FeatureConditioner(32)(features).shape == (1, 257, 32)
    assert not torch.allclose(features[0, 0], features[0, 1])
