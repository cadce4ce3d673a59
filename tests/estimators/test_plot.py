"""Test the attributes of displays, their drawings, and the arguments that they reject."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from matplotlib import pyplot
from matplotlib.colors import to_rgba
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

from ebagx.sklearn import EmbeddingBagClassifier, EmbeddingBagTransformer
from ebagx.sklearn.plot import EmbeddingMapDisplay, TrainingCurveDisplay


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def classifier():
    X = np.random.default_rng(0).integers(3, size=(30, 6))
    return EmbeddingBagClassifier(max_iter=4, random_state=0).fit(X, np.arange(30) % 3)


@pytest.fixture
def embeddings():
    return np.random.default_rng(0).standard_normal((90, 5)) * [5, 3, 1, 1, 1]


def drawn(display):
    display.figure_.canvas.draw()
    return display


def test_training_curve(classifier):
    display = drawn(TrainingCurveDisplay.from_estimator(classifier))
    x, y = display.line_.get_data()
    assert x.tolist() == [1, 2, 3, 4]
    assert y.tolist() == classifier.loss_curve_
    assert display.ax_.get_title() == "EmbeddingBagClassifier"
    assert display.score_ax_ is display.score_line_ is display.validation_scores is None


def test_training_curve_with_validation_scores(classifier):
    classifier.validation_scores_ = [0.5, 0.7, 0.75, 0.72]
    display = drawn(TrainingCurveDisplay.from_estimator(classifier, name="mine"))
    x, y = display.score_line_.get_data()
    assert (x.tolist(), y.tolist()) == ([1, 2, 3, 4], classifier.validation_scores_)
    assert display.ax_.get_title() == "mine"
    assert display.score_ax_.get_ylabel() == "Validation score"
    assert display.line_.get_color() != display.score_line_.get_color()


def test_training_curve_of_a_pipeline_in_given_axes():
    model = make_pipeline(CountVectorizer(), EmbeddingBagClassifier(max_iter=2))
    model.fit(["a cat", "bread", "a dog", "butter"], [0, 1, 0, 1])
    _, (ax, other) = pyplot.subplots(1, 2)
    display = TrainingCurveDisplay.from_estimator(
        model, ax=ax, loss_kw={"color": "black", "label": "cats"}
    )
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.line_.get_color() == display.ax_.yaxis.label.get_color() == "black"
    assert display.line_.get_label() == "cats"
    assert display.plot(other) is display
    assert display.ax_ is other


def test_training_curve_needs_a_fitted_estimator_with_a_loss():
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(EmbeddingBagClassifier())
    transformer = EmbeddingBagTransformer().fit([[1.0, 2.0]])
    message = "^estimator must have a loss_curve_, EmbeddingBagTransformer has none$"
    with pytest.raises(TypeError, match=message):
        TrainingCurveDisplay.from_estimator(transformer)


def test_map_shows_principal_components(embeddings):
    display = drawn(EmbeddingMapDisplay.from_embeddings(embeddings))
    centred = embeddings - embeddings.mean(axis=0)
    lengths = np.linalg.svd(centred, compute_uv=False)
    ratio = lengths**2 / (lengths**2).sum()
    np.testing.assert_allclose(display.explained_variance_ratio, ratio[:2])
    np.testing.assert_allclose(np.linalg.norm(display.coordinates, axis=0), lengths[:2])
    np.testing.assert_array_equal(display.scatter_.get_offsets(), display.coordinates)
    assert f"({ratio[0]:.0%} of the variance)" in display.ax_.get_xlabel()
    assert f"({ratio[1]:.0%} of the variance)" in display.ax_.get_ylabel()
    assert display.legend_ is display.classes is None


def looks_by_class(display):
    """Return the colour and the shape of each point, by class; points of a class look the same."""
    looks = {}
    colors, paths = display.scatter_.get_facecolors(), display.scatter_.get_paths()
    for name, color, path in zip(display.classes, colors, paths, strict=True):
        look = tuple(color), path.vertices.tobytes()
        assert looks.setdefault(name, look) == look
    return looks


@pytest.mark.parametrize("num_classes", [1, 2, 10, 11, 30, 31, 70])
def test_no_two_classes_look_the_same(num_classes):
    y = np.arange(2 * num_classes) // 2
    embeddings = np.random.default_rng(0).standard_normal((len(y), 3))
    display = drawn(EmbeddingMapDisplay.from_embeddings(embeddings, y))
    assert len(set(looks_by_class(display).values())) == num_classes
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == list(map(str, range(num_classes)))


@pytest.mark.parametrize("num_classes", [10, 30])
def test_the_legend_fits_in_the_figure_beside_the_map(num_classes):
    y = [f"class {i % num_classes}" for i in range(100)]
    embeddings = np.random.default_rng(0).standard_normal((100, 3))
    display = drawn(EmbeddingMapDisplay.from_embeddings(embeddings, y))
    box = display.legend_.get_window_extent()
    assert box.x0 >= display.ax_.get_window_extent().x1
    assert box.x1 <= display.figure_.bbox.x1
    assert display.figure_.bbox.y0 <= box.y0 < box.y1 <= display.figure_.bbox.y1


def test_the_legend_shows_the_looks_of_the_points(embeddings):
    y = np.arange(90) % 3
    display = drawn(EmbeddingMapDisplay.from_embeddings(embeddings, y, alpha=1))
    looks = looks_by_class(display)
    for name, handle in zip(range(3), display.legend_.legend_handles, strict=True):
        assert to_rgba(handle.get_color()) == pytest.approx(looks[name][0])


def test_classes_lie_in_mixed_order(embeddings):
    y = np.repeat([0, 1, 2], 30)
    display = EmbeddingMapDisplay.from_embeddings(embeddings, y)
    assert (np.diff(display.classes) != 0).sum() > 30


def test_points_keep_their_classes():
    embeddings = np.random.default_rng(0).standard_normal((200, 2)) * 0.1
    y = np.where(np.arange(200) < 100, "left", "right")
    embeddings[y == "right", 0] += 5
    display = EmbeddingMapDisplay.from_embeddings(embeddings, y, subsample=50)
    right = display.coordinates[:, 0] > 0
    sides = {name: set(right[display.classes == name]) for name in ("left", "right")}
    assert sides in ({"left": {False}, "right": {True}}, {"left": {True}, "right": {False}})


class Recorder:
    """An estimator that remembers how many rows it transformed."""

    def transform(self, X):
        self.rows = X.shape[0]
        return X.toarray()


def test_only_the_subsample_is_transformed(embeddings):
    X, estimator = sparse.csr_array(embeddings), Recorder()
    display = EmbeddingMapDisplay.from_estimator(estimator, X, np.arange(90) % 3, subsample=40)
    assert estimator.rows == len(display.coordinates) == len(display.classes) == 40
    assert display.ax_.get_title() == "Recorder"
    EmbeddingMapDisplay.from_estimator(estimator, X, subsample=None)
    assert estimator.rows == 90


def test_random_state(embeddings):
    first, same, other = (
        EmbeddingMapDisplay.from_embeddings(embeddings, subsample=20, random_state=seed)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.coordinates, same.coordinates)
    assert not np.array_equal(first.coordinates, other.coordinates)


def test_map_of_a_pipeline_of_texts():
    texts = ["a cat", "bread", "a dog", "butter and bread"]
    model = make_pipeline(CountVectorizer(), EmbeddingBagTransformer(random_state=0)).fit(texts)
    display = drawn(EmbeddingMapDisplay.from_estimator(model, texts, ["animal", "food"] * 2))
    assert display.coordinates.shape == (4, 2)
    assert display.ax_.get_title() == "EmbeddingBagTransformer"


def test_styles_and_legend_can_be_changed(embeddings):
    _, ax = pyplot.subplots()
    y = np.arange(90) % 3
    display = drawn(
        EmbeddingMapDisplay.from_embeddings(
            embeddings, y, ax=ax, name="bags", legend=False, s=50, marker="x", linewidths=1
        )
    )
    assert display.ax_ is ax
    assert ax.get_title() == "bags"
    assert display.legend_ is None
    assert display.scatter_.get_sizes().tolist() == [50]
    assert len(display.scatter_.get_paths()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": np.ones((5, 1))}, r"^embeddings must have at least 2 .* shape \(5, 1\)$"),
        ({"embeddings": np.ones((1, 5))}, r"^embeddings must have at least 2 .* shape \(1, 5\)$"),
        ({"embeddings": np.ones(5)}, r"^embeddings must have at least 2 .* shape \(5,\)$"),
        ({"y": np.zeros((90, 2))}, "^y must be 1-D, got 2-D$"),
        ({"y": np.arange(90) % 71}, "^y must have at most 70 classes, got 71$"),
        ({"y": np.zeros(89)}, "inconsistent numbers of samples"),
        ({"subsample": 1}, "^subsample must be at least 2 or None, got 1$"),
    ],
)
def test_bad_arguments_of_a_map(embeddings, arguments, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingMapDisplay.from_embeddings(**{"embeddings": embeddings} | arguments)


@pytest.mark.parametrize(
    "call",
    [
        "EmbeddingMapDisplay.from_embeddings([[1.0, 2.0], [3.0, 1.0]])",
        "TrainingCurveDisplay(loss_curve=[1.0]).plot()",
    ],
)
def test_without_matplotlib(call):
    code = "import sys; sys.modules['matplotlib'] = None; from ebagx.sklearn.plot import *; " + call
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    message = "ModuleNotFoundError: ebagx.sklearn.plot needs matplotlib: pip install 'ebagx[plot]'"
    assert message in done.stderr


def test_matplotlib_is_imported_late():
    code = "import sys, ebagx.sklearn.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
