"""Give estimators wrong parameters, and check that each of them is refused in the same way."""

import numpy as np
import pytest

WRONG = (
    object(),
    "nonsense",
    "two\nlines",
    "x" * 5000,
    -1,
    0,
    2.5,
    float("nan"),
    1j,
    10**400,
    10**5000,  # Python converts no integer of so many digits to a string
    ["nonsense"],
    (3, 1),
    {"a": "b"},
    True,
    None,
    np.array([1, 2]),
    np.eye(2, dtype=int),
    np.random.default_rng(0),
)
LONGEST = 200  # characters of a message


def refusals(estimator, name, train):
    """Train with all wrong values of a parameter; return the messages, which are checked.

    A value that the estimator takes is no error. `train` takes the estimator.
    """
    good, messages = getattr(estimator, name), []
    constraint = estimator._constraints[name]
    may_be_none = _is_refused(estimator, name, None, train) is None
    for value in WRONG:
        message = _is_refused(estimator, name, value, train)
        if message is not None:
            assert name in message
            assert len(message) <= LONGEST
            assert "\n" not in message
            if may_be_none and not _allows(constraint, value):  # else the data do not suit it
                assert "None" in message
            messages.append(message)
    setattr(estimator, name, good)
    return messages


def _allows(constraint, value):
    """Return whether a parameter may have a value, whatever the data are."""
    try:
        constraint.check(value, "parameter")
    except (TypeError, ValueError):
        return False
    return True


def _is_refused(estimator, name, value, train):
    """Return the message of the error, which must have changed nothing; None without error."""
    setattr(estimator, name, value)
    before = estimator.__dict__.copy()
    try:
        train(estimator)
    except (TypeError, ValueError) as error:
        assert estimator.__dict__.keys() == before.keys()
        assert all(estimator.__dict__[key] is before[key] for key in before)
        return str(error)
    except Exception as error:  # any other error is a fault
        pytest.fail(f"{name} = {value!r:.60} raises {type(error).__name__}: {error}"[:300])
    return None
