"""Banks on disk: what is written is read, and anything else is refused in one sentence."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from core.bank.bank_file import FORMAT, VERSION, read_bank, read_contents, write_bank
from core.bank.shape import mirrored
from core.errors import DataError
from tests.bank.creatures import swinging_rod


def test_a_bank_is_read_as_it_was_written(tmp_path):
    written = [swinging_rod("one"), swinging_rod("two", 30.0, 9, "run")]
    write_bank(tmp_path / "bank.safetensors", written)
    read = read_bank(tmp_path / "bank.safetensors")
    assert [shape.name for shape in read] == ["one", "two"]
    assert [shape.clips[0].behaviour for shape in read] == ["walk", "run"]
    for before, after in zip(written, read, strict=True):
        assert after.pack == "rods" and after.author == "a test" and after.licence == "CC0 1.0"
        np.testing.assert_allclose(
            after.posed(after.clips[0]), before.posed(before.clips[0]), atol=2e-3, err_msg="poses"
        )
        np.testing.assert_allclose(after.descriptors, before.descriptors, atol=0.01)


def test_a_damaged_bank_is_named(tmp_path):
    path = tmp_path / "bank.safetensors"
    write_bank(path, [swinging_rod()])
    whole = path.read_bytes()
    for cut in (0, 7, 200, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"bank\.safetensors"):
            read_bank(path)
    with pytest.raises(DataError, match="no bank of motions at"):
        read_bank(tmp_path / "missing")


@pytest.mark.parametrize("shapes", ["[" * 100_000, '[{"clips": [["a", "b", Infinity, 0]]}]', "[7]", "{"])
def test_a_bank_whose_heading_is_nonsense_is_named(tmp_path, shapes):
    path = tmp_path / "bank.safetensors"
    header = {"format": FORMAT, "version": str(VERSION), "shapes": shapes}
    path.write_bytes(save({"nodes": np.zeros((2, 3), np.int16)}, header))
    for read in (read_bank, read_contents):
        with pytest.raises(DataError, match=r"bank\.safetensors is damaged"):
            read(path)


def test_a_bank_without_shapes_is_refused(tmp_path):
    with pytest.raises(DataError):
        write_bank(tmp_path / "bank.safetensors", [])
    assert not list(tmp_path.iterdir())


def test_mirroring_twice_changes_nothing():
    shape = replace(swinging_rod(), heading=0.4)
    twice = mirrored(mirrored(shape))
    assert twice.heading == shape.heading
    np.testing.assert_allclose(twice.posed(twice.clips[0]), shape.posed(shape.clips[0]), atol=1e-6)


def test_a_mirrored_motion_is_the_motion_mirrored():
    shape = swinging_rod()
    other = mirrored(shape)
    expected = shape.posed(shape.clips[0]) * [-1, 1, 1]
    np.testing.assert_allclose(other.posed(other.clips[0]), expected, atol=1e-5)
