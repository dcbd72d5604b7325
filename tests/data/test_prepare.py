"""Sets into shards: what is in them, going on after an interruption, damage, splits, bad clips among good ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from core.cli import command_line as cli
from core.data.data_sets import DATA_SETS
from core.data.prepare import PrepareOptions, PrepareSummary, prepare
from core.data.readers import reader
from core.data.shard_format import open_shard
from core.errors import Cancelled, DataError
from tests.data import layouts
from tests.data.layouts import Moving

QUICK = PrepareOptions(points=128, references=2, clips_per_shard=2)


def animals(root: Path, names: tuple[str, ...] = ("bear_run", "bear_walk", "elk_run", "fox_run", "fox_sit")) -> Path:
    for seed, name in enumerate(names):
        layouts.write_anime(root, name, Moving(seed=seed))
    return root


def described(folder: Path) -> dict[str, dict]:
    shards = [open_shard(path, verify=True) for path in sorted(folder.glob("shard-*.safetensors"))]
    return {clip["name"].rpartition("/")[2]: clip for shard in shards for clip in shard.clips}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_set_becomes_shards(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    summary = prepare("anime", animals(tmp_path / "set"), tmp_path / "out", QUICK, lambda *said: seen.append(said))
    assert (summary.clips, summary.frames, summary.shards, summary.made) == (5, 30, 3, 3)
    assert seen[-1] == (3, 3, "shard-00002.safetensors made") and summary.skipped == ()
    clips = described(tmp_path / "out")
    assert sorted(clips) == ["bear_run", "bear_walk", "elk_run", "fox_run", "fox_sit"]
    clip = clips["elk_run"]
    assert (clip["identity"], clip["motion_name"], clip["category"], clip["fps"]) == ("elk", "run", "animals", 24.0)
    assert clip["provenance"] == {"format": "anime", "file": "elk_run.anime", "key": ""}
    assert "DeformingThings4D" in clip["licence"] and clip["normalization"]["up_axis"] == "z"
    said = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert said["options"]["points"] == 128 and sum(clips for clips, _ in said["splits"].values()) == 5
    assert said["bytes"] == sum(p.stat().st_size for p in (tmp_path / "out").glob("shard-*")) == summary.bytes


def test_the_same_set_gives_the_same_bytes(tmp_path: Path) -> None:
    source = animals(tmp_path / "set")
    prepare("anime", source, tmp_path / "a", QUICK)
    prepare("anime", source, tmp_path / "b", QUICK)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    source, out = animals(tmp_path / "set"), tmp_path / "out"
    prepare("anime", source, tmp_path / "whole", QUICK)

    def stop(done: int, total: int, what: str) -> None:
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        prepare("anime", source, out, QUICK, stop)
    assert sorted(contents(out)) == ["shard-00000.safetensors", "shard-00001.safetensors"]
    (out / ".shard-00002.safetensors.abc.tmp").write_bytes(b"of a run that was killed")
    summary = prepare("anime", source, out, QUICK)
    assert (summary.made, summary.shards, summary.clips) == (1, 3, 5)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "header"])
def test_a_damaged_shard_is_noticed_and_made_again(tmp_path: Path, damage: str) -> None:
    source, out = animals(tmp_path / "set"), tmp_path / "out"
    prepare("anime", source, out, QUICK)
    before = contents(out)
    path = out / "shard-00001.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-100] ^= 1
    if damage == "header":
        place = data.index(b"elk_run")
        data[place : place + 3] = b"owl"
    path.write_bytes({"cut": bytes(data[:-10]), "empty": b""}.get(damage, bytes(data)))
    summary = prepare("anime", source, out, QUICK)
    assert summary.made == 1 and contents(out) == before


def test_what_changed_is_made_again(tmp_path: Path) -> None:
    source, out = animals(tmp_path / "set"), tmp_path / "out"
    assert prepare("anime", source, out, QUICK).made == 3
    assert prepare("anime", source, out, QUICK).made == 0
    changed = source / "animals" / "elk_run" / "elk_run.anime"
    changed.write_bytes(layouts.anime_bytes(Moving(8)))
    assert prepare("anime", source, out, QUICK).made == 1
    assert described(out)["elk_run"]["frames"] == 8
    assert prepare("anime", source, out, PrepareOptions(points=100, references=2, clips_per_shard=2)).made == 3
    for name in ("fox_run", "fox_sit", "elk_run"):
        (source / "animals" / name / f"{name}.anime").unlink()
    assert prepare("anime", source, out, QUICK).clips == 2
    assert sorted(contents(out)) == ["shard-00000.safetensors", "summary.json"]


def test_a_bad_clip_is_skipped_and_named(tmp_path: Path) -> None:
    source = animals(tmp_path / "set")
    (source / "animals" / "elk_run" / "elk_run.anime").write_bytes(b"no animation at all")
    still = Moving(4)
    still.vertices[:] = still.vertices[0]
    layouts.write_anime(source, "owl_sleep", still)
    summary = prepare("anime", source, tmp_path / "out", QUICK)
    why = dict(summary.skipped)
    assert summary.clips == 4 and sorted(why) == ["animals/elk_run/elk_run", "animals/owl_sleep/owl_sleep"]
    assert "elk_run.anime" in why["animals/elk_run/elk_run"] and "no motion" in why["animals/owl_sleep/owl_sleep"]
    again = prepare("anime", source, tmp_path / "out", QUICK)
    assert again.made == 0 and again.skipped == summary.skipped, "a kept shard still says what it lacks"


def test_a_fault_in_a_reader_skips_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import core.data.prepare as module

    real = module.pack_clip

    def faulty(clip: object, entry: object, *rest: int) -> object:
        if getattr(entry, "identity", "") == "elk":
            raise ZeroDivisionError("division by zero")
        return real(clip, entry, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "pack_clip", faulty)
    summary = prepare("anime", animals(tmp_path / "set"), tmp_path / "out", QUICK)
    assert summary.clips == 4 and "ZeroDivisionError" in summary.skipped[0][1]


def test_published_lists_decide_and_leave_out(tmp_path: Path) -> None:
    source = animals(tmp_path / "set")
    (source / "index").mkdir()
    for name, items in {"train": ["bear_run", "bear_walk"], "test_us": ["fox_run"], "test_ui": ["elk_run"]}.items():
        (source / "index" / f"{name}.json").write_text(json.dumps(items))
    summary = prepare("anime", source, tmp_path / "out", QUICK)
    splits = {name: clip["split"] for name, clip in described(tmp_path / "out").items()}
    assert splits == {
        "bear_run": "train",
        "bear_walk": "train",
        "fox_run": "unseen_motion",
        "elk_run": "unseen_identity",
    }
    assert summary.splits["train"] == (2, 12) and summary.splits["validation"] == (0, 0)
    assert [name for name, _ in summary.skipped] == ["animals/fox_sit/fox_sit"]


def test_dfaust_lists_and_the_rule_without_them(tmp_path: Path) -> None:
    source = tmp_path / "set"
    source.mkdir()
    layouts.write_dfaust(source / "registrations_f.hdf5", {"50004_hips": Moving(), "50021_hips": Moving(seed=1)})
    (source / "registrations_m.hdf5").write_bytes(b"cut short")
    summary = prepare("dfaust", source, tmp_path / "rule", QUICK)
    assert described(tmp_path / "rule")["50021_hips"]["split"] == "unseen_identity"
    assert summary.skipped[0][0] == "registrations_m.hdf5" and summary.clips == 2
    (source / "train.lst").write_text("50021_hips\n")
    (source / "test_new_individual.lst").write_text("50004_hips\n")
    prepare("dfaust", source, tmp_path / "lists", QUICK)
    assert described(tmp_path / "lists")["50004_hips"]["split"] == "unseen_identity"


def test_whole_sets_and_lists_elsewhere(tmp_path: Path) -> None:
    source = animals(tmp_path / "set", ("bear_run", "elk_run"))
    all_test = prepare("anime", source, tmp_path / "test", PrepareOptions(points=64, references=1, splits="test"))
    assert all_test.splits["unseen_identity"] == (2, 12)
    (tmp_path / "mine.json").write_text(json.dumps({"train": ["bear_run"], "unseen_motion": ["elk_run"]}))
    options = PrepareOptions(points=64, references=1, splits=str(tmp_path / "mine.json"))
    assert prepare("anime", source, tmp_path / "mine", options).splits["unseen_motion"] == (1, 6)
    for splits, word in ((str(tmp_path / "none"), "Unknown splits"), (str(source), "no lists")):
        with pytest.raises(DataError, match=word):
            prepare("anime", source, tmp_path / "no", PrepareOptions(splits=splits))
    assert not (tmp_path / "no").exists()


def test_another_set_in_the_folder_is_not_overwritten(tmp_path: Path) -> None:
    prepare("anime", animals(tmp_path / "one", ("bear_run",)), tmp_path / "out", QUICK)
    before = contents(tmp_path / "out")
    with pytest.raises(DataError, match="choose another folder"):
        prepare("anime", animals(tmp_path / "two", ("elk_run",)), tmp_path / "out", QUICK)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    "wrong",
    [{"points": 3}, {"references": -1}, {"clips_per_shard": 0}, {"jobs": 0}, {"fps": 0.0}, {"up_axis": "w"},
     {"backend": "slurm"}],
)  # fmt: skip
def test_impossible_options_are_said(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(DataError, match=r"\.$"):
        prepare("anime", animals(tmp_path / "set", ("bear_run",)), tmp_path / "out", PrepareOptions(**wrong))


def test_a_read_only_folder_is_said(tmp_path: Path, unwritable: Path) -> None:
    source = animals(tmp_path / "set", ("bear_run",))
    with pytest.raises(DataError, match="choose another folder"):
        prepare("anime", source, unwritable / "out", QUICK)


def test_layouts_of_points_are_prepared(tmp_path: Path) -> None:
    """Normals of tracked points come out of their local planes, outward by the labelled queries."""
    options = PrepareOptions(points=400, references=3)
    moving = Moving()
    layouts.write_oflow(tmp_path / "oflow" / "1_a", moving)
    layouts.write_cadex(tmp_path / "cadex" / "1_a", moving)
    layouts.write_shape2motion(tmp_path / "s2m" / "door" / "1art", moving)
    for name, folder, up in (("oflow", "oflow", None), ("cadex", "cadex", "y"), ("shape2motion", "s2m", None)):
        chosen = PrepareOptions(**{**vars(options), "up_axis": up})
        assert prepare(name, tmp_path / folder, tmp_path / f"{folder}-out", chosen).skipped == ()
        shard = open_shard(tmp_path / f"{folder}-out" / "shard-00000.safetensors")
        check_against_the_ellipsoid(shard.of_clip(0), shard.clips[0], moving)


def check_against_the_ellipsoid(arrays: dict[str, np.ndarray], clip: dict, moving: Moving) -> None:
    from core.data.rig_format import query_box
    from core.data.shard_format import unpack_normals, unpack_tracks

    scale, center = clip["normalization"]["scale"], np.array(clip["normalization"]["center"])
    points = unpack_tracks(arrays["tracks"], arrays["boxes"]) * scale + center
    for t in range(moving.frames):
        radii = layouts.RADII * [1, moving.growth[t], 1]
        about = (points[t] - [moving.drift[t], 0, 0]) / radii
        assert np.abs(np.linalg.norm(about, axis=1) - 1).max() < 1e-3
        true = about / radii
        true /= np.linalg.norm(true, axis=1, keepdims=True)
        along = (unpack_normals(arrays["normals"][t]) * true).sum(1)
        assert along.min() > 0.5 and along.mean() > 0.98
    assert clip["queries"] == [1536, 1536] and len(clip["references"]) == 3
    for number, reference in enumerate(clip["references"]):
        start, end = query_box(np.array(reference["low"]), np.array(reference["high"]))
        places = (start + arrays["queries"][number] / 65535 * (end - start)) * scale + center
        labels = np.unpackbits(arrays["inside"][number]).astype(bool)
        assert (labels == moving.inside(places, reference["frame"])).mean() > 0.99
        assert 0.4 < labels[:1536].mean() < 0.65  # an ellipsoid fills 0.52 of its box


def several_at_once(tmp_path: Path, options: PrepareOptions) -> tuple[PrepareSummary, PrepareSummary]:
    source = animals(tmp_path / "set")
    (source / "animals" / "elk_run" / "elk_run.anime").write_bytes(b"bad")
    alone = prepare("anime", source, tmp_path / "alone", QUICK)
    together = prepare("anime", source, tmp_path / "together", options)
    for name in ("shard-00000", "shard-00001", "shard-00002"):
        one, other = (tmp_path / out / f"{name}.safetensors" for out in ("alone", "together"))
        assert one.read_bytes() == other.read_bytes()
    return alone, together


def test_several_jobs_give_the_same(tmp_path: Path) -> None:
    alone, together = several_at_once(tmp_path, PrepareOptions(**{**vars(QUICK), "jobs": 2}))
    assert together.skipped == alone.skipped and together.splits == alone.splits


def test_a_dask_cluster_gives_the_same(tmp_path: Path) -> None:
    from dask.distributed import LocalCluster

    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        options = PrepareOptions(**{**vars(QUICK), "backend": "dask", "scheduler": address})
        alone, together = several_at_once(tmp_path, options)
    assert together.skipped == alone.skipped and together.splits == alone.splits


# ---------------------------------------------------------------------- the command


def test_the_command_shows_what_was_made_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = animals(tmp_path / "set", ("bear_run", "elk_run"))
    (source / "animals" / "elk_run" / "elk_run.anime").write_bytes(b"bad")
    arguments = ["prepare", "anime", str(source), str(tmp_path / "out"), "--points", "64", "--licence", "mine [1]"]
    assert cli.main([*arguments, "--splits", "test", "--up", "y", "--fps", "12"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'out'}\n"
    assert "anime: 1 shards (1 made now)" in said.err and "skipped: " in said.err and "elk_run.anime" in said.err
    clip = described(tmp_path / "out")["bear_run"]
    assert (clip["split"], clip["fps"], clip["licence"]) == ("unseen_identity", 12.0, "mine [1]")
    assert clip["normalization"]["up_axis"] == "y"


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["prepare", "anime", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_command_knows_every_layout() -> None:
    assert [reader(name).format for name in DATA_SETS] == list(DATA_SETS)
