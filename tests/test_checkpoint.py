"""Checkpoint files: what is written is read again, and anything else is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from core.assets import asset_path
from core.atomic import write_atomically
from core.checkpoint import FORMAT, STAGES, VERSION, checkpoint_path, load_checkpoint, save_checkpoint
from core.config import config_to_dict, load_config
from core.errors import CheckpointError

RECORD = {"step": 7, "checks": [{"iou": 0.5}], "machines": {"1 x CPU": 3.0}}


def network() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    module.register_buffer("count", torch.tensor([3, 70_000]))
    return module


def saved(folder: Path, half: bool = False) -> Path:
    path = folder / "new" / "weights.safetensors"
    save_checkpoint(path, STAGES[0], load_config("tiny"), network().state_dict(), RECORD, half)
    return path


def with_header(path: Path, **changes: str | None) -> Path:
    header = {"format": FORMAT, "version": str(VERSION), "stage": STAGES[0], "record": json.dumps(RECORD)}
    header["config"] = json.dumps(config_to_dict(load_config("tiny")))
    header = {name: value for name, value in (header | changes).items() if value is not None}
    save_file(load_file(path), path, metadata=header)
    return path


def test_round_trip(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(saved(tmp_path), STAGES[0])
    assert checkpoint.stage == STAGES[0] and checkpoint.record == RECORD and checkpoint.config == load_config("tiny")
    module = network()
    for weight in module.parameters():
        nn.init.zeros_(weight)
    checkpoint.load_into(module)
    assert all(
        torch.equal(a, b) for a, b in zip(module.state_dict().values(), network().state_dict().values(), strict=True)
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["weights.safetensors"], "no temporary file stays"


def test_half_precision_is_half_the_size_and_loads_as_float32(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(saved(tmp_path, half=True))
    assert checkpoint.tensors["0.weight"].dtype == torch.float16
    assert checkpoint.tensors["count"].tolist() == [3, 70_000], "whole numbers are kept exactly"
    module = network()
    checkpoint.load_into(module)
    assert {weight.dtype for weight in module.parameters()} == {torch.float32}
    for name, tensor in network().state_dict().items():
        assert torch.allclose(module.state_dict()[name].float(), tensor.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "something"}, "not an m2v checkpoint"),
        ({"format": None}, "not an m2v checkpoint"),
        ({"version": "99"}, "version 99"),
        ({"version": None}, "version None"),
        ({"stage": STAGES[3]}, STAGES[3]),
        ({"config": "{"}, "damaged header"),
        ({"config": None}, "damaged header"),
        ({"config": '{"shape": {"pionts": 3}}'}, "points"),
        ({"record": "nonsense"}, "damaged header"),
        ({"record": None}, "damaged header"),
    ],
)
def test_a_header_that_does_not_fit(tmp_path: Path, changes: dict[str, str | None], words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as raised:
        load_checkpoint(with_header(saved(tmp_path), **changes), STAGES[0])
    assert len(str(raised.value).splitlines()) == 1


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="m2v train"):
        load_checkpoint(tmp_path / "nothing.safetensors")


def test_a_folder_is_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 0.999))
def test_a_truncated_file(tmp_path: Path, share: float) -> None:
    content = saved(tmp_path).read_bytes()
    path = tmp_path / "short.safetensors"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_random_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "random.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0.0, 0.999), value=st.integers(0, 255))
def test_one_wrong_byte_is_an_error_or_another_number_but_never_a_crash(
    tmp_path: Path, where: float, value: int
) -> None:
    content = bytearray(saved(tmp_path).read_bytes())
    content[int(where * len(content))] = value
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(content)
    try:
        load_checkpoint(path).load_into(network())
    except CheckpointError as error:
        assert len(str(error)) > 20


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(tmp_path: Path, number: float) -> None:
    tensors = network().state_dict()
    tensors["0.bias"][1] = number
    save_checkpoint(tmp_path / "a.safetensors", STAGES[0], load_config("tiny"), tensors, RECORD)
    with pytest.raises(CheckpointError, match="not finite"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_missing_unknown_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(saved(tmp_path))
    larger = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2))
    larger.register_buffer("count", torch.zeros(2, dtype=torch.int64))
    with pytest.raises(CheckpointError, match=r"lacks tensor '2\.bias'"):
        checkpoint.load_into(larger)
    with pytest.raises(CheckpointError, match="unknown tensor 'count'"):
        checkpoint.load_into(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))
    wider = network()
    wider[1] = nn.Linear(4, 3)
    with pytest.raises(CheckpointError, match=r"another shape for tensor '1\.bias'"):
        checkpoint.load_into(wider)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="choose another folder"):
        save_checkpoint(tmp_path / "file" / "a.safetensors", STAGES[0], load_config("tiny"), {}, RECORD)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.bin"
    path.write_bytes(b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half of the new")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="No space left"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and [entry.name for entry in tmp_path.iterdir()] == ["kept.bin"]


def test_checkpoints_are_looked_for_in_a_folder_or_with_a_preset(tmp_path: Path) -> None:
    assert checkpoint_path(str(tmp_path), STAGES[1]) == tmp_path / "motion-autoencoder.safetensors"
    assert checkpoint_path("small", STAGES[1]) == asset_path("checkpoints", "small", "motion-autoencoder.safetensors")


@pytest.mark.parametrize("stage", ["shape-autoencoder", "motion-autoencoder", "motion-diffusion"])
def test_shipped_weights_are_small_and_load(stage: str) -> None:
    path = checkpoint_path("small", stage)
    assert path.stat().st_size < 15e6
    assert load_checkpoint(path, stage).config.name == "small"
