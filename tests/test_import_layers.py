"""Who may import whom: the table of the design, checked on the source text and in fresh interpreters."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from core.io.scans.layouts import KINDS as FILE_KINDS
from core.observation_kinds import KINDS, LEARNED

ROOT = Path(__file__).parents[1]
COMMON = {
    "core.sequence",
    "core.key_easing",
    "core.handle_paths",
    "core.handle_record",
    "core.quaternions",
    "core.config",
    "core.errors",
    "core.assets",
    "core.shapes",
    "core.precision",
    "core.scalings",
    "core.atomic",
    "core.usable_cores",
    "core.safe_yaml",
}

# What each part may import of `core`, besides itself. None: everything.
ALLOWED: dict[str, set[str] | None] = {
    "core.geometry": COMMON,
    "core.models": COMMON | {"core.geometry"},  # rotations of the rigid surface
    "core.diffusion": COMMON,
    "core.checkpoint": COMMON,
    "core.io": COMMON | {"core.geometry"},
    "core.rigging": COMMON | {"core.geometry"},
    "core.data": COMMON | {"core.geometry", "core.io"},
    # A record per kind of observation, of what these four do for it.
    "core.observation_kinds": COMMON | {"core.data", "core.models", "core.geometry", "core.io"},
    "core.bank": COMMON | {"core.geometry", "core.io"},
    "core.training": COMMON
    | {
        "core.observation_kinds",
        "core.data",
        "core.models",
        "core.diffusion",
        "core.geometry",
        "core.bank",
        "core.checkpoint",
    },
    "core.pipelines": COMMON
    | {
        "core.observation_kinds",
        "core.models",
        "core.diffusion",
        "core.geometry",
        "core.bank",
        "core.checkpoint",
        "core.rigging",
    },
    "core.evaluation": COMMON
    | {
        "core.pipelines",
        "core.observation_kinds",
        "core.data",
        "core.models",
        "core.diffusion",
        "core.geometry",
        "core.io",
        "core.bank",
        "core.checkpoint",
    },
    "core.experiments": None,
    "core.cli": None,
    "m2v_studio": COMMON | {"core.pipelines", "core.io", "core.geometry", "core.bank"},
}
# Started by `python -m core.evaluation`: nothing but a call of the command.
ENTRIES = {"core.evaluation.__main__"}

# Commands that draw, which only the editor's package can.
DRAWN = {"core.cli.demo_command", "core.cli.render_command"}

# What each part of the editor may import of the editor, besides itself; the window (app, demo, bench) may import all.
STUDIO: dict[str, set[str]] = {
    "document": set(),
    "render": set(),
    "work": {"document", "render"},
    "studio": {"document", "work"},
    "context": {"document", "render", "work", "studio", "view"},
    "view": {"document", "context"},
    "panels": {"document", "render", "context", "view"},
}

# The only parts of the editor that may know Polyscope and its immediate-mode interface: the window and what draws in it
# or listens to it, the hands that work it for the demo and the tests, and the films that are drawn off-screen.
POLYSCOPE = {"app", "view", "panels", "driver", "demo", "render"}


def modules() -> list[Path]:
    return sorted(path for package in ("core", "m2v_studio") for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of what a file imports anywhere: inside functions too, and for the type checker only."""
    package = name_of(path).split(".")[: None if path.name == "__init__.py" else -1]
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def within(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def test_there_are_modules_to_check() -> None:
    names = {name_of(path) for path in modules()}
    assert {"core.training.loop", "core.models.layers", "m2v_studio.app"} <= names
    parts = {".".join(name.split(".")[:2]) for name in names if name.startswith("core.")}
    assert parts - COMMON <= set(ALLOWED), "a new part of core needs a line in the table"


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_imports_only_what_the_design_allows(part: str) -> None:
    allowed = ALLOWED[part]
    if allowed is None:
        return
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in modules()
        if within(name_of(path), part) and name_of(path) not in ENTRIES
        for name in sorted(imports(path))
        if name.split(".")[0] in ("core", "m2v_studio")
        and not within(name, part)
        and not any(within(name, other) for other in allowed)
    ]
    assert wrong == []


def test_common_modules_stand_on_each_other_only() -> None:
    for path in modules():
        if name_of(path) in COMMON:
            own = {name for name in imports(path) if within(name, "core") and name != "core"}
            assert all(any(within(name, common) for common in COMMON) for name in own), name_of(path)


def test_core_never_imports_the_editor_except_from_commands_that_draw() -> None:
    for path in modules():
        if within(name_of(path), "core") and name_of(path) not in DRAWN:
            assert not any(within(name, "m2v_studio") for name in imports(path)), name_of(path)


@pytest.mark.parametrize("part", sorted(STUDIO))
def test_a_part_of_the_editor_imports_only_what_the_design_allows(part: str) -> None:
    allowed = [f"m2v_studio.{other}" for other in (part, *STUDIO[part])]
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in modules()
        if within(name_of(path), f"m2v_studio.{part}")
        for name in sorted(imports(path))
        if within(name, "m2v_studio") and not any(within(name, other) for other in allowed)
    ]
    assert wrong == []


def test_the_document_knows_no_torch() -> None:
    for path in modules():
        if within(name_of(path), "m2v_studio.document"):
            assert not any(within(name, "torch") for name in imports(path)), name_of(path)


def test_no_import_circle() -> None:
    """Imports inside functions and for the type checker count too: every module can be read after those it names."""
    names = {name_of(path): path for path in modules()}

    def module(name: str) -> str | None:
        while name and name not in names:
            name = name.rpartition(".")[0]
        return name or None

    needs = {name: {module(other) for other in imports(path)} & set(names) - {name} for name, path in names.items()}
    while ready := {name for name, others in needs.items() if not others}:
        needs = {name: others - ready for name, others in needs.items() if name not in ready}
    assert needs == {}, "these import each other, or what does"


def test_a_file_name_stands_for_one_concept_and_a_file_stays_short() -> None:
    core = [path for path in modules() if within(name_of(path), "core") and not path.name.startswith("__")]
    assert [name for name, count in Counter(path.name for path in core).items() if count > 1] == []
    long = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert {name: lines for name, lines in long.items() if lines > 350} == {}


def test_a_class_name_stands_for_one_concept() -> None:
    """In both packages together, names of one file alone (`_Name`) among them."""
    places: dict[str, list[str]] = {}
    for path in modules():
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name_of(path))
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert twice == {}


def test_polyscope_is_known_to_the_window_only() -> None:
    for path in modules():
        if any(within(name, "polyscope") for name in imports(path)):
            package, *rest = name_of(path).split(".")
            assert package == "m2v_studio" and rest[0] in POLYSCOPE, f"{name_of(path)} imports polyscope"


def run_python(code: str) -> None:
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-2000:]


def test_training_runs_on_a_bare_machine() -> None:
    """With torch, numpy, scipy, pyyaml, safetensors and accelerate alone; one step is really made."""
    run_python("""
import importlib.util, sys, tempfile
from importlib.machinery import PathFinder
from pathlib import Path

MISSING = ("trimesh", "polyscope", "igl", "skimage", "pxr", "rich", "jaxtyping", "PIL", "pygltflib", "matplotlib")

class Bare(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in MISSING else PathFinder.find_spec(name, path, target)

sys.meta_path[:] = [Bare if finder is PathFinder else finder for finder in sys.meta_path]
assert not any(importlib.util.find_spec(name) for name in MISSING)
import core.training.loop
from core.training.__main__ import main
core.training.loop.CHECK_CLIPS = 2
with tempfile.TemporaryDirectory() as folder:
    assert main(["all", "--config", "tiny", "--set", "training.batch=2", "--steps", "1", "--out", folder]) == 0
    assert len(list(Path(folder).glob("*.png"))) == 2
""")


def test_the_editor_opens_without_torch() -> None:
    """Importing torch takes seconds: the worker does it in the background once the window is there."""
    run_python("import sys, m2v_studio.app; assert 'torch' not in sys.modules, 'm2v_studio.app imports torch'")


def test_the_command_line_starts_without_torch_and_without_a_window() -> None:
    run_python("import sys, core.cli; assert not {'torch', 'polyscope'} & set(sys.modules), sorted(sys.modules)")


def test_only_its_record_tells_a_kind_of_observation_by_name() -> None:
    """So that a new kind touches its record, its reader and what these name; data sets' own words are other words."""
    names = {kind.name for kind in (*KINDS, *FILE_KINDS)} | set(LEARNED)
    elsewhere = []
    for path in modules():
        name = name_of(path)
        own = ("core.observation_kinds", "core.io.scans", "core.sequence", "core.data.readers")
        if any(within(name, part) for part in own):
            continue
        for node in nodes(path):
            if isinstance(node, ast.Compare):
                words = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                fields = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
                told = words & names or fields & {"learned_as", "modality"}
                elsewhere += [f"{name}:{node.lineno}"] if told else []
    assert elsewhere == []
