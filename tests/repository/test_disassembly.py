"""Test that tools/check_disassembly.py finds errors in a disassembly."""

import pytest

from support.repository import load_script

tool = load_script("tools/check_disassembly.py")

POOL = tool.Kernel(
    "pool", (tool.fused("pool_bag", "0", "."), tool.fused("pool_unit", "0")), ("vaddps",), 2
)
BAG = "__pyx_fuse_0_1__pyx_f_5ebagx_8_kernels_5_avx2_pool_bag"
UNIT = "__pyx_fuse_0__pyx_f_5ebagx_8_kernels_5_avx2_pool_unit.isra.0"
PACKED, SCALAR = "vaddps (%rax),%ymm0,%ymm0", "vaddss (%rax),%xmm0,%xmm0"


@pytest.mark.parametrize(
    ("instruction", "module", "found"),
    [
        ("addps (%rax),%xmm0", "_baseline", 0),
        (SCALAR, "_baseline", 1),
        (PACKED, "cpu", 1),
        (PACKED, "_avx2", 0),
        ("vfmadd213ps (%rcx),%ymm0,%ymm5", "_avx2", 1),
        ("vaddps %zmm1,%zmm2,%zmm3", "_avx2", 1),
        ("vaddps %ymm17,%ymm2,%ymm3", "_avx2", 1),
        ("vaddps %zmm1,%zmm2,%zmm3", "_avx512", 0),
        ("vfmadd213ps (%rcx),%zmm0,%zmm5", "_avx512", 1),
        ("verr %ax", "_baseline", 0),
    ],
)
def test_forbidden(instruction, module, found):
    assert len(list(tool.find_forbidden(module, {"f": [instruction] * 3}))) == found


def test_fused_operations_of_exact_products():
    fused = ["vfmadd213ps (%rcx),%ymm0,%ymm5"] * 3
    functions = {"__pyx_f_5ebagx_8_kernels_5_avx2_walk_block.isra.0": fused, "f": [PACKED]}
    assert tool.count_exact(functions) == 3
    assert list(tool.find_forbidden("_avx2", functions)) == []
    assert len(list(tool.find_forbidden("_avx2", {**functions, "walk_blocks": fused}))) == 1
    assert list(tool.find_forbidden("_avx2", {"stripped": fused}, 3)) == []
    assert len(list(tool.find_forbidden("_avx2", {"stripped": fused}, 2))) == 1
    assert (
        len(list(tool.find_forbidden("_avx2", {"stripped": ["vaddps %zmm1,%zmm2,%zmm3"]}, 2))) == 1
    )


@pytest.mark.parametrize(
    ("functions", "found"),
    [
        ({BAG: [PACKED, PACKED]}, 0),
        ({BAG: [PACKED, SCALAR]}, 1),
        ({BAG: [PACKED, PACKED], BAG.replace("0_1", "0_0"): [SCALAR]}, 1),
        ({UNIT: [PACKED, PACKED]}, 0),  # inlined
        ({BAG: [PACKED, PACKED], UNIT: [SCALAR]}, 0),
        ({BAG.replace("0_1", "1_1"): [PACKED, PACKED]}, 1),
    ],
)
def test_scalar(functions, found):
    assert len(list(tool.find_scalar(POOL, functions, "%ymm"))) == found


def test_unknown_function_is_named():
    (failure,) = tool.find_scalar(POOL, {}, "%ymm")
    assert "no function matches" in failure
    assert "pool_bag" in failure
