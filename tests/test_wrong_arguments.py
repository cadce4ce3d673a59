"""Test that options of functions and modules refuse what they may not be in the same way."""

import inspect

import numpy as np
import pytest

import ebagx
from ebagx import optim
from ebagx.datasets import make_interactions
from support.wrong_parameters import LONGEST, WRONG

TABLE = np.eye(5, 3)
BAGS = [[0, 1]]


def embedding_bag(**options):
    ebagx.embedding_bag(BAGS, TABLE.copy(), **options)


def embedding_bag_backward(**options):
    ebagx.embedding_bag_backward(np.ones((1, 3)), BAGS, TABLE, **options)


def embedding_bag_module(num_embeddings=5, embedding_dim=3, **options):
    ebagx.EmbeddingBag(num_embeddings, embedding_dim, **options)


def from_pretrained(**options):
    ebagx.EmbeddingBag.from_pretrained(TABLE, **options)


def quantize(**options):
    ebagx.quantize(TABLE, **options)


def interactions(**options):
    make_interactions(**{"n_users": 5, "n_items": 9, "per_user": 3, "dim": 2, **options})


OF_PASSES = [
    *("scale_grad_by_freq", "mode", "include_last_offset", "padding_idx"),
    *("num_threads", "invalid", "default_row"),
]
OF_FORWARD = ["max_norm", *OF_PASSES]
OF_TABLES = ["num_embeddings", "embedding_dim", "dtype", "rng"]
CALLS = [
    (embedding_bag, [*OF_FORWARD, "return_indices", "out"]),
    (embedding_bag_backward, [*OF_PASSES, "sparse", "per_sample_weights_grad", "weight_grad"]),
    (embedding_bag_module, [*OF_FORWARD, "sparse", *OF_TABLES]),
    (from_pretrained, ["freeze", "sparse", *OF_FORWARD[:-3]]),
    (quantize, ["bits"]),
    (interactions, list(inspect.signature(make_interactions).parameters)),
    *(
        (rule, sorted(set(rule._options) - {"num_steps"}))
        for rule in (optim.SGD, optim.Adagrad, optim.RowwiseAdagrad, optim.Adam, optim.AdamW)
    ),
]


@pytest.mark.parametrize(("call", "names"), CALLS, ids=lambda value: getattr(value, "__name__", ""))
def test_wrong_options_are_named_in_a_line(call, names):
    for name in names:
        messages = [message_of(call, name, value) for value in WRONG]
        assert any(messages)
        for message in filter(None, messages):
            assert message.startswith(name)
            assert "\n" not in message
            assert len(message) <= LONGEST


def message_of(call, name, value):
    """Return the message of the error; None without one."""
    try:
        call(**{name: value})
    except (TypeError, ValueError) as error:
        return str(error)
    return None
