"""Test the module under PyTorch's machinery: copies, files, modes, traces, compilers, processes."""

import copy
import io
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

import ebagx.torch  # noqa: E402
from support.markers import TESTS  # noqa: E402
from support.torch_cases import Model, pair  # noqa: E402
from support.torch_workers import train_alone  # noqa: E402

IDS = torch.tensor([[3, 1, 1], [4, 0, 2]])


@pytest.fixture
def models():
    """Return a model of PyTorch, and one on ebagx with the same parameters."""
    torch.manual_seed(0)
    theirs = Model(mode="sum")
    ours = ebagx.torch.accelerate(copy.deepcopy(theirs))
    return theirs, ours


def test_no_grad_and_inference_mode(models):
    theirs, ours = models
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            pooled = ours(IDS)
            torch.testing.assert_close(pooled, theirs(IDS))
        assert not pooled.requires_grad
    with torch.inference_mode():
        made = ebagx.torch.EmbeddingBag(10, 3, max_norm=0.5)
        assert made(IDS).is_inference()
    assert (made.weight[:5].norm(dim=1) <= 0.5001).all()


def test_deepcopy_and_files(models):
    _, ours = models
    file = io.BytesIO()
    ours(IDS).sum().backward()
    torch.save(ours, file)
    file.seek(0)
    for other in (copy.deepcopy(ours), torch.load(file, weights_only=False)):
        assert type(other.bag) is ebagx.torch.EmbeddingBag
        assert torch.equal(other(IDS), ours(IDS))
        other.zero_grad()
        other(IDS).sum().backward()
        assert torch.equal(other.bag.weight.grad, ours.bag.weight.grad)


def test_state_dict_is_that_of_pytorch(models):
    theirs, ours = models
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict(), assign=True)
    assert torch.equal(ours.bag.weight, theirs.bag.weight)


def test_functional_call(models):
    theirs, ours = models
    given = {name: 2 * value.detach() for name, value in ours.named_parameters()}
    calls = [torch.func.functional_call(model, given, (IDS,)) for model in (ours, theirs)]
    torch.testing.assert_close(*calls)


def test_transforms_of_functions(models):
    """They run on PyTorch's own operations."""

    def gradient(model):
        loss = lambda given: torch.func.functional_call(model, given, (IDS,)).square().sum()  # noqa: E731
        return torch.func.grad(loss)(dict(model.named_parameters()))

    theirs, ours = map(gradient, models)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name])
    with pytest.raises(NotImplementedError, match=r"no mode='sqrtn'.* outside of traces"):
        torch.func.grad(lambda w: ebagx.torch.embedding_bag(IDS, w, mode="sqrtn").sum())(
            torch.ones(5, 2)
        )


@pytest.mark.parametrize("name", ["ids", "offsets", "weights", "table"])
def test_changes_before_backward_are_noticed(name):
    tensors = {
        "ids": torch.tensor([1, 2, 3]),
        "offsets": torch.tensor([0, 1]),
        "weights": torch.ones(3, requires_grad=True),
        "table": torch.ones(5, 2, requires_grad=True),
    }
    pooled = ebagx.torch.embedding_bag(
        tensors["ids"],
        tensors["table"],
        tensors["offsets"],
        per_sample_weights=tensors["weights"],
        mode="sum",
    )
    with torch.no_grad():
        tensors[name].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        pooled.sum().backward()


def test_max_norm_is_a_change_of_the_table():
    table = torch.full((5, 2), 3.0, requires_grad=True)
    before = (table * table).sum()
    ebagx.torch.embedding_bag(IDS, table, max_norm=1.0)
    assert table._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        before.backward()


def test_second_passes(models):
    _, ours = models
    loss = ours(IDS).square().sum()
    loss.backward(retain_graph=True)
    first = ours.bag.weight.grad.clone()
    loss.backward()
    torch.testing.assert_close(ours.bag.weight.grad, 2 * first)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_there_is_no_second_derivative():
    leaf = torch.ones(5, 2, dtype=torch.float64, requires_grad=True)
    pooled = ebagx.torch.embedding_bag(IDS, leaf).square().sum()
    (gradient,) = torch.autograd.grad(pooled, leaf, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # the first dual tensor loads scripts
@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("mode", ["sum", "sqrtn"])
def test_there_is_no_forward_derivative(grad, fused, mode):
    """PyTorch raises it, too; a result without a tangent would be a derivative of zero."""
    bag = ebagx.torch.EmbeddingBag(5, 2, mode=mode)
    if fused:
        ebagx.torch.accelerate(bag, lambda: ebagx.optim.SGD(0.1))
    weights = torch.ones(IDS.shape)
    with torch.set_grad_enabled(grad), torch.autograd.forward_ad.dual_level():
        assert bag(IDS, per_sample_weights=weights).shape == (2, 2)  # it is no dual tensor
        dual = torch.autograd.forward_ad.make_dual(weights, weights)
        with pytest.raises(
            NotImplementedError, match="forward AD with embedding_bag.*of per_sample"
        ):
            bag(IDS, per_sample_weights=dual)
        table = torch.autograd.forward_ad.make_dual(bag.weight.detach(), torch.ones(5, 2))
        with pytest.raises(NotImplementedError, match="forward AD with _embedding_bag"):
            torch.nn.functional.embedding_bag(IDS, table)
        with pytest.raises(NotImplementedError, match="forward AD with embedding_bag.*of weight"):
            ebagx.torch.embedding_bag(IDS, table, mode=mode)


def test_checkpointing(models):
    theirs, ours = models
    for reentrant in (False, True):
        for model in models:
            model.zero_grad()
            bags = IDS.clone()
            hidden = torch.utils.checkpoint.checkpoint(
                lambda one, bags=bags, model=model: one * model(bags),
                torch.ones((), requires_grad=True),
                use_reentrant=reentrant,
            )
            hidden.square().sum().backward()
        torch.testing.assert_close(ours.bag.weight.grad, theirs.bag.weight.grad)


def test_hooks_of_modules(models):
    _, ours = models
    seen = []
    ours.bag.register_forward_hook(lambda module, given, pooled: seen.append(pooled.shape))
    ours.bag.weight.register_hook(lambda grad: 2 * grad)
    ours.bag.weight.register_post_accumulate_grad_hook(lambda weight: seen.append(weight.shape))
    ours(IDS).sum().backward()
    doubled = ours.bag.weight.grad.clone()
    assert seen == [(2, 8), (50, 8)]
    theirs = models[0]
    theirs(IDS).sum().backward()
    torch.testing.assert_close(doubled, 2 * theirs.bag.weight.grad)


def test_jagged_tensors():
    theirs, ours = pair(10, 3, mode="sum")
    ids = torch.nested.nested_tensor(
        [torch.tensor([1, 2, 3]), torch.tensor([7])], layout=torch.jagged
    )
    values = torch.tensor([0.5, 1, 2, 3], requires_grad=True)
    weights = torch.nested.nested_tensor_from_jagged(values, ids.offsets())
    torch.testing.assert_close(ours(ids), theirs(ids))
    torch.testing.assert_close(
        ours(ids, per_sample_weights=weights), theirs(ids, per_sample_weights=weights)
    )
    ours(ids, per_sample_weights=weights).sum().backward()
    torch.testing.assert_close(values.grad, ours.weight.detach()[ids.values()].sum(1))
    others = torch.nested.nested_tensor_from_jagged(values, torch.tensor([0, 1, 4]))
    with pytest.raises(ValueError, match="embedding_bag: If per_sample_weights"):
        ours(ids, per_sample_weights=others)


def test_traces_hold_operations_of_pytorch(models):
    theirs, ours = models
    for strict in (False, True):
        exported = torch.export.export(ours, (IDS,), strict=strict)
        assert "aten.embedding_bag" in exported.graph_module.code
        torch.testing.assert_close(exported.module()(IDS), theirs(IDS))
    # PyTorch warns that this kind of trace is deprecated.
    with pytest.warns(DeprecationWarning, match="torch.jit.trace"):
        traced = torch.jit.trace(ours, (IDS,))
    torch.testing.assert_close(traced(IDS + 1), theirs(IDS + 1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("fused", [False, True])
def test_compiled_models_call_the_kernels_outside_their_graphs(models, fused):
    from torch._dynamo.testing import CompileCounter

    _, ours = models
    if fused:
        ebagx.torch.accelerate(ours, lambda: ebagx.optim.SGD(0.0))
    counter = CompileCounter()
    compiled = torch.compile(ours, backend=counter)
    expected = ours(IDS)
    pooled = compiled(IDS)
    torch.testing.assert_close(pooled, expected)
    assert counter.frame_count == 1  # the head
    pooled.sum().backward()
    assert (ours.bag.weight.grad is None) == fused


@pytest.mark.slow
def test_distributed_data_parallel(tmp_path):
    """Two processes exchange sparse gradients, and have the table of one with all bags."""
    code = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from support import torch_workers as w"
    paths = [tmp_path / f"{rank}.pt" for rank in range(2)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", f"{code}; w.train_distributed({rank}, {str(path)!r})"], env=env
        )
        for rank, path in enumerate(paths)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    expected = train_alone()
    for path in paths:
        torch.testing.assert_close(torch.load(path), expected)


def test_modules_that_exchange_gradients_cannot_update_in_backward(tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(Model())
        with pytest.raises(ValueError, match="DistributedDataParallel exchanges"):
            ebagx.torch.accelerate(parallel, lambda: ebagx.optim.SGD(0.1))
        inner = ebagx.torch.accelerate(Model(), lambda: ebagx.optim.SGD(0.1))
        parallel = torch.nn.parallel.DistributedDataParallel(inner)
        with pytest.raises(RuntimeError, match="DistributedDataParallel exchanges"):
            parallel(IDS)
        with torch.no_grad():
            parallel(IDS)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_usual_calls_are_one_call_of_a_kernel(monkeypatch, grad, weighted):
    """They are not checked a second time, which took longer than to pool a few bags."""
    from ebagx.torch import pooling

    monkeypatch.setattr(pooling, "bags_for", None)
    bag = ebagx.torch.EmbeddingBag(50, 8, mode="sum")
    ids, offsets = torch.tensor([3, 1, 1, 4]), torch.tensor([0, 2])
    weights = torch.tensor([0.5, 1, 2, 3]) if weighted else None
    with torch.set_grad_enabled(grad):
        pooled = bag(ids, offsets, weights)
    expected = torch.nn.functional.embedding_bag(
        ids, bag.weight, offsets, mode="sum", per_sample_weights=weights
    )
    torch.testing.assert_close(pooled, expected)
