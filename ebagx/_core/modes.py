"""The numbers that kernels know modes and rules by."""

DIVISORS = {"sum": 0, "mean": 1, "sqrtn": 2}
DIRECTIONS = {"max": 1, "min": -1}
RULES = {"sgd": 0, "momentum": 1, "nesterov": 2, "adagrad": 3, "rowwise_adagrad": 4, "adam": 5}
