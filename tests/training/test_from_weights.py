"""A training that begins with trained weights, and networks that grew since: what fits is kept, the rest is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from core.checkpoint import STAGES, load_checkpoint, save_checkpoint
from core.errors import CheckpointError
from core.training.__main__ import main
from core.training.stages import train
from core.training.start import check_same_meaning
from core.training.state import AveragedWeights, load_state, partial_load, save_state
from tests.training.fixed import FixedClips, FixedFits, tiny

AUTOENCODER, MOTION = STAGES[1], STAGES[3]


@pytest.fixture(autouse=True, scope="module")  # before the trainings that several tests share
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.training.loop.CHECK_CLIPS", 2)
        patch.setattr("core.training.loop.LOG_EVERY", 1)
        patch.setattr("core.training.loop.flops_per_clip", lambda *_: 1e6)  # costs a step
        yield


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of all stages without any state, as they ship."""
    folder = tmp_path_factory.mktemp("landed")
    train(STAGES, tiny(training={"batch": 2}), folder, steps=2, source=FixedClips())
    for state in folder.glob("*.state.safetensors"):
        state.unlink()
    return folder


def begun(folder: Path, *landed: Path, **options: object) -> tuple[dict, list[str]]:
    said: list[str] = []
    stage = str(options.pop("stage", AUTOENCODER))
    config = options.pop("config", tiny(training={"batch": 2, "learning_rate": 0.0}))
    (record,) = train(
        [stage],
        config,  # type: ignore[arg-type]
        folder,
        source=FixedClips(),
        weights=[str(path) for path in landed],
        say=said.append,
        **({"steps": 1} | options),  # type: ignore[arg-type]
    )
    return record, said


def test_network_and_average_begin_with_the_weights(tmp_path: Path, landed: Path) -> None:
    _, said = begun(tmp_path, landed)
    given = load_checkpoint(landed / f"{AUTOENCODER}.safetensors").tensors
    state = load_file(tmp_path / f"{AUTOENCODER}.state.safetensors")
    for name, tensor in given.items():
        assert torch.equal(state[f"model.{name}"], tensor.to(state[f"model.{name}"])), name
        assert torch.allclose(state[f"average.{name}"], tensor.to(state[f"average.{name}"]), atol=1e-7), name
    assert len(said) == 1 and AUTOENCODER in said[0] and "fresh" not in said[0]


def test_statistics_are_kept_and_not_fitted_again(tmp_path: Path, landed: Path) -> None:
    begun(tmp_path, landed, stage=MOTION)
    given = load_checkpoint(landed / f"{MOTION}.safetensors").tensors["latent_std"]
    assert torch.equal(load_file(tmp_path / f"{MOTION}.state.safetensors")["model.latent_std"], given.float())


@pytest.fixture(scope="module")
def further(tmp_path_factory: pytest.TempPathFactory, landed: Path) -> Path:
    """A training of the motion denoiser that went on from `landed`."""
    folder = tmp_path_factory.mktemp("further")
    train([MOTION], tiny(training={"batch": 2}), folder, steps=5, source=FixedClips(), weights=[str(landed)])
    return folder


def test_several_weights_begin_with_their_mean(tmp_path: Path, landed: Path, further: Path) -> None:
    record, said = begun(tmp_path, landed, further, stage=MOTION)
    one, other = (load_checkpoint(folder / f"{MOTION}.safetensors") for folder in (landed, further))
    assert any(not torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    state = load_file(tmp_path / f"{MOTION}.state.safetensors")
    for name, tensor in one.tensors.items():
        mean = (tensor.float() + other.tensors[name].float()) / 2
        assert torch.allclose(state[f"model.{name}"].float(), mean, atol=1e-7), name
    assert record["clips"] == other.record["clips"] + 2, "the record of the longer training goes on"
    assert f"the mean of {landed / MOTION}.safetensors and {further / MOTION}.safetensors" in said[0]


def test_weights_above_different_autoencoders_have_no_mean(tmp_path: Path, landed: Path, further: Path) -> None:
    strange = tmp_path / "strange"
    shutil.copytree(further, strange)
    autoencoder = load_checkpoint(strange / f"{AUTOENCODER}.safetensors")
    tensors = {name: tensor + 1 for name, tensor in autoencoder.tensors.items()}
    save_checkpoint(
        strange / f"{AUTOENCODER}.safetensors", AUTOENCODER, autoencoder.config, tensors, autoencoder.record
    )
    with pytest.raises(CheckpointError, match=f"different weights of {AUTOENCODER}"):
        begun(tmp_path / "out", landed, strange, stage=MOTION)


def test_networks_of_different_sizes_have_no_mean(tmp_path: Path, landed: Path) -> None:
    wider = tmp_path / "wider"
    config = tiny(training={"batch": 2}, motion={"width": 48})
    train([AUTOENCODER], config, wider, steps=1, source=FixedClips())
    with pytest.raises(CheckpointError, match="different networks"):
        begun(tmp_path / "out", landed, wider)


def test_the_record_goes_on_and_the_schedule_begins_again(tmp_path: Path, landed: Path) -> None:
    record, _ = begun(tmp_path, landed, steps=3, config=tiny(training={"batch": 2}))
    before = load_checkpoint(landed / f"{AUTOENCODER}.safetensors").record
    assert (record["step"], record["clips"]) == (before["step"] + 3, before["clips"] + 6)
    assert record["seconds"] >= before["seconds"] and record["base"] == before["step"]
    assert record["checks"][: len(before["checks"])] == before["checks"]
    assert record["started_from"][0]["clips"] == before["clips"]
    lines = [json.loads(line) for line in (tmp_path / f"{AUTOENCODER}.log.jsonl").read_text().splitlines()]
    rates = [line["rate"] for line in lines if "rate" in line]
    assert len(rates) == 3 and rates[0] == pytest.approx(tiny().training.learning_rate / 5), "warm-up begins again"


def test_stages_that_are_not_trained_are_brought_along(tmp_path: Path, landed: Path) -> None:
    begun(tmp_path, landed, stage=MOTION)
    for stage in STAGES[:3]:
        name = f"{stage}.safetensors"
        assert (tmp_path / name).read_bytes() == (landed / name).read_bytes()
        assert not (tmp_path / f"{stage}.state.safetensors").exists()


def test_a_state_in_the_folder_comes_first(tmp_path: Path, landed: Path) -> None:
    begun(tmp_path, landed, steps=1)
    record, said = begun(tmp_path, landed, steps=2)
    assert record["step"] == load_checkpoint(landed / f"{AUTOENCODER}.safetensors").record["step"] + 2
    assert len(said) == 1 and "continues from its state" in said[0]


def test_a_missing_part_starts_fresh_and_is_named(tmp_path: Path, landed: Path) -> None:
    smaller = tmp_path / "smaller"
    smaller.mkdir()
    with safe_open(landed / f"{AUTOENCODER}.safetensors", "pt") as file:
        header = file.metadata()
    tensors = load_file(landed / f"{AUTOENCODER}.safetensors")
    missing = [name for name in tensors if name.startswith("head.to_correction")]
    assert missing
    for name in missing:
        del tensors[name]
    save_file(tensors, smaller / f"{AUTOENCODER}.safetensors", metadata=header)
    _, said = begun(tmp_path / "out", smaller)
    assert "new and fresh: head.to_correction" in said[0]
    state = load_file(tmp_path / "out" / f"{AUTOENCODER}.state.safetensors")
    assert not state["model.head.to_correction.weight"].any(), "zero, as this part begins"


@pytest.mark.parametrize(
    ("section", "changed", "said"),
    [
        ("motion", {"flow_head": "absolute"}, "motion.flow_head = affine"),
        ("motion", {"head_dim": 8}, "motion.head_dim = 16"),
        ("motion", {"width": 48}, "expected"),
    ],
)
def test_weights_that_mean_something_else_are_refused(
    tmp_path: Path, landed: Path, section: str, changed: dict[str, object], said: str
) -> None:
    with pytest.raises(CheckpointError, match=said):
        begun(tmp_path, landed, config=tiny(**{section: changed}))
    assert not (tmp_path / f"{AUTOENCODER}.safetensors").exists()


@pytest.mark.parametrize(("name", "value", "since"), [("sigma_data", 0.5, 2), ("noise", "white", 3)])
def test_settings_of_diffusion_matter_to_the_stages_that_read_them(name: str, value: object, since: int) -> None:
    changed, found = tiny(diffusion={name: value}), []
    for stage in STAGES:
        try:
            check_same_meaning(stage, changed, tiny(), "here")
        except CheckpointError as error:
            assert f"diffusion.{name} = " in str(error)
            found.append(stage)
    assert found == list(STAGES[since:])


def test_only_what_is_fresh_may_be_trained_also_after_a_resume(tmp_path: Path, landed: Path) -> None:
    stage = STAGES[2]
    config = tiny(training={"batch": 2, "learning_rate": 1e-2, "fresh_only": True}, shape_denoiser={"borrowed": True})
    given = load_checkpoint(landed / f"{stage}.safetensors").tensors
    earlier: dict[str, Tensor] = {}
    for steps in (2, 4):
        train([stage], config, tmp_path, steps=steps, source=FixedFits(), weights=[str(landed)], say=lambda line: None)
        state = load_file(tmp_path / f"{stage}.state.safetensors")
        now = {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
        assert all(torch.equal(now[name], tensor.to(now[name])) for name, tensor in given.items())
        fresh = now.keys() - given.keys()
        assert {"from_body.weight", "denoiser.borrowed_output.weight"} <= fresh
        moved = [name for name in fresh & earlier.keys() if not torch.equal(now[name], earlier[name])]
        assert not earlier or {"from_body.weight", "denoiser.borrowed_output.weight"} <= set(moved)
        earlier = now


def test_loss_weights_may_differ_and_are_named(tmp_path: Path, landed: Path) -> None:
    check_same_meaning(MOTION, tiny(diffusion={"posterior_mean_fraction": 0.5}), tiny(), "here")
    _, said = begun(tmp_path, landed, config=tiny(motion={"kl_weight": 0.5}, training={"batch": 2}))
    assert "motion.kl_weight 1e-06 -> 0.5" in said[0]


def test_a_folder_without_weights_is_one_sentence(
    tmp_path: Path, landed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [AUTOENCODER, "--config", "tiny", "--steps", "1", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--from", str(tmp_path / "nowhere")]) == 2
    assert "There are no weights" in capsys.readouterr().err and not (tmp_path / "out").exists()
    (tmp_path / f"{AUTOENCODER}.safetensors").write_bytes(b"nothing")
    assert main([*arguments, "--from", str(tmp_path)]) == 2
    assert "damaged" in capsys.readouterr().err


class Net(nn.Module):
    """A network before and after it grew: a zero-initialised part in the middle."""

    def __init__(self, grown: bool) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        if grown:
            self.extra = nn.Linear(4, 4)
            nn.init.zeros_(self.extra.weight)
            nn.init.zeros_(self.extra.bias)
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).relu()
        return self.last(hidden + self.extra(hidden) if hasattr(self, "extra") else hidden)


def steps(net: Net, optimizer: torch.optim.Optimizer, average: AveragedWeights, count: int = 3) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        optimizer.zero_grad()
        net(torch.randn(8, 3, generator=generator)).square().mean().backward()
        optimizer.step()
        average.update(net)


def test_a_state_of_a_smaller_network_goes_on_in_the_grown_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = Net(grown=False)
    average, optimizer = AveragedWeights(small, 0.9), torch.optim.AdamW(small.parameters())
    steps(small, optimizer, average)
    path = tmp_path / "a.state.safetensors"
    counters = {"step": 3, "clips": 24, "seconds": 1.0, "machines": {}, "checks": []}
    save_state(path, small, average, optimizer, counters)

    grown = Net(grown=True)
    grown_average, grown_optimizer = AveragedWeights(grown, 0.9), torch.optim.AdamW(grown.parameters())
    loaded, note = load_state(path, grown, grown_average, grown_optimizer)
    assert loaded == counters and grown_average.updates == 3
    assert note is not None and "new and fresh: extra" in note
    x = torch.randn(16, 3)
    assert torch.allclose(grown(x), small(x), atol=1e-6), "the grown network answers as the small one did"
    moments = grown_optimizer.state
    old, new = optimizer.state[small.last.weight], moments[grown.last.weight]
    assert torch.equal(old["exp_avg"], new["exp_avg"]) and torch.equal(old["exp_avg_sq"], new["exp_avg_sq"])
    assert torch.equal(moments[grown.first.weight]["exp_avg"], optimizer.state[small.first.weight]["exp_avg"])
    assert grown.extra.weight not in moments
    steps(grown, grown_optimizer, grown_average, 1)
    assert moments[grown.extra.weight]["step"] == 1 and moments[grown.last.weight]["step"] == 4
    assert grown.extra.weight.abs().max() > 0


def test_a_state_with_more_than_the_network_is_refused(tmp_path: Path) -> None:
    grown = Net(grown=True)
    average, optimizer = AveragedWeights(grown, 0.9), torch.optim.AdamW(grown.parameters())
    path = tmp_path / "a.state.safetensors"
    save_state(path, grown, average, optimizer, {"step": 0, "clips": 0, "seconds": 0.0, "machines": {}, "checks": []})
    small = Net(grown=False)
    with pytest.raises(CheckpointError, match="another configuration"):
        load_state(path, small, AveragedWeights(small, 0.9), torch.optim.AdamW(small.parameters()))


def test_what_is_of_another_shape_is_refused() -> None:
    own = {"w": torch.ones(4, 5), "new": torch.ones(1)}
    stored = {"w": torch.full((4, 5), 2.0, dtype=torch.float16), "old": torch.ones(1)}
    fitted = partial_load(own, stored, "here")
    assert fitted.tensors["w"].dtype == torch.float32 and fitted.fresh == ("new",) and fitted.unused == ("old",)
    assert torch.equal(fitted.tensors["w"], torch.full((4, 5), 2.0))
    for wrong in (torch.ones(3, 5), torch.ones(4, 3), torch.ones(4), torch.ones(4, 5, 1)):
        with pytest.raises(CheckpointError, match="expected"):
            partial_load(own, {"w": wrong}, "here")
    with pytest.raises(CheckpointError, match="does not fit"):
        partial_load(own, {"other": torch.ones(4, 5)}, "here")
