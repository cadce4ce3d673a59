"""Test that imports point one way, and that ``import ebagx`` needs only NumPy and SciPy."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import ebagx

PACKAGE = Path(ebagx.__file__).parent

# The ranks go from the bottom up; a module imports from its own rank or from those below.
RANKS = (
    {"_kernels"},
    {"_core"},
    {"gradients"},
    {"optim"},
    {"_training"},
    {"accumulation", "functional", "module", "quantized"},
    {"collection", "keyed", "metrics"},
    {"__init__"},
    {"dask", "datasets", "io", "sklearn", "text", "torch"},
    {"cli"},
    {"__main__"},
)
RANK_OF = {name: number for number, names in enumerate(RANKS) for name in names}
SOURCES = sorted(PACKAGE.rglob("*.py"))
sources = pytest.mark.parametrize(
    "source", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix()
)


def top_of(source):
    return source.relative_to(PACKAGE).with_suffix("").parts[0]


def dotted(source):
    parts = source.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in ("ebagx", *parts) if part != "__init__")


MODULES = {dotted(source) for source in SOURCES}


def imported_modules(source, anywhere):
    """Yield the modules of the package that a file imports: anywhere, or when it is imported."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if anywhere else statements(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.name}: relative import"
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in within]
        else:
            continue
        yield from (name for name in names if name.partition(".")[0] == "ebagx")


def statements(node):
    """Yield the statements that run when a module is imported."""
    for child in ast.iter_child_nodes(node):
        is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not isinstance(child, (ast.FunctionDef, ast.ClassDef)) and not is_for_types:
            yield child
            yield from statements(child)


@sources
def test_imports_point_one_way(source):
    rank = RANK_OF[top_of(source)]
    for other in imported_modules(source, anywhere=True):
        top = other.split(".")[1] if "." in other else "__init__"
        assert RANK_OF[top] <= rank, f"{dotted(source)} imports {other}"


def test_no_imports_go_in_a_circle():
    """Modules of one rank import each other without a cycle, too."""
    graph = {
        dotted(source): set(imported_modules(source, anywhere=False)) - {dotted(source)}
        for source in SOURCES
    }
    graphlib.TopologicalSorter(graph).prepare()


def test_every_rank_is_in_use():
    assert {top_of(source) for source in SOURCES} == set(RANK_OF)


def test_import_adds_the_core_only():
    # `import ebagx` is fast because it imports only modules that a call of embedding_bag needs.
    code = (
        "import sys, numpy, scipy.sparse; before = {*sys.modules}; import ebagx; "
        "print(*{*sys.modules} - before)"
    )
    command = [sys.executable, "-c", code]
    added = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    others = {name.partition(".")[0] for name in added} - {"ebagx"} - sys.stdlib_module_names
    assert {name for name in others if not name.startswith("_cython_")} == set()
    own = {name.split(".")[1] for name in added if name.startswith("ebagx.")}
    assert {name for name in own if RANK_OF[name] > RANK_OF["__init__"]} == set()
    assert "ebagx.module" in added


def test_the_source_says_that_it_is_not_built(tmp_path):
    """The source hides the installed package in the root of a clone, for instance."""
    package = tmp_path / "ebagx"
    package.mkdir()
    for name in ("__init__.py", "_core/__init__.py"):
        path = package / name
        path.parent.mkdir(exist_ok=True)
        path.write_text((PACKAGE / name).read_text("utf-8"), "utf-8")
    command = [sys.executable, "-c", "import sys; sys.path.insert(0, '.'); import ebagx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"ImportError: ebagx is not built in {package}" in done.stderr
    assert "During handling" not in done.stderr
