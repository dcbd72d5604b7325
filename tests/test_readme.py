"""What the README says runs as it says it, and what it shows is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from core.assets import asset_path
from core.cli import main
from core.cli.command_line import parser
from core.io.mesh.mesh_reader import read_mesh
from core.io.sequence_file import read_sequence

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(after: str) -> str:
    """The first fenced block after a text."""
    return re.search(r"```\w*\n(.*?)```", README[README.index(after) :], re.S)[1]  # type: ignore[index]


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "assets").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pictures_and_links_exist(page: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_pages_name_exist(page: Path) -> None:
    for name in re.findall(r"`((?:core|m2v_studio|assets|tests)/[\w./-]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_commands_exist() -> None:
    known = parser().format_help()
    for command in re.findall(r"`m2v ([a-z]+)\b|^m2v ([a-z]+)\b|bin/m2v ([a-z]+)\b", README, re.M):
        assert "".join(command) in known, command


def test_the_python_example(tmp_path: Path) -> None:
    code = block("<!-- python -->").replace('load("small")', 'load("small", "cpu")').replace("seeds=4", "seeds=1")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    bundled = read_mesh(asset_path("meshes", "hound.glb"))
    assert read_mesh(tmp_path / "hound.glb").vertices.shape == bundled.vertices.shape


def test_the_handle_file_and_the_animate_command(tmp_path: Path) -> None:
    example = yaml.safe_load(block("```\n\n```yaml".removeprefix("```\n\n")))
    mesh = read_mesh(asset_path("meshes", "hound.glb"))
    assert all(handle["vertex"] < len(mesh.vertices) for handle in example["handles"])
    handles = tmp_path / "handles.yaml"
    handles.write_text(yaml.safe_dump(example), encoding="utf-8")
    out = tmp_path / "motion.npz"
    source = str(asset_path("meshes", "hound.glb"))
    command = ["animate", source, "--handles", str(handles), "--out", str(out), "--seeds", "1", "--device", "cpu"]
    assert main(command) == 0
    assert read_sequence(out).frames == example["frames"]


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SOURCES = {
    path: path.read_text(encoding="utf-8") for part in ("core", "m2v_studio") for path in (ROOT / part).rglob("*.py")
}


def defines(text: str, name: str) -> bool:
    """Whether a file has this class, function, method (`Class.method`), field or constant."""
    *owner, last = name.split(".")
    if owner and not re.search(rf"^class {owner[0]}\b", text, re.M):
        return False
    return re.search(rf"^ *(def|class) {last}\b|^(    )?{last}(: .*)? = |^    {last}: ", text, re.M) is not None


def files_named(name: str) -> list[str]:
    """The text of every file that a page means by `picking.py` or `view/picking.py`."""
    return [text for path, text in SOURCES.items() if path.as_posix().endswith("/" + name)]


def test_what_contributing_names_is_in_the_code() -> None:
    """Files, folders and packages that are named exist, and so do functions, methods, classes and fields."""
    for name in re.findall(r"`([\w./]+)`", CONTRIBUTING):
        if name == "bpy" or (ROOT / name).exists() or (ROOT / name.replace(".", "/")).exists():
            continue
        if name.endswith(".py"):
            assert files_named(name), name
        else:
            assert any(defines(text, name) for text in SOURCES.values()), name


def test_what_contributing_places_in_a_file_is_in_that_file() -> None:
    """Of every "`name` in `file.py`", on its two paths and in the table of what to add."""
    placed = re.findall(r"`([\w.]+)`(?:\([^)]*\))?\s+(?:in|of)\s+`([\w./]+\.py)`", CONTRIBUTING)
    assert len(placed) > 25
    for name, file in placed:
        assert any(defines(text, name) for text in files_named(file)), f"{name} is not in {file}"
