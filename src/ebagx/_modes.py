"""The numbers that kernels know the modes by."""

DIVISORS = {"sum": 0, "mean": 1, "sqrtn": 2}
DIRECTIONS = {"max": 1, "min": -1}
