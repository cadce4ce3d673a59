"""Imports point one way, and ``import ebagx`` needs NumPy and SciPy only."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ebagx

PACKAGE = Path(ebagx.__file__).parent

# From the bottom up: a module imports from layers below its own.
LAYERS = (
    {"_cpu", "_kernels", "_tokens"},
    {"_dispatch", "_mapped", "_modes", "_threads"},
    {
        "_arrays",
        "_config",
        "_metrics",
        "_ngrams",
        "_npy",
        "_reference",
        "_text",
        "_validate",
    },
    {"_features", "_sparse"},
    {"gradients"},
    {"_bags", "optim"},
    {"_transpose"},
    {"_passes"},
    {"_dense"},
    {"functional"},
    {"embedding_bag"},
    {"__init__"},
    {"datasets", "sklearn"},
    {"_model"},
    {"_autotune", "_storage"},
    {"_commands"},
    {"cli"},
    {"__main__"},
)
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}
SOURCES = sorted(PACKAGE.rglob("*.py"))
sources = pytest.mark.parametrize(
    "source", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix()
)


def module_of(source):
    return source.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_modules(source):
    """Yield the modules of the package that a source file imports anywhere."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.name}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "ebagx":
                module = rest.partition(".")[0]
                yield module if module in LAYER_OF else "__init__"


@sources
def test_imports_point_one_way(source):
    module = module_of(source)
    for other in set(imported_modules(source)) - {module}:
        assert LAYER_OF[other] < LAYER_OF[module], f"{module} imports {other}"


def test_every_layer_is_in_use():
    assert {module_of(source) for source in SOURCES} | {"_cpu", "_tokens"} == set(LAYER_OF)


@sources
def test_only_dispatch_asks_for_a_dtype(source):
    asks = re.findall(r"""dtype == (?:np\.|['"]).*""", source.read_text("utf-8"))
    assert not asks or source.name == "_dispatch.py"


def test_import_adds_the_core_only():
    # What keeps `import ebagx` fast: no module beyond those that a call of embedding_bag needs.
    code = (
        "import sys, numpy, scipy.sparse; before = {*sys.modules}; import ebagx; "
        "print(*{*sys.modules} - before)"
    )
    command = [sys.executable, "-c", code]
    added = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    others = {name.partition(".")[0] for name in added} - {"ebagx"} - sys.stdlib_module_names
    assert {name for name in others if not name.startswith("_cython_")} == set()
    own = {name.split(".")[1] for name in added if name.startswith("ebagx.")}
    highest = LAYER_OF["__init__"]
    above = {name for name, layer in LAYER_OF.items() if layer > highest}
    assert own & (above | {"_features", "_metrics", "_ngrams", "_npy", "_text", "_tokens"}) == set()
    assert "ebagx.embedding_bag" in added
