"""The weights of the choice come from evidence: what tells good windows from bad ones counts, and nothing else."""

from pathlib import Path

import pytest
import torch

from core.experiments.fit_choice import NAMES, Evidence, fit, main


def requests(count: int = 60, windows: int = 40) -> list[Evidence]:
    """Windows of which those that miss their keys lie far from the truth; the other terms are noise."""
    generator = torch.Generator().manual_seed(3)
    result = []
    for _ in range(count):
        terms = torch.rand(windows, len(NAMES), generator=generator)
        distance = 0.1 + 1.5 * terms[:, 0] + 0.1 * torch.rand(windows, generator=generator)
        result.append(Evidence(terms, distance, torch.ones(windows), "pack"))
    return result


def test_the_term_that_tells_is_weighed_and_noise_is_not():
    weights, loss = fit(requests())
    told = dict(zip(NAMES, weights.tolist(), strict=True))
    assert told["missed"] > 8
    assert max(abs(value) for name, value in told.items() if name != "missed") < 0.3 * told["missed"]
    even = [Evidence(torch.zeros_like(one.terms), one.distance, one.count, one.pack) for one in requests()]
    assert loss < fit(even)[1] - 1


def test_penalties_are_never_rewards():
    turned = [Evidence(-one.terms, one.distance, one.count, one.pack) for one in requests()]
    assert fit(turned)[0][NAMES.index("missed")] >= 0


def test_a_folder_that_is_not_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fit_choice", str(tmp_path / "nowhere")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "is not a folder" in capsys.readouterr().err
