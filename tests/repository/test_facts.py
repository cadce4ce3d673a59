"""Test that dtypes, modes and rules are written once, in the rows of three modules."""

import ast
import re
from pathlib import Path

import pytest

import ebagx
from ebagx._core import dtypes, memory, modes, pieces, top, transpose
from ebagx._core.levels import KERNEL_NAMES, load_level
from ebagx._kernels import reference, training_reference
from ebagx.optim import rules
from support.repository import ROOT

PACKAGE = Path(ebagx.__file__).parent
KERNELS = ROOT / "ebagx/_kernels"
HOMES = {
    "_core/dtypes.py": {cell.name for cell in dtypes.CELL_TYPES},
    "_core/modes.py": set(modes.MODES),
    "optim/rules.py": set(rules.RULES),
}
SOURCES = sorted(PACKAGE.rglob("*.py"))
needs_sources = pytest.mark.skipif(not KERNELS.exists(), reason="the kernels' source is not here")


def listed_names(tree):
    """Yield sets of strings and attributes that are in one expression."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            parts = node.elts
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.BoolOp):
            parts = [part for value in node.values for part in ast.iter_child_nodes(value)]
        elif isinstance(node, ast.Match):
            parts = [part for case in node.cases for part in ast.walk(case.pattern)]
        else:
            continue
        yield {name_of(part) for part in parts}


def name_of(node):
    while isinstance(node, (ast.Call, ast.MatchValue)):
        node = (node.args or [node.func])[0] if isinstance(node, ast.Call) else node.value
    if isinstance(node, ast.Attribute):  # np.float32
        return node.attr if getattr(node.value, "id", "") == "np" else None
    return getattr(node, "value", None)


@pytest.mark.parametrize("home", HOMES)
def test_names_are_listed_in_one_place(home):
    for source in SOURCES:
        path = source.relative_to(PACKAGE).as_posix()
        if path in (home, "_kernels/reference.py"):  # the kernels' own numbers: see below
            continue
        for names in listed_names(ast.parse(source.read_text("utf-8"))):
            assert len(names & HOMES[home]) < 2, f"{path} lists {names & HOMES[home]}"


@pytest.mark.parametrize("home", HOMES)
def test_the_home_lists_them(home):
    """The home of each list has all the names that the search above looks for."""
    tree = ast.parse((PACKAGE / home).read_text("utf-8"))
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert strings >= HOMES[home]


def test_the_search_finds_lists():
    for code in ("['sum', 'max']", "{'sum': 1, 'max': 2}", "m == 'sum' or m == 'max'"):
        assert any({"sum", "max"} <= names for names in listed_names(ast.parse(code)))
    floats = listed_names(ast.parse("(np.float32, np.dtype(np.float64))"))
    assert any({"float32", "float64"} <= names for names in floats)


def enum_values(path):
    """Return the numbers that the enums of a Cython file give to names."""
    text = (KERNELS / path).read_text("utf-8")
    return {
        name: int(value) for name, value in re.findall(r"^    ([A-Z]\w+) = (-?\d+)\b", text, re.M)
    }


@needs_sources
def test_kernels_number_dtypes_alike():
    enum = enum_values("common/arrays.pxi")
    names = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF", "bfloat16": "BFLOAT"}
    assert {cell.name: cell.code for cell in dtypes.CELL_TYPES} == {
        name: enum[of_kernels] for name, of_kernels in names.items()
    }
    for dtype, code in dtypes.INDEX_TYPES.items():
        assert enum[dtype.name.upper()] == code


def test_the_twin_reads_the_bits_of_the_same_dtypes():
    assert {
        cell.view_dtype: cell.name for cell in dtypes.CELL_TYPES if cell.view_dtype
    } == reference.FLOATS_OF_BITS


@needs_sources
def test_kernels_number_divisors_alike():
    enum = enum_values("forward/pool.pxi")
    for mode in modes.MODES.values():
        if not mode.is_extreme:
            assert enum[mode.name.upper()] == getattr(reference, mode.name.upper()) == mode.divisor
    assert enum["IN_ORDER"] == reference.IN_ORDER == modes.IN_ORDER.divisor
    assert enum["LONG_BAG"] == reference.LONG_BAG


@needs_sources
def test_kernels_number_rules_alike():
    enum = enum_values("update/step.pxi")
    for rule in rules.RULES.values():
        assert enum[rule.name.upper()] == getattr(reference, rule.name.upper()) == rule.code


@needs_sources
def test_kernels_number_losses_alike():
    from ebagx._training import losses

    enum = enum_values("training/losses.pxi")
    for name in ("Softmax", "Sigmoid", "SquaredError", "Huber", "Poisson"):
        kind = getattr(losses, name)
        constant = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).upper()
        assert enum[constant] == getattr(training_reference, constant) == kind.code


@needs_sources
def test_kernels_number_losses_of_pairs_alike():
    from ebagx._kernels import pairs_reference
    from ebagx._training import pair_steps

    enum = enum_values("training/pair_call.pxi")
    for name, code in pair_steps.LOSSES.items():
        constant = "SAMPLED_SOFTMAX" if name == "softmax" else name.upper()
        assert enum[constant] == getattr(pairs_reference, constant) == code
    rest = re.search(r"LEAST_REST = (\S+)", (KERNELS / "training/pair_forward.pxi").read_text())
    assert float(rest[1]) == pairs_reference.LEAST_REST


@needs_sources
def test_training_and_its_caller_have_equal_constants():
    from ebagx._training import steps
    from ebagx.optim import planning

    strip = enum_values("training/layers.pxi")["STRIP"]
    assert strip == training_reference.STRIP == steps._STRIP
    defined = re.search(r"define EBAGX_STRIP (\d+)", (KERNELS / "training/strip_ops.h").read_text())
    assert int(defined[1]) == strip
    header = (KERNELS / "training/factor_ops.h").read_text()
    assert int(re.search(r"define EBAGX_FACTOR_COLUMNS (\d+)", header)[1]) == reference.LANES
    plan = enum_values("training/weights.pxi")
    columns = planning._BEFORE, planning._AFTER, planning._KEPT
    assert columns == (plan["PLAN_BEFORE"], plan["PLAN_AFTER"], plan["PLAN_KEPT"])
    assert plan["PLAN_KEPT"] == planning._COLUMNS - 1
    assert enum_values("training/lookups.pxi")["BLOCK_BATCHES"] == steps._BLOCK_BATCHES


@needs_sources
def test_constants_of_kernels_and_their_callers_are_equal():
    row_ops = enum_values("common/row_ops.pxi")
    assert row_ops["CACHE_LINE"] == memory._CACHE_LINE
    assert row_ops["LANES"] == reference.LANES
    assert enum_values("common/work.pxi")["COLUMNS_OF_CUTS"] == pieces.COLUMNS
    assert pieces.COLUMNS * 4 == memory._CACHE_LINE  # a cache line of float
    assert 2 ** enum_values("backward/transpose.pxi")["RADIX_BITS"] == transpose._RADIX
    top_ops = (KERNELS / "ranking/top_ops.h").read_text("utf-8")
    assert f"define EBAGX_TILE_ITEMS {top._TILE_ITEMS} " in top_ops
    assert enum_values("ranking/top.pxi")["GROUP_USERS"] == top._FEWEST_USERS


@needs_sources
def test_kernels_name_their_arrays():
    for folder in (KERNELS, ROOT / "ebagx/text"):
        for path in [*folder.rglob("*.pxi"), *folder.rglob("*.pyx")]:
            assert not re.search(r"rows\[\d", path.read_text("utf-8")), path


def test_the_twin_has_every_kernel():
    twins = load_level("reference")
    for name in KERNEL_NAMES:
        assert callable(getattr(twins, name))
