"""Run collections against their tables alone, with bad calls in between."""

from typing import Any

import numpy as np

import ebagx
from fuzz import oracle
from fuzz.source import Source
from support.collection_cases import CollectionCase, assert_same, dense, make_case, state_of

WRONG = (IndexError, ValueError, TypeError, KeyError)


class Life:
    """A case as reports describe it."""

    def __init__(self, case: CollectionCase) -> None:
        self.operation = "EmbeddingBagCollection"
        self.arguments: dict[str, Any] = {**case.tables, **case.features}
        self.bags, self.form = case.num_bags, "collection"


def run(source: Source) -> str:
    """Run one case of a collection."""
    case = make_case(source.rng)
    life, collection, bags = Life(case), case.make(), case.bags()
    spoiled = source.below(2)
    with oracle.judged(life):
        for name, pooled in case.pooled().items():
            assert_same(collection(bags, as_dict=True)[name], pooled)
        if spoiled:
            _refuse(collection, lambda: collection(_spoiled(source, bags, case)))
        grads = case.grads(source.rng)
        grad_output: Any = grads
        if source.below(2):
            grad_output = np.concatenate([grads[name] for name in case.features], axis=1)
        if spoiled:
            _refuse(collection, lambda: collection.backward(_wrong_gradient(source, grads)))
        if source.below(2):
            collection.backward(grad_output)
        else:
            _update(source, case, collection, grad_output, spoiled=bool(spoiled))
            return "collection with errors" if spoiled else "collection"
        for name in set(collection.features.values()):
            expected = case.gradient(name, grads).toarray()
            assert_same(dense(collection.tables[name].grad), expected)
    return "collection with errors" if spoiled else "collection"


def _update(
    source: Source, case: CollectionCase, collection: Any, grad_output: Any, *, spoiled: bool
) -> None:
    used = set(collection.features.values())
    optimizers = {name: ebagx.optim.Adagrad(0.5) for name in case.tables}
    if spoiled:
        name = source.choice(sorted(used))
        wrong = {**optimizers, name: source.choice((None, "SGD", ebagx.optim.SGD(lambda _: -1.0)))}
        _refuse(collection, lambda: collection.backward_update(grad_output, wrong))
    grads = grad_output
    if isinstance(grad_output, np.ndarray):
        grads = {name: grad_output[:, part] for name, part in collection.columns.items()}
    expected = {name: table.array.copy() for name, table in case.tables.items()}
    for name in used:
        ebagx.optim.Adagrad(0.5).update(expected[name], case.gradient(name, grads))
    collection.backward_update(grad_output, optimizers)
    for name, table in expected.items():
        assert_same(collection.tables[name].weight, table)


def _spoiled(source: Source, bags: dict[str, Any], case: CollectionCase) -> dict[str, Any]:
    name = source.choice(sorted(bags))
    kind = source.below(5)
    if kind == 0:
        return {other: value for other, value in bags.items() if other != name}
    if kind == 1:
        return {**bags, "x": [1]}
    skips = case.tables[case.features[name].table].options["invalid"] == "skip"
    if kind == 2 and not skips:
        outside = source.choice((-1, 10**6, 2**31, -(2**63)))
        return {**bags, name: [[outside]] * max(case.num_bags, 1)}
    if kind == 3:
        return {
            **bags,
            name: source.choice((None, 1, "text", ([1], [2], [3], 4), [[1.5]], [[True]])),
        }
    return {**bags, name: ([0, 0, 0], [1, 0])}


def _wrong_gradient(source: Source, grads: dict[str, Any]) -> Any:
    rows = sum(part.shape[1] for part in grads.values()) + 1
    first = min(grads)
    return source.choice(
        (
            np.ones((3, rows)),
            {**grads, first: np.ones((99, 2))},
            {**grads, "x": 1},
            {name: part for name, part in grads.items() if name != first},
            None,
            {**grads, first: grads[first].astype("c16")},
        )
    )


def _refuse(collection: Any, action: Any) -> None:
    before, saved = state_of(collection), collection._saved
    try:
        action()
    except WRONG:
        assert state_of(collection) == before
        assert collection._saved is saved
        return
    raise AssertionError("no error")
