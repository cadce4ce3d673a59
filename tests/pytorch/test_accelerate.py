"""Test the conversion of models."""

import copy
import logging

import pytest

torch = pytest.importorskip("torch")

import ebagx.torch  # noqa: E402
from support.torch_cases import Model  # noqa: E402

IDS = torch.tensor([[3, 1, 1], [4, 0, 2]])


ONE = ebagx.optim.Adagrad(0.1)


def adagrad():
    return ebagx.optim.Adagrad(0.1)


class Subclass(torch.nn.EmbeddingBag):
    pass


def test_conversion_in_place():
    model = Model()
    weight, optimizer = model.bag.weight, torch.optim.SGD(model.parameters(), 0.1)
    calls = []
    model.bag.register_forward_hook(lambda *given: calls.append(1))
    expected = model(IDS)
    assert ebagx.torch.accelerate(model) is model
    assert type(model.bag) is ebagx.torch.EmbeddingBag
    assert isinstance(model.bag, torch.nn.EmbeddingBag)
    assert model.bag.weight is weight
    assert model.bag.optimizer is None
    torch.testing.assert_close(model(IDS), expected)
    assert calls == [1, 1]
    before = weight.detach().clone()
    model(IDS).square().sum().backward()
    optimizer.step()
    assert not torch.equal(weight, before)


def test_only_the_class_itself_is_converted(caplog):
    model = torch.nn.ModuleDict(
        {
            "one": torch.nn.EmbeddingBag(9, 2),
            "two": Subclass(9, 2),
            "three": torch.nn.Embedding(9, 2),
        }
    )
    ebagx.torch.accelerate(model)
    kinds = [type(part) for part in model.values()]
    assert kinds == [ebagx.torch.EmbeddingBag, Subclass, torch.nn.Embedding]
    records = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert records == [
        "one runs on ebagx: ebagx.torch.EmbeddingBag(9, 2, mode='mean')",
        "two is left as it is, of the subclass Subclass",
    ]


def test_repr_shows_the_optimizer():
    bag = ebagx.torch.accelerate(torch.nn.EmbeddingBag(9, 2), adagrad)
    shown = "ebagx.torch.EmbeddingBag(9, 2, mode='mean', optimizer=Adagrad(learning_rate=0.1))"
    assert repr(bag) == shown
    bag = ebagx.torch.EmbeddingBag(9, 2, invalid="skip", default_row=0)
    assert repr(bag) == "ebagx.torch.EmbeddingBag(9, 2, mode='mean', invalid='skip', default_row=0)"


def test_nothing_to_convert():
    with pytest.warns(UserWarning, match="found no torch.nn.EmbeddingBag in Linear"):
        ebagx.torch.accelerate(torch.nn.Linear(2, 2))


def test_converted_twice():
    model = ebagx.torch.accelerate(ebagx.torch.accelerate(Model()))
    assert type(model.bag) is ebagx.torch.EmbeddingBag
    ebagx.torch.accelerate(model, adagrad)
    assert model.bag.optimizer == model.bag.optimizer
    ebagx.torch.accelerate(model)
    with pytest.raises(ValueError, match=r"^bag.weight has an optimizer already, Adagrad"):
        ebagx.torch.accelerate(model, adagrad)


def test_tied_tables_without_optimizer():
    theirs = torch.nn.ModuleList([torch.nn.EmbeddingBag(9, 2), torch.nn.EmbeddingBag(9, 2)])
    theirs[1].weight = theirs[0].weight
    ours = ebagx.torch.accelerate(copy.deepcopy(theirs))
    assert ours[1].weight is ours[0].weight
    for model in (theirs, ours):
        (model[0](IDS) * model[1](IDS + 1)).sum().backward()
    torch.testing.assert_close(ours[0].weight.grad, theirs[0].weight.grad)


def test_a_module_with_two_names_has_one_optimizer():
    bag, made = torch.nn.EmbeddingBag(9, 2), []
    model = torch.nn.ModuleDict({"query": bag, "item": torch.nn.EmbeddingBag(9, 2)})
    ebagx.torch.accelerate(model, lambda: made.append(adagrad()) or made[-1])
    assert [part.optimizer for part in model.values()] == made


@pytest.mark.parametrize("kind", ["same", "tied", "head", "view"])
def test_shared_tables_are_refused(kind):
    bag = torch.nn.EmbeddingBag(9, 2)
    other = torch.nn.EmbeddingBag(9, 2)
    if kind == "same":
        other = bag
    elif kind == "tied":
        other.weight = bag.weight
    elif kind == "head":
        other = torch.nn.Linear(2, 9)
        other.weight = bag.weight
    else:
        other.weight = torch.nn.Parameter(bag.weight.detach())
    model = torch.nn.ModuleDict({"one": bag, "two": other})
    if kind == "same":
        ebagx.torch.accelerate(model, adagrad)
        return
    with pytest.raises(ValueError, match=r"^one.weight is shared, by one.weight, two.weight"):
        ebagx.torch.accelerate(model, adagrad)
    assert type(bag) is torch.nn.EmbeddingBag


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        (ebagx.optim.Adagrad(0.1), TypeError, r"must be a function that returns .* lambda"),
        (0.1, TypeError, "must be a function that returns"),
        (lambda: torch.optim.SGD([torch.zeros(1)], 0.1), TypeError, "must return an ebagx.optim"),
        (lambda: ONE, ValueError, "another optimizer in each call"),
    ],
    ids=["optimizer", "number", "of torch", "same"],
)
def test_wrong_optimizers(optimizer, error, message):
    model = torch.nn.ModuleList([torch.nn.EmbeddingBag(9, 2), torch.nn.EmbeddingBag(9, 2)])
    with pytest.raises(error, match=message):
        ebagx.torch.accelerate(model, optimizer)
    assert [type(part) for part in model] == [torch.nn.EmbeddingBag] * 2


@pytest.mark.parametrize("kind", ["meta", "gradient", "hooks", "integers", "parametrized"])
def test_tables_that_no_optimizer_can_update(kind):
    model = Model()
    messages = {
        "meta": "must be a parameter on the CPU, got one on meta",
        "gradient": r"has a gradient: call module.zero_grad\(\)",
        "hooks": "has hooks, which an optimizer in backward does not call",
        "integers": "cannot be updated in backward in torch.float8_e5m2",
        "parametrized": "must be a parameter on the CPU",
    }
    if kind == "meta":
        model.to("meta")
    elif kind == "gradient":
        model(IDS).sum().backward()
    elif kind == "hooks":
        model.bag.weight.register_hook(lambda grad: grad * 0)
    elif kind == "integers":
        weight = model.bag.weight.detach().to(torch.float8_e5m2)
        model.bag.weight = torch.nn.Parameter(weight)
    else:
        table = model.bag.weight.detach()
        del model.bag.weight
        model.bag.weight = table
    with pytest.raises(ValueError, match=f"bag.weight {messages[kind]}"):
        ebagx.torch.accelerate(model, adagrad)
    assert type(model.bag) is torch.nn.EmbeddingBag


def test_wrong_module():
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module, got \[\]"):
        ebagx.torch.accelerate([])
