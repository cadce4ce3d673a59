"""Train models with and without `accelerate`, and compare them."""

import copy

import pytest

torch = pytest.importorskip("torch")

import ebagx.torch  # noqa: E402
from support.torch_cases import Model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
ROWS, CLASSES = 300, 5


def batches(count, seed=0):
    """Yield ragged bags whose class depends on their ids."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        lengths = torch.randint(1, 12, (32,), generator=generator)
        ids = torch.randint(ROWS, (int(lengths.sum()),), generator=generator)
        offsets = torch.cumsum(lengths, 0) - lengths
        yield ids, offsets, ids[offsets] % CLASSES


def train(model, optimizers, steps):
    losses = []
    for ids, offsets, labels in batches(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(ids, offsets), labels)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    return losses


def models(**options):
    torch.manual_seed(0)
    theirs = Model(ROWS, 16, CLASSES, **options)
    return theirs, copy.deepcopy(theirs)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("sparse", [False, True])
def test_plain_models_end_with_the_same_loss(mode, sparse):
    if mode == "max" and sparse:
        pytest.skip("PyTorch has no such gradient")
    losses = []
    for number, model in enumerate(models(mode=mode, sparse=sparse)):
        if number:
            ebagx.torch.accelerate(model)
        losses.append(train(model, [torch.optim.Adagrad(model.parameters(), 0.05)], 200))
    assert losses[0][-1] < 0.9 * losses[0][0]
    assert losses[1][-1] == pytest.approx(losses[0][-1], abs=1e-5)


@pytest.mark.parametrize(
    ("of_torch", "of_ebagx"),
    [
        (torch.optim.Adagrad, ebagx.optim.Adagrad),
        (torch.optim.SparseAdam, ebagx.optim.Adam),
        (torch.optim.SGD, ebagx.optim.SGD),
    ],
    ids=["Adagrad", "SparseAdam", "SGD"],
)
def test_fused_optimizers_are_those_of_pytorch(of_torch, of_ebagx):
    theirs, ours = models(mode="mean", sparse=True)
    ebagx.torch.accelerate(ours, lambda: of_ebagx(0.01))
    heads = [torch.optim.SGD(model.head.parameters(), 0.01) for model in (theirs, ours)]
    train(theirs, [of_torch([theirs.bag.weight], 0.01), heads[0]], 50)
    train(ours, [heads[1]], 50)
    torch.testing.assert_close(ours.bag.weight, theirs.bag.weight, rtol=1e-6, atol=1e-6)
    assert ours.bag.optimizer.num_steps == 50


def test_optimizer_that_holds_the_parameters_stays_valid():
    """The model is converted between two steps."""
    theirs, ours = models(mode="sum", sparse=True)
    optimizers = [torch.optim.Adagrad(model.parameters(), 0.05) for model in (theirs, ours)]
    for model, optimizer in zip((theirs, ours), optimizers, strict=True):
        train(model, [optimizer], 5)
        if model is ours:
            ebagx.torch.accelerate(model)
        train(model, [optimizer], 5)
    torch.testing.assert_close(ours.bag.weight, theirs.bag.weight)


class StaticEmbedding(torch.nn.Module):
    """The shape of a static-embedding model of sentence-transformers."""

    def __init__(self, table):
        super().__init__()
        self.embedding = torch.nn.EmbeddingBag.from_pretrained(table, freeze=False)

    def forward(self, features):
        features["sentence_embedding"] = self.embedding(features["input_ids"], features["offsets"])
        return features


def test_static_embeddings_are_reached():
    model = torch.nn.Sequential(StaticEmbedding(torch.randn(20, 4)))
    features = {"input_ids": torch.tensor([1, 2, 2, 9]), "offsets": torch.tensor([0, 3])}
    expected = model(dict(features))["sentence_embedding"]
    ebagx.torch.accelerate(model)
    assert type(model[0].embedding) is ebagx.torch.EmbeddingBag
    torch.testing.assert_close(model(dict(features))["sentence_embedding"], expected)
