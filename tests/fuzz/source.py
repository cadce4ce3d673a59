"""Make choices from bytes."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np


class Source:
    """Choices from bytes; after the last byte, every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._used = 0

    @property
    def used(self) -> int:
        """The number of requested bytes."""
        return self._used

    def below(self, limit: int) -> int:
        """Return a number in [0, limit)."""
        size = max((limit - 1).bit_length() + 7, 8) // 8
        value = int.from_bytes(self._data[self._used : self._used + size], "little")
        self._used += size
        return value % limit

    def between(self, low: int, high: int) -> int:
        """Return a number in [low, high]."""
        return low + self.below(high - low + 1)

    def choice(self, options: Sequence[Any]) -> Any:
        """Return one of the options."""
        return options[self.below(len(options))]

    def one_in(self, times: int) -> bool:
        """Return True once in so many times, False if bytes are 0."""
        return self.below(times) == times - 1

    @cached_property
    def rng(self) -> np.random.Generator:
        """Return a generator for values, which need not shrink."""
        return np.random.default_rng(self.below(1 << 16))
