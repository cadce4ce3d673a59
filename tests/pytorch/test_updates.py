"""Test optimizers that take their step in the backward pass."""

import copy
import io
import threading
import weakref

import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import ebagx.torch  # noqa: E402
from support.torch_cases import Model  # noqa: E402

# PyTorch's own optimizers are what it warns about.
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
IDS = torch.tensor([[3, 1, 1], [4, 0, 2]])
OTHER = torch.tensor([[7, 3, 3], [9, 8, 7]])


def make(factory=lambda: ebagx.optim.Adagrad(0.1), **options):
    """Return a model of PyTorch, and one with the same parameters whose table updates itself."""
    torch.manual_seed(0)
    theirs = Model(**{"mode": "sum", "sparse": True, **options})
    return theirs, ebagx.torch.accelerate(copy.deepcopy(theirs), factory)


def step(model, *batches, optimizer=None):
    loss = sum(model(batch).square().sum() for batch in batches)
    if optimizer is not None:
        optimizer.zero_grad()
    loss.backward()
    if optimizer is not None:
        optimizer.step()


def test_step_is_taken_in_backward():
    theirs, ours = make()
    optimizer = torch.optim.Adagrad([theirs.bag.weight], 0.1)
    for batch in (IDS, OTHER, IDS):
        version = ours.bag.weight._version
        step(theirs, batch, optimizer=optimizer)
        step(ours, batch)
        assert ours.bag.weight.grad is None
        assert ours.bag.weight._version > version
        torch.testing.assert_close(ours.bag.weight, theirs.bag.weight)
    assert ours.bag.optimizer.num_steps == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_dtypes(dtype):
    _, ours = make()
    ours.to(dtype)
    expected = ours.bag.weight.detach().clone().requires_grad_()
    optimizer = torch.optim.Adagrad([expected], 0.1)
    weights = ours.head.weight.detach()
    hidden = ebagx.torch.embedding_bag(IDS, expected, mode="sum", sparse=True)
    (hidden @ weights.T + ours.head.bias.detach()).square().sum().backward()
    step(ours, IDS)
    rtol = 1e-6 if dtype == torch.float64 else 2e-2
    dense = expected.detach().double() - 0.1 * expected.grad.to_dense().double().sign()
    torch.testing.assert_close(ours.bag.weight.double(), dense, rtol=rtol, atol=rtol)
    del optimizer


def test_one_step_for_all_calls_of_a_graph():
    """Two towers, and a penalty on the table: the step is taken with the sum of the gradients."""
    theirs, ours = make(lambda: ebagx.optim.Adagrad(0.1), sparse=False)
    optimizer = torch.optim.Adagrad([theirs.bag.weight], 0.1)
    for model, given in ((theirs, optimizer), (ours, None)):
        step(model, IDS, OTHER, IDS + 1, optimizer=given)
    torch.testing.assert_close(ours.bag.weight, theirs.bag.weight)
    assert ours.bag.optimizer.num_steps == 1
    optimizer.zero_grad()
    for model in (theirs, ours):
        (model(IDS).square().sum() + 0.1 * model.bag.weight.square().sum()).backward()
    optimizer.step()
    torch.testing.assert_close(ours.bag.weight, theirs.bag.weight)
    assert ours.bag.weight.grad is None


def test_sparse_gradient_from_another_use():
    theirs, ours = make()
    optimizer = torch.optim.Adagrad([theirs.bag.weight], 0.1)
    for model in (theirs, ours):
        rows = torch.nn.functional.embedding(OTHER, model.bag.weight, sparse=True)
        (model(IDS).square().sum() + rows.square().sum()).backward()
    optimizer.step()
    torch.testing.assert_close(ours.bag.weight, theirs.bag.weight)


def test_requested_gradients_take_no_step():
    theirs, ours = make()
    before = ours.bag.weight.detach().clone()
    loss = [model(IDS).square().sum() for model in (theirs, ours)]
    asked = [
        torch.autograd.grad(value, model.bag.weight)[0]
        for value, model in zip(loss, (theirs, ours), strict=True)
    ]
    torch.testing.assert_close(asked[1].to_dense(), asked[0].to_dense())
    torch.autograd.grad(ours(IDS).sum(), ours.head.weight)
    ours(IDS).sum().backward(inputs=[ours.head.weight])
    assert torch.equal(ours.bag.weight, before)
    assert ours.bag.optimizer.num_steps == 0
    ours(IDS).sum().backward(inputs=[ours.bag.weight])
    assert ours.bag.optimizer.num_steps == 1


def test_large_requested_gradients_add_no_hook():
    bag = torch.nn.EmbeddingBag(1 << 14, 2, mode="sum", sparse=True)
    ebagx.torch.accelerate(bag, lambda: ebagx.optim.SGD(0.1))
    pooled = bag(torch.arange(1 << 14).reshape(-1, 8))
    torch.autograd.grad(pooled.sum(), bag.weight)
    assert len(bag.weight._post_accumulate_grad_hooks) == 1  # that takes the steps


def test_failed_backward_leaves_nothing():
    _, ours = make()
    fresh = copy.deepcopy(ours)

    def fail(_):
        raise ArithmeticError

    bags = [ours.bag(IDS), ours.bag(OTHER)]
    bags[0].register_hook(fail)
    with pytest.raises(ArithmeticError):
        (bags[0].sum() + bags[1].sum()).backward()
    step(ours, IDS)
    step(fresh, IDS)
    assert torch.equal(ours.bag.weight, fresh.bag.weight)


def test_many_failed_passes_are_forgotten():
    from ebagx.torch import updates

    _, ours = make()
    held = ours.bag._updates
    held._noted.update((-1 - number, []) for number in range(updates._MOST_PASSES))
    step(ours, IDS)
    assert len(held._noted) < updates._MOST_PASSES
    assert ours.bag.optimizer.num_steps == 1


def test_checkpointed_segments():
    theirs, ours = make(sparse=False)
    optimizer = torch.optim.Adagrad([theirs.bag.weight], 0.1)
    for model in (theirs, ours):
        hidden = torch.utils.checkpoint.checkpoint(model, IDS, use_reentrant=False)
        (hidden.square().sum() + model(OTHER).square().sum()).backward()
    optimizer.step()
    torch.testing.assert_close(ours.bag.weight, theirs.bag.weight)


def test_gradients_of_weights_are_those_before_the_step():
    theirs, ours = make()
    weights = torch.linspace(0.5, 2, 6).reshape(2, 3)
    grads = []
    for model in (theirs, ours):
        leaf = weights.clone().requires_grad_()
        model.bag(IDS, per_sample_weights=leaf).square().sum().backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(*grads)
    assert ours.bag.optimizer.num_steps == 1


def test_stale_graph_is_noticed():
    _, ours = make()
    weights = torch.ones(2, 3, requires_grad=True)
    old = ours.bag(IDS, per_sample_weights=weights).sum()
    step(ours, IDS)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        old.backward()
    assert ours.bag.optimizer.num_steps == 1


@pytest.mark.parametrize("frozen", [False, True])
def test_no_step_without_gradient(frozen):
    _, ours = make()
    before = ours.bag.weight.detach().clone()
    if frozen:
        ours.bag.weight.requires_grad_(False)
        step(ours, IDS)
        assert ours.head.weight.grad is not None
    else:
        with torch.no_grad():
            ours(IDS)
    assert torch.equal(ours.bag.weight, before)
    ours.bag.weight.requires_grad_()
    step(ours, IDS)
    assert ours.bag.optimizer.num_steps == 1


def test_a_table_that_is_frozen_before_backward():
    _, ours = make()
    before = ours.bag.weight.detach().clone()
    loss = ours(IDS).sum()
    ours.bag.weight.requires_grad_(False)
    loss.backward()
    assert torch.equal(ours.bag.weight, before)
    assert ours.bag.weight.grad is None


def test_state_dict_continues():
    theirs, ours = make(lambda: ebagx.optim.Adam(0.1))
    step(ours, IDS)
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    state = torch.load(file)  # numbers and tensors alone
    assert state["bag._extra_state"]["num_steps"] == 1
    _, other = make(lambda: ebagx.optim.Adam(0.2))
    other.load_state_dict(state)
    assert other.bag.optimizer.learning_rate == 0.1
    for model in (ours, other):
        step(model, OTHER)
    assert torch.equal(other.bag.weight, ours.bag.weight)
    with pytest.raises(RuntimeError, match="_extra_state"):
        other.load_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match="another class"):
        make(lambda: ebagx.optim.AdamW(0.1))[1].load_state_dict(state)


def test_state_before_the_first_step():
    _, ours = make()
    ours.load_state_dict(copy.deepcopy(ours.state_dict()))
    step(ours, IDS)
    assert ours.bag.optimizer.num_steps == 1


def test_copies_have_optimizers_of_their_own():
    _, ours = make()
    step(ours, IDS)
    file = io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    copies = [copy.deepcopy(ours), torch.load(file, weights_only=False)]
    step(ours, OTHER)
    for other in copies:
        assert other.bag.optimizer.num_steps == 1
        step(other, OTHER)
        assert torch.equal(other.bag.weight, ours.bag.weight)
        assert other.bag.weight is not ours.bag.weight


@pytest.mark.parametrize("change", ["assign", "data", "load", "share"])
def test_a_new_table_of_the_same_shape(change):
    _, ours = make()
    step(ours, IDS)
    bag, old = ours.bag, ours.bag.weight
    table = 2 * bag.weight.detach()
    state = {**ours.state_dict(), "bag.weight": table}
    if change == "assign":
        bag.weight = torch.nn.Parameter(table)
    elif change == "data":
        bag.weight.data = table
    elif change == "load":
        ours.load_state_dict(state, assign=True)
    else:
        bag.share_memory()
    before = bag.weight.detach().clone()
    step(ours, IDS)
    assert bag.optimizer.num_steps == 2
    changed = (bag.weight != before).any(1).nonzero()[:, 0]
    assert changed.tolist() == [0, 1, 2, 3, 4]
    if bag.weight is not old:  # the table before has gradients again
        old.sum().backward()
        assert old.grad.eq(1).all()
        assert bag.optimizer.num_steps == 2


def test_a_table_is_held_until_its_memory_is_another():
    _, ours = make()
    bag = ours.bag
    step(ours, IDS)
    updates, held = bag._updates, weakref.ref(bag._updates.table(bag.weight).array)
    assert updates.table(bag.weight).array is held()
    ours.half()
    assert held() is None
    other = updates.table(bag.weight)
    assert updates.table(bag.weight) is other
    bag.weight.data = bag.weight.data.clone()
    assert updates.table(bag.weight) is not other


def test_a_table_of_another_precision_than_the_state():
    """The call raises before anything has changed, and goes on with the table as it was."""
    _, ours = make()
    step(ours, IDS)
    before = ours.bag.weight.detach().clone()
    ours.double()
    with pytest.raises(ValueError, match=r"float64 now.*squares in float64.*convert the module"):
        ours(IDS)
    assert torch.equal(ours.bag.weight, before.double())
    ours.float()
    step(ours, IDS)
    assert ours.bag.optimizer.num_steps == 2
    _, twin = make()
    step(twin, IDS)
    step(twin, IDS)
    assert torch.equal(ours.bag.weight, twin.bag.weight)


def test_a_precision_that_comes_with_a_checkpoint():
    _, ours = make()
    step(ours, IDS)
    state = copy.deepcopy(ours.state_dict())
    other = make()[1].double()
    other(IDS)
    other.load_state_dict(state)
    with pytest.raises(ValueError, match="weight is torch.float64 now"):
        other(IDS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
def test_another_precision_that_fits(dtype):
    """Before the first step there is no state, and that of float16 is float32."""
    for steps in (0, 1) if dtype is torch.float16 else (0,):
        _, ours = make()
        for _ in range(steps):
            step(ours, IDS)
        ours.to(dtype)
        step(ours, IDS)
        assert ours.bag.optimizer.num_steps == steps + 1


def test_learning_rates_follow_a_scheduler():
    theirs, ours = make()
    optimizers = [torch.optim.SGD(model.parameters(), 0.1) for model in (theirs, ours)]
    following = copy.deepcopy(theirs)
    rates = optimizers[1].param_groups[0]
    ebagx.torch.accelerate(following, lambda: ebagx.optim.SGD(lambda step: rates["lr"]))
    schedulers = [torch.optim.lr_scheduler.StepLR(one, 1, 0.5) for one in optimizers]
    for _ in range(3):
        step(theirs, IDS, optimizer=optimizers[0])
        following.head.load_state_dict(theirs.head.state_dict())
        step(following, IDS)
        for one in schedulers:
            optimizers[1].step()
            one.step()
    assert following.bag.optimizer.num_steps == 3
    torch.testing.assert_close(following.bag.weight[5:], theirs.bag.weight[5:])


def test_optimizers_of_pytorch_skip_the_table():
    _, ours = make()
    optimizer = torch.optim.SGD(ours.parameters(), 0.1, weight_decay=0.1)
    step(ours, IDS)
    after = ours.bag.weight.detach().clone()
    torch.nn.utils.clip_grad_norm_(ours.parameters(), 1.0)
    optimizer.step()
    assert torch.equal(ours.bag.weight, after)


def test_errors_of_a_schedule_leave_the_table():
    _, ours = make(lambda: ebagx.optim.SGD(lambda step: -1.0))
    before = ours.bag.weight.detach().clone()
    with pytest.raises(ValueError, match="learning_rate"):
        step(ours, IDS)
    assert torch.equal(ours.bag.weight, before)
    ours.bag.optimizer.learning_rate = 0.1
    step(ours, IDS)
    assert ours.bag.optimizer.num_steps == 1


def test_calls_that_could_not_update_raise():
    _, ours = make()
    given = {
        name: value.detach().clone().requires_grad_() for name, value in ours.named_parameters()
    }
    step(ours, IDS)
    with pytest.raises(RuntimeError, match="another tensor than the table"):
        torch.func.functional_call(ours, given, (IDS,))
    with pytest.raises(RuntimeError, match=r"optimizer in backward needs a table on the CPU"):
        ours.to("meta")(IDS.to("meta"))


def test_flops_are_counted():
    """Other modes of dispatch would not see the step: they are an error."""
    theirs, ours = make()
    counts = []
    for model in (theirs, ours):
        with FlopCounterMode(display=False) as counter:
            step(model, IDS)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
    assert ours.bag.optimizer.num_steps == 1
    with TorchDispatchMode(), pytest.raises(RuntimeError, match="modes of __torch_dispatch__"):
        ours(IDS)


def test_hooks_that_are_added_later():
    """They would get a gradient without rows, and could change nothing."""
    _, ours = make()
    before = ours.bag.weight.detach().clone()
    hook = ours.bag.weight.register_hook(lambda grad: 2 * grad)
    with pytest.raises(RuntimeError, match="weight has hooks"):
        ours(IDS)
    assert torch.equal(ours.bag.weight, before)
    hook.remove()
    step(ours, IDS)
    assert ours.bag.optimizer.num_steps == 1


def test_table_that_is_shared_later():
    _, ours = make()
    other = ebagx.torch.accelerate(Model(), lambda: ebagx.optim.SGD(0.1))
    step(ours, IDS)
    other.bag.weight = ours.bag.weight
    with pytest.raises(RuntimeError, match="shared tables"):
        other(IDS)


def in_threads(count, work):
    """Call a function with the number of each thread; return what the threads raised."""
    errors = []

    def run(number):
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_threads_take_their_steps_one_after_the_other():
    """The gradients do not depend on the table, so every order of the steps has one result."""
    bag = ebagx.torch.EmbeddingBag(2000, 64, mode="sum", _weight=torch.zeros(2000, 64))
    ebagx.torch.accelerate(bag, lambda: ebagx.optim.SGD(1.0))
    ids = torch.arange(2000).repeat(2, 1)

    def train(number):
        for _ in range(20):
            bag(ids).backward(torch.full((2, 64), 2.0**number))

    assert in_threads(8, train) == []
    assert bag.weight.eq(-2 * 20 * (2**8 - 1)).all()
    assert bag.optimizer.num_steps == 8 * 20
    assert bag.weight.grad is None


def test_threads_that_make_the_first_calls():
    _, ours = make(lambda: ebagx.optim.SGD(0.1))
    barrier = threading.Barrier(8)

    def train(_):
        barrier.wait()
        step(ours, IDS)

    assert in_threads(8, train) == []
    assert ours.bag.optimizer.num_steps == 8


def test_threads_pool_whole_rows_between_steps():
    """Each step adds a multiple of 1 to all numbers, so the numbers of a bag are always equal."""
    bag = ebagx.torch.EmbeddingBag(2000, 64, mode="max", _weight=torch.zeros(2000, 64))
    ebagx.torch.accelerate(bag, lambda: ebagx.optim.SGD(1.0))
    rows = torch.arange(2000).reshape(-1, 1)

    def train(_):
        for _ in range(20):
            pooled = bag(rows)
            assert pooled.eq(pooled[0, 0]).all()
            pooled.backward(torch.ones(2000, 64))

    assert in_threads(8, train) == []
    assert bag.weight.eq(-8 * 20).all()
