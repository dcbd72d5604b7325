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


def test_the_paths_in_contributing_are_those_of_the_code() -> None:
    """Files that are named exist, and so do functions, methods and classes."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = text[text.index("## The path of a drag") : text.index("## How to add")]
    names = re.findall(r"`([\w./]+)`", paths)
    sources = {
        path: path.read_text(encoding="utf-8")
        for part in ("core", "m2v_studio")
        for path in (ROOT / part).rglob("*.py")
    }
    for name in names:
        if "/" in name or name.endswith(".py"):
            assert any(path.as_posix().endswith("/" + name) for path in sources), name
            continue
        *owner, function = name.split(".")
        found = (
            [text for text in sources.values() if re.search(rf"^class {owner[0]}\b", text, re.M)]
            if owner
            else sources.values()
        )
        named = rf"^ *(def|class) {function}\b|^    {function}: "  # a function, a class, or a field
        assert any(re.search(named, text, re.M) for text in found), name
