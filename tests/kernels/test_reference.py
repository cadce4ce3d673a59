import inspect

import pytest

import kernel_cases as cases
from ebagx import _dispatch, _reference


@pytest.mark.parametrize("name", _dispatch.KERNEL_NAMES)
@cases.levels
def test_every_kernel_has_a_twin_of_the_same_arguments(name, level):
    kernel = inspect.signature(getattr(level, name))
    twin = inspect.signature(getattr(_reference, name))
    assert list(kernel.parameters) == list(twin.parameters)
