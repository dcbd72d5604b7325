"""Rigged glTF as data: clips as sequences, the rig bank, and batches drawn from it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.data.clips import SPLITS
from core.data.rig_bank import RigSource
from core.data.rig_files import clip_split, rig_files
from core.data.rig_prepare import prepare_rigs, prepared_bank
from core.data.rig_tables import CATEGORY_NUMBERS
from core.errors import DataError
from core.io.gltf.clip_reader import read_clip
from core.io.gltf.scene import GltfScene, read_gltf_mesh
from tests.glb_writer import arm, breathing_box

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "rigs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms (5 clips each) and, as an identity that is never trained on, a box with a morph target."""
    root = tmp_path_factory.mktemp("rigs")
    for name in ("animals", "humans", "objects"):
        (root / name).mkdir()
    arm(5).save(root / "animals" / "Crane.glb")
    arm(5, duration=0.25).save(root / "humans" / "Quick.glb")
    breathing_box().save(root / "objects" / "Chest.glb")
    return root


@pytest.fixture(scope="module")
def source(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RigSource:
    seen: list[str] = []
    out = tmp_path_factory.mktemp("bank") / "rigs.safetensors"
    prepare_rigs(folder, out, lambda done, total, name: seen.append(f"{done}/{total} {name}"), pool=1024)
    assert seen == ["1/3 Crane.glb", "2/3 Quick.glb", "3/3 Chest.glb"]
    assert [path.name for path in out.parent.iterdir()] == ["rigs.safetensors"]
    return RigSource(out)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_agreed_split() -> None:
    assert clip_split("Stag", 0, 13) == "unseen_identity"
    assert [clip_split("Fox", i, 12) for i in (0, 3, 4, 7, 11)] == ["train", *["unseen_motion"] * 1, "train"] + [
        "unseen_motion"
    ] * 2
    assert clip_split("Wasp", 2, 3) == "train"


def test_a_clip_is_the_motion_of_the_mesh(folder: Path) -> None:
    path = folder / "animals" / "Crane.glb"
    sequence, mesh = read_clip(path, "bend1"), read_gltf_mesh(path)
    assert sequence.frames == 49 and sequence.fps == 24.0
    assert np.array_equal(sequence.faces, mesh.faces) and np.allclose(sequence.vertices[0], mesh.vertices, atol=1e-6)
    part = read_clip(path, 1, frames=5, start=20)
    assert np.array_equal(part.vertices, sequence.vertices[20:25])
    top = mesh.vertices[:, 1] > 1.5
    assert np.allclose(sequence.vertices[24][top].mean(0), [-np.cos(np.radians(10)), 1 - np.sin(np.radians(10)), 0])
    held = read_clip(path, 1, frames=60)
    assert np.array_equal(held.vertices[59], held.vertices[48])


def test_unknown_clips_and_folders_are_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its clips are: bend0, bend1"):
        read_clip(folder / "animals" / "Crane.glb", "walk")
    with pytest.raises(DataError, match="out of range"):
        read_clip(folder / "animals" / "Crane.glb", 0, fps=0)
    with pytest.raises(DataError, match="holds no"):
        rig_files(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        prepare_rigs(tmp_path / "missing", tmp_path / "bank.safetensors")
    with pytest.raises(DataError, match="not a folder"):
        prepare_rigs(folder, tmp_path / "missing" / "bank.safetensors")


@pytest.mark.parametrize("split", SPLITS)
def test_batches_keep_the_contract(source: RigSource, split: str) -> None:
    clips = source.sample(16, 9, 200, generator(), split, occupancy_queries=100)
    assert clips.points.shape == (16, 9, 200, 3) and clips.normals.shape == (16, 200, 3)
    assert torch.isfinite(clips.points).all()
    low, high = clips.points[:, 0].amin(1), clips.points[:, 0].amax(1)
    assert torch.allclose(low + high, torch.zeros(16, 3), atol=1e-5)
    assert torch.allclose((high - low).amax(1), torch.ones(16), atol=1e-5)
    assert torch.allclose(clips.normals.norm(dim=-1), torch.ones(16, 200), atol=1e-4)
    assert ((clips.fps >= 12) & (clips.fps < 2000)).all()
    assert clips.occupancy_points is not None and clips.occupancy is not None
    assert clips.occupancy_points.shape == (16, 100, 3) and clips.occupancy.unique().tolist() == [0, 1]
    assert clips.occupancy_points[:, :50].abs().max() < 0.6  # the box of side 1.1, or the pose's own box
    again = source.sample(16, 9, 200, generator(), split, occupancy_queries=100)
    assert torch.equal(again.points, clips.points) and torch.equal(again.occupancy, clips.occupancy)


def test_splits_do_not_overlap(source: RigSource) -> None:
    tables = source.tables
    names = [(rig["file"], clip["index"]) for rig in tables.rigs for clip in rig["clip_list"]]
    drawn = {split: {names[i] for i in tables.clips[split].items.tolist()} for split in SPLITS}
    assert drawn["unseen_identity"] == {("Chest", 0)}
    assert drawn["unseen_motion"] == {("Crane", 3), ("Quick", 3)}
    assert drawn["train"] == {(name, i) for name in ("Crane", "Quick") for i in (0, 1, 2, 4)}
    posed = {s: {names[int(tables.reference_clip[i])] for i in tables.references[s].items} for s in SPLITS}
    assert all(posed[split] <= drawn[split] for split in SPLITS)
    category = source.sample(32, 3, 16, generator(), "unseen_identity").category
    assert set(category.tolist()) == {CATEGORY_NUMBERS["objects"]}


def test_points_lie_on_the_skinned_mesh_and_normals_point_out(folder: Path, source: RigSource) -> None:
    import igl

    path = folder / "animals" / "Crane.glb"
    sequence = read_clip(path, 2)
    rest = GltfScene(path).positions()[0]
    low, high = rest.min(0), rest.max(0)
    chosen = torch.arange(source.pool)[None]
    moved, normals = source.tables.skin(torch.tensor([2]), torch.tensor([[13.0, 24.0]]), chosen)
    for t, frame in enumerate((13, 24)):
        vertices = (sequence.vertices[frame].astype(np.float64) - (low + high) / 2) / (high - low).max()
        distance, _, _ = igl.point_mesh_squared_distance(
            moved[0, t].double().numpy(), vertices, sequence.faces.astype(np.int64)
        )
        assert np.sqrt(distance.max()) < 1e-4
    vertices = (sequence.vertices[13].astype(np.float64) - (low + high) / 2) / (high - low).max()
    beside = (moved[0, 0] + 0.003 * torch.nn.functional.normalize(normals[0], dim=-1)).double().numpy()
    inside = igl.fast_winding_number(vertices, sequence.faces.astype(np.int64), beside) > 0.5
    height = source.tables.hang[0].sum(1)[:, 1].abs().numpy()  # 0 where the arm's two boxes touch inside it
    assert inside[height > 0.02].mean() < 0.01 and (height > 0.02).mean() > 0.8


def test_occupancy_of_a_growing_box_is_exact(source: RigSource) -> None:
    clips = source.sample(64, 5, 1000, generator(3), "unseen_identity", occupancy_queries=2000)
    half = clips.points[:, 0].amax(1)[:, None]  # [B, 1, 3] half sides of the box at frame 0
    depth = (half - clips.occupancy_points.abs()).amin(-1)
    clear = depth.abs() > 0.01
    assert torch.equal(clips.occupancy[clear] > 0.5, depth[clear] > 0)
    share = clips.occupancy[:, :1000].mean(1)
    expected = (2 * half[:, 0]).prod(-1) / 1.1**3
    assert (share - expected).abs().max() < 0.06  # uniform in the box of side 1.1, whatever the pose's own box


def test_morphs_move_and_the_window_stays_inside_an_open_clip(source: RigSource) -> None:
    heights = source.sample(32, 9, 300, generator(1), "unseen_identity").points[..., 1].amax(-1)
    steps = heights.diff(dim=1)
    assert (steps > 0).all() and (steps.std(1) < 1e-4).all()  # it only grows, evenly: never clamped, never wrapped


def test_loops_wrap_and_training_clips_turn_about_y(source: RigSource) -> None:
    tables = source.tables
    assert tables.clip_cyclic[0] and not tables.clip_cyclic[-1]
    chosen = torch.arange(64)[None]
    period = float(tables.clip_period[0])
    start = tables.skin(torch.tensor([0]), torch.tensor([[0.0]]), chosen)[0]
    end = tables.skin(torch.tensor([0]), torch.tensor([[period - 1e-3]]), chosen)[0]
    assert (start - end).abs().max() < 1e-3
    trained = source.sample(64, 60, 64, generator(2)).points  # longer than the quick clips: they go round
    held_out = source.sample(64, 60, 64, generator(2), "unseen_motion").points
    assert torch.isfinite(trained).all()
    depth = [(p[:, 0].amax(1) - p[:, 0].amin(1))[:, 2] for p in (trained, held_out)]
    assert depth[0].std() > 3 * depth[1].std()  # the arm bends in the plane z = 0 unless it is turned


def test_what_a_source_cannot_do_is_said(source: RigSource, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 to 1024"):
        source.sample(1, 2, 5000, generator())
    with pytest.raises(DataError, match="Unknown split"):
        source.sample(1, 2, 10, generator(), "test")
    other = tmp_path / "other.safetensors"
    with pytest.raises(DataError, match="m2v prepare"):
        RigSource(other)
    other.write_bytes(source.path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        RigSource(other)
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(1)}, other)
    with pytest.raises(DataError, match="not a rig bank"):
        RigSource(other)


def test_a_folder_is_prepared_once_into_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = prepared_bank(folder)
    stamp = first.stat().st_mtime_ns
    assert prepared_bank(folder) == first and first.stat().st_mtime_ns == stamp
    assert prepared_bank(first) == first


def test_a_bank_needs_torch_numpy_and_safetensors_only() -> None:
    root = Path(__file__).resolve().parents[2]
    seen, queue, outside = set(), ["core.data.rig_bank", "core.data.rig_prepare"], set()
    while queue:
        module = queue.pop()
        path = root / (module.replace(".", "/") + ".py")
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        for node in ast.parse(path.read_text()).body:  # imports inside functions happen only when they are called
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            queue += [name for name in names if name.startswith("core.")]
            outside |= {name.split(".")[0] for name in names}
    assert "core.io.gltf.scene" in seen
    assert outside - set(sys.stdlib_module_names) <= {"core", "numpy", "torch", "safetensors"}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared rigs")
def test_real_rigs_give_sane_batches(tmp_path: Path) -> None:
    for name in ("animals/Wasp", "objects/Lever", "humans/modular_man_Casual2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.glb").symlink_to(SHARED / f"{name}.glb")
    source = RigSource(prepare_rigs(tmp_path, tmp_path / "bank.safetensors", references=2, pool=512))
    clips = source.sample(96, 17, 64, generator(), occupancy_queries=64)
    assert torch.isfinite(clips.points).all() and clips.points.abs().max() < 3
    assert set(clips.category.tolist()) == {CATEGORY_NUMBERS[name] for name in ("animals", "humans", "objects")}
    still = clips.category == CATEGORY_NUMBERS["humans"]  # a rig without clips teaches shape only
    assert (clips.points[still] == clips.points[still][:, :1]).all()
    assert (clips.points[~still] - clips.points[~still][:, :1]).abs().amax((1, 2, 3)).min() > 1e-3
