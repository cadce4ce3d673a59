import inspect

import pytest

from ebagx._core import levels
from ebagx._kernels import reference
from support import kernel_cases as cases


@pytest.mark.parametrize("name", levels.KERNEL_NAMES)
@cases.levels
def test_every_kernel_has_a_twin_of_the_same_arguments(name, level):
    kernel = inspect.signature(getattr(level, name))
    twin = inspect.signature(getattr(reference, name))
    assert list(kernel.parameters) == list(twin.parameters)
