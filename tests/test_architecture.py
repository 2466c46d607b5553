"""Which module may import which, how long a function may be, and what is never done.

Everything here is read from the source files, not from what happens to be imported.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests import ROOT

SRC = ROOT / "src" / "meshproof"
#: Each room of src/meshproof imports only from the rows above its own.
ORDER = (
    ("__init__", "apps", "base"),
    ("documents", "options"),
    ("inventory",),
    ("rules",),
    ("oracle", "lint", "verdict"),
    ("mesh",),
    ("traffic",),
    ("run",),
    ("user_rules",),
    ("convert",),
    ("plugin",),
    ("cli",),
    ("__main__",),
)
#: The folders that are installed as sub-packages. The engine finds them by name, late.
DATA = ("fixtures", "manifests", "reports", "suites")
#: Modules that are pytest's side of the engine; the rest of `plugin` names its types alone.
PYTEST = (
    *("plugin/__init__.py", "plugin/endings.py", "plugin/evidence.py"),
    *("plugin/internal_errors.py", "plugin/own_processes.py", "plugin/recorder.py"),
    *("plugin/junitxml.py", "plugin/run_context.py"),
    *("plugin/verdicts.py", "cli/test.py"),
)
HEAVY = (
    *("cryptography", "jinja2", "kubernetes", "numpy", "psutil", "pycurl", "pytest_kubernetes"),
    *("requests", "rich", "scipy", "statsmodels", "tenacity", "urllib3", "yaml"),
)
NO_NETWORK = ("documents", "rules", "inventory", "oracle", "lint", "verdict")
NETWORK = (
    *("asyncio", "http", "pycurl", "requests", "socket", "subprocess", "urllib.request", "urllib3"),
)


@dataclass(frozen=True)
class Import:
    """A module that is imported, by which file and line, and how."""

    file: Path
    line: int
    module: str
    late: bool
    typing_only: bool

    @property
    def importer(self) -> str:
        """The name below meshproof of the module or sub-package that imports."""
        return self.file.relative_to(SRC).parts[0].removesuffix(".py")

    @property
    def imported(self) -> str:
        """The same of what is imported; empty for what is not ours."""
        package, *rest = self.module.split(".")[:2]
        if package != "meshproof":
            return ""
        name = "".join(rest)
        ours = name in DATA or (SRC / name).is_dir() or (SRC / f"{name}.py").exists()
        return name if name and ours else "__init__"

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def python_files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(found) > 10 * len(folders) / 4, f"too few files in {folders}: {len(found)}"
    return found


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports_of(file: Path) -> Iterator[Import]:
    """Yield each import of a file; `from meshproof import x` is one of meshproof.x."""
    pending: list[tuple[ast.AST, bool, bool]] = [(tree(file), False, False)]
    while pending:
        node, late, typing_only = pending.pop()
        for name in _modules(node, file):
            yield Import(file, getattr(node, "lineno", 0), name, late, typing_only)
        late = late or isinstance(node, ast.FunctionDef)
        typing_only = typing_only or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )
        pending += [(child, late, typing_only) for child in ast.iter_child_nodes(node)]


def _modules(node: ast.AST, file: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = _name(file).split(".")[: -node.level] if node.level else []
    module = ".".join([*package, *([node.module] if node.module else [])])
    ours = module.partition(".")[0] == "meshproof"
    if ours and (SRC / Path(*module.split(".")[1:])).is_dir():
        return [f"{module}.{name.name}" for name in node.names]
    return [module]


def _name(file: Path) -> str:
    return ".".join(("meshproof", *file.relative_to(ROOT).with_suffix("").parts[2:]))


@cache
def engine() -> tuple[Import, ...]:
    found = tuple(one for file in python_files("src") for one in imports_of(file))
    assert len(found) > 200
    return found


@cache
def imports_by_module() -> dict[str, list[str]]:
    """Return module -> what it imports, by dotted names."""
    imported: dict[str, list[str]] = {}
    for one in engine():
        imported.setdefault(_name(one.file), []).append(one.module)
    return imported


def rank(name: str) -> int:
    """Return the row of a module. Raises LookupError for one that has no place yet."""
    for index, row in enumerate(ORDER):
        if name in row:
            return index
    raise LookupError(f"give {name} its place in ORDER")


def test_every_module_has_its_place_in_the_order() -> None:
    modules = {path.stem for path in SRC.iterdir() if path.suffix == ".py" or path.is_dir()}
    for name in modules - {"__pycache__"}:
        assert rank(name) >= 0
    assert {name for row in ORDER for name in row} == modules - {"__pycache__"}
    assert len(ORDER) <= 15


def test_imports_go_one_way() -> None:
    wrong = [
        str(one)
        for one in engine()
        if one.imported not in ("", one.importer, *DATA)
        and rank(one.imported) >= rank(one.importer)
    ]
    assert not wrong


def test_the_oracle_and_what_envoy_does_share_nothing_but_the_model() -> None:
    def reached(start: str) -> set[str]:
        """Return every module that a module stands on, itself included."""
        found: set[str] = set()
        pending = [start]
        while pending:
            name = pending.pop()
            if name in found:
                continue
            found.add(name)
            pending += imports_by_module().get(name, [])
        return {name for name in found if name.startswith("meshproof.")}

    envoy = reached("meshproof.mesh.envoy.translate")
    assert {"meshproof.rules.model", "meshproof.mesh.envoy.matching"} <= _bare(envoy)
    oracle = reached("meshproof.oracle.derive")
    assert {"meshproof.rules.model", "meshproof.oracle.conditions"} <= _bare(oracle)
    assert not [name for name in envoy if name.startswith("meshproof.oracle")]
    assert not [name for name in oracle if name.startswith("meshproof.mesh")]


def _bare(names: set[str]) -> set[str]:
    """Add the module of every `module.thing`."""
    return names | {name.rpartition(".")[0] for name in names}


#: Keys that only objects beside the rules have, and the functions that look into documents.
INVENTORY_KEYS = {"subsets", "servers", "listeners", "targetPort", "workloadSelector"}
LOOKS = {"entries", "find_values", "get", "need"}


def test_objects_beside_the_rules_are_read_in_one_room() -> None:
    """Apart from mesh/cluster, which also looks into plain answers of a cluster's API."""
    readers = {
        str(file.relative_to(SRC))
        for file in python_files("src")
        if not file.is_relative_to(SRC / "mesh" / "cluster")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in LOOKS
        and {word.value for word in node.args if isinstance(word, ast.Constant)} & INVENTORY_KEYS
    }
    assert {"inventory/destination_rules.py", "inventory/services.py"} <= readers
    assert not {file for file in readers if not file.startswith("inventory/")}


def test_the_verdict_knows_neither_meshes_nor_traffic() -> None:
    imported = {one.imported for one in engine() if one.importer == "verdict"}
    assert "verdict" in imported
    assert not imported & {"mesh", "traffic", "apps"}


def test_only_the_plugin_side_imports_pytest() -> None:
    wrong = [
        str(one)
        for one in engine()
        if one.module.partition(".")[0] in ("pytest", "_pytest", "pluggy")
        and str(one.file.relative_to(SRC)) not in PYTEST
        and not (one.importer == "plugin" and one.typing_only)
    ]
    assert not wrong
    assert not [
        one
        for file in python_files("reports")
        for one in imports_of(file)
        if one.module == "pytest"
    ]


def test_the_data_folders_are_never_imported_by_statement() -> None:
    """But by plugin.py, late: it runs to the right of everything, once tests are collected.

    It needs the dialects in which a promise's rules are written to parametrize the test.
    """
    found = [one for one in engine() if one.imported in DATA]
    allowed = [one for one in found if one.importer == "plugin" and one.late]
    assert [one.module for one in allowed] == ["meshproof.manifests"]
    assert not [str(one) for one in found if one not in allowed]


def test_apps_run_anywhere() -> None:
    """They are mounted into a cluster's Python images one by one: standard library alone."""
    wrong = [
        str(one)
        for one in engine()
        if one.importer == "apps"
        and one.imported != "apps"
        and one.module.partition(".")[0] not in sys.stdlib_module_names
    ]
    assert not wrong


def test_what_is_right_is_decided_without_a_network() -> None:
    wrong = [
        str(one)
        for one in engine()
        if one.importer in NO_NETWORK and one.module.startswith(NETWORK)
    ]
    assert not wrong


def test_kubernetes_is_for_the_cluster_alone() -> None:
    wrong = [
        str(one)
        for one in engine()
        if one.module.partition(".")[0] in ("kubernetes", "pytest_kubernetes")
        and not one.file.is_relative_to(SRC / "mesh" / "cluster")
    ]
    assert not wrong


def test_the_plugin_starts_light() -> None:
    code = "import json, sys, meshproof.plugin; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert "meshproof.plugin" in loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("folder", ["src", "suites", "fixtures", "reports"])
def test_functions_have_60_lines_at_most(folder: str) -> None:
    wrong = []
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                place = f"{file.relative_to(ROOT)}:{node.lineno}"
                wrong += [f"{place} {node.name}: {length} lines"] if length > 60 else []
    assert not wrong


#: Beside mesh/process, the one place for waiting: an app without file handles is no wait for
#: readiness, and apps have no mesh/process; an echo answers late where it is asked to; libcurl may
#: have nothing to wait for while it looks up a name.
SLEEPERS = (
    *("src/meshproof/mesh/process/processes.py", "src/meshproof/apps/serve.py"),
    *("src/meshproof/apps/echo_pod.py", "src/meshproof/mesh/transfers.py"),
)


def test_nobody_sleeps() -> None:
    wrong = []
    for file in python_files("src", "suites", "fixtures", "reports"):
        for node in ast.walk(tree(file)):
            named = isinstance(node, ast.Attribute) and node.attr == "sleep"
            taken = isinstance(node, ast.ImportFrom) and any(
                one.name == "sleep" for one in node.names
            )
            if (named or taken) and str(file.relative_to(ROOT)) not in SLEEPERS:
                wrong.append(f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert not wrong


def test_what_a_run_knows_is_in_its_context() -> None:
    """And not in attributes of pytest's configuration, where no type holds it."""
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for file in python_files("src", "fixtures", "reports")
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("setattr", "getattr")
        and ast.unparse(node.args[0]) in ("config", "self._config", "item.config", "request.config")
    ]
    assert not wrong


READS = {"load", "load_all", "compose", "compose_all", "parse", "scan"}
SAFE = {"yaml.SafeLoader", "yaml.CSafeLoader"}
UNSAFE = {"Loader", "CLoader", "FullLoader", "CFullLoader", "UnsafeLoader", "CUnsafeLoader"}
UNSAFE |= {f"{how}_load{all_}" for how in ("full", "unsafe") for all_ in ("", "_all")}


def test_yaml_is_read_by_safe_loaders_only() -> None:
    seen, wrong = 0, []
    for file in python_files("src", "suites", "fixtures", "reports"):
        for node in ast.walk(tree(file)):
            place = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ImportFrom) and node.module == "yaml":
                wrong.append(f"{place}: names of yaml are written with yaml.")
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "yaml":
                wrong += [f"{place}: yaml.{node.attr}"] if node.attr in UNSAFE else []
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {
                f"yaml.{one}" for one in READS
            }:
                seen += 1
                loaders = {ast.unparse(one.value) for one in node.keywords if one.arg == "Loader"}
                wrong += [f"{place}: {ast.unparse(node)}"] if not loaders or loaders - SAFE else []
    assert seen >= 2, "documents/parser.py reads YAML"
    assert not wrong
