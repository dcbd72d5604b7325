"""A session on a GPU refuses data it cannot use before any time is spent on training."""

from pathlib import Path

import pytest

from core.experiments.gpu_session import main


@pytest.mark.parametrize("content", [None, b"not packed"])
def test_a_packed_rig_bank_that_cannot_be_unpacked_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    rigs = tmp_path / "rigs.safetensors.xz"
    if content is not None:
        rigs.write_bytes(content)
    assert main(["--rigs", str(rigs), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "cannot be unpacked" in said and said.count("\n") == 1
