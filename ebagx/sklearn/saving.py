"""Save fitted estimators as folders of numbers, which hold no code, and load them again."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ebagx._core.memory import check_mapped
from ebagx._training.optimizers import State
from ebagx.io.estimator_folder import Content, read_estimator, write_estimator
from ebagx.sklearn.encoded import (
    STATES,
    decoded_all,
    decoded_optimizer,
    decoded_rng,
    encoded,
    encoded_all,
    encoded_optimizer,
)
from ebagx.sklearn.passes import MadeInPasses
from ebagx.sklearn.saved import Count, Folder, Kind, Labels, NumberOrNone, Numbers

_MOST_OPTIMIZERS = 3
_NAMES_OF_COLUMNS = "feature_names_in_"


class SavedInFolder(MadeInPasses):
    """Estimators that `save` writes as a folder, and `load_estimator` reads."""

    # Fitted attributes that a class adds to those of its bases.
    _saved: ClassVar[Mapping[str, Kind]] = {
        "n_features_in_": Count("I"),
        _NAMES_OF_COLUMNS: Labels("I"),
        "loss_curve_": Numbers(),
        "validation_scores_": Numbers(),
        "best_validation_score_": NumberOrNone(),
        "best_iter_": Count(),
        "n_iter_": Count(),
    }
    _is_loaded: bool = False  # whether arrays are memory maps of a folder

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted model as a folder, which `ebagx.sklearn.load_estimator` reads.

        The folder holds numbers and names, and no code: JSON, and ``.npy`` files with checksums. It
        keeps the parameters, all fitted attributes, and the state of the optimizer if there is one,
        with which `partial_fit` goes on. A complete new model replaces one that is there in one
        step; other processes may load it meanwhile.

        Parameters
        ----------
        path : str or Path
            The folder.

        Raises
        ------
        NotFittedError
            Before `fit`.
        OSError
            If the system refuses to write; an old model stays.
        ValueError
            If the folder is neither new, nor empty, nor the model of an estimator, if a parameter
            is a function or another object that is not numbers, or if parameters or attributes that
            were assigned are wrong. A parameter of a wrong type is a TypeError.
        """
        check_is_fitted(self, self._fitted_name)
        kind_of_self = type(self).__name__
        if _kinds().get(kind_of_self) is not type(self):
            raise ValueError(f"{kind_of_self} is another class than ebagx.sklearn has: pickle it")
        self._check_to_save()
        folder = Folder({}, {}, {})
        for name, kind in self._schema().items():
            if name != _NAMES_OF_COLUMNS or hasattr(self, name):
                kind.write(name, getattr(self, name), folder)
        parameters = self.get_params(deep=False)  # type: ignore[attr-defined]
        values = {
            "parameters": encoded_all(parameters),
            "attributes": folder.values,
            "state": self._encoded_state(folder),
        }
        content = Content(kind_of_self, values, folder.arrays)
        # Parameters and attributes may have been assigned: what cannot be loaded is not saved.
        type(self)()._restore(content)
        write_estimator(content, Path(path), names_of_arrays())

    def _encoded_state(self, folder: Folder) -> dict[str, Any] | None:
        """Return the state of a training for JSON; put its arrays into the folder."""
        state: State | None = getattr(self, "_state", None)
        if state is None:
            return None
        optimizers = []
        for number, optimizer in enumerate(state.optimizers):
            about, arrays = encoded_optimizer(optimizer, "optimizer")
            folder.arrays.update({f"optimizer{number}_{name}": arrays[name] for name in arrays})
            optimizers.append(about)
        return {
            "rng": state.rng.bit_generator.state,
            "random_state": encoded(state.random_state, "random_state"),
            "optimizers": optimizers,
        }

    def _restore(self, content: Content) -> None:
        """Set parameters and fitted attributes to those of a folder; raise ValueError if bad."""
        values = content.values
        if set(values) != {"parameters", "attributes", "state"}:
            raise ValueError("values does not consist of parameters, attributes and state")
        self._set_parameters(values["parameters"])
        self._made_with = {name: getattr(self, name) for name in self._fixed}
        if not isinstance(values["attributes"], dict):
            raise ValueError("attributes is not a dictionary")
        folder = Folder(values["attributes"], dict(content.arrays), {})
        for name, kind in self._schema().items():
            if name != _NAMES_OF_COLUMNS or name in folder.values:
                setattr(self, name, kind.read(name, folder))
        self._is_loaded = True
        if values["state"] is not None:
            self._state = self._decoded_state(values["state"], folder)
        self._check_restored()

    def _set_parameters(self, given: Any) -> None:
        parameters = decoded_all(given, "parameters")
        own = self.get_params(deep=False)  # type: ignore[attr-defined]
        if set(parameters) != set(own):
            differing = sorted(set(parameters) ^ set(own))
            raise ValueError(f"parameters differ in {differing[0]:.40}")
        for name, value in parameters.items():
            setattr(self, name, value)
        self._check_parameters()

    def _decoded_state(self, given: Any, folder: Folder) -> State:
        names = {"rng", "random_state", "optimizers"}
        if not isinstance(given, dict) or set(given) != names:
            raise ValueError(f"state does not consist of {', '.join(sorted(names))}")
        optimizers = given["optimizers"]
        if not isinstance(optimizers, list) or len(optimizers) != self._count_of_optimizers():
            raise ValueError("state has another number of optimizers")
        seed = given["random_state"]
        if not (seed is None or type(seed) is int):
            raise ValueError(f"random_state is {seed!r:.40}")
        decoded = []
        for number, about in enumerate(optimizers):
            files = {name: f"optimizer{number}_{name}" for name in STATES}
            found = {name for name, file in files.items() if file in folder.arrays}
            arrays = {name: folder.arrays[files[name]] for name in found}
            decoded.append(decoded_optimizer(about, arrays, "optimizers"))
        return State(decoded_rng(given["rng"]), decoded, seed)

    def _count_of_optimizers(self) -> int:
        count: int = self._num_optimizers  # type: ignore[attr-defined]
        return count

    @classmethod
    def _schema(cls) -> dict[str, Kind]:
        """Return the fitted attributes of the class and their kinds."""
        schema: dict[str, Kind] = {}
        for base in reversed(cls.__mro__):
            schema |= vars(base).get("_saved", {})
        return schema

    def _check_to_save(self) -> None:
        """Raise ValueError if parameters differ from those with which the model was made."""
        self._check_unchanged(*self._fixed)

    def _check_restored(self) -> None:
        """Raise TypeError or ValueError unless the fitted attributes fit each other."""

    def _own_arrays(self) -> None:
        """Replace memory maps of a folder by copies, which training can change."""
        if self._is_loaded:
            for name, value in self.__dict__.items():
                if isinstance(value, np.ndarray) and not value.flags.writeable:
                    check_mapped(value, name)
                    setattr(self, name, value.copy())
            self._is_loaded = False


def _kinds() -> dict[str, type[SavedInFolder]]:
    """Return the classes that a folder may name."""
    from ebagx import sklearn as public  # its import needs this module

    every = (getattr(public, name) for name in public.__all__)
    return {
        kind.__name__: kind
        for kind in every
        if isinstance(kind, type) and issubclass(kind, SavedInFolder)
    }


def names_of_arrays() -> list[str]:
    """Return the names of all arrays that the folder of an estimator may have."""
    names = {f"optimizer{number}_{name}" for number in range(_MOST_OPTIMIZERS) for name in STATES}
    for kind in _kinds().values():
        for attribute, of in kind._schema().items():
            names.update(of.files(attribute))
    return sorted(names)


def load_estimator(path: str | os.PathLike[str], num_threads: int | None = None) -> Any:
    """Return an estimator that its method `save` has written.

    Parameters
    ----------
    path : str or Path
        The folder.
    num_threads : int, optional
        Largest number of threads; None: the parameter that was saved.

    Returns
    -------
    estimator
        A fitted estimator of the class that was saved, with the same parameters. It predicts at
        once: large arrays are mapped, not copied, and processes that load the same folder share
        their memory. `partial_fit` goes on with copies, and with the optimizer's state if it was
        saved.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If there is no model of an estimator, if a file is damaged or of another version, or if
        its parts do not fit each other. The text names the file.

    See Also
    --------
    ebagx.text.load_model : The same for `ebagx.text.TextClassifier`.

    Notes
    -----
    A folder cannot run code. Each file is read once, for its checksum. A model that is loaded does
    not change when another one replaces it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from ebagx.datasets import make_interactions
    >>> from ebagx.sklearn import EmbeddingBagRecommender, load_estimator
    >>> data = make_interactions(random_state=0)
    >>> model = EmbeddingBagRecommender(16, random_state=0).fit(data.train)
    >>> with TemporaryDirectory() as folder:
    ...     model.save(Path(folder, "recommender"))
    ...     loaded = load_estimator(Path(folder, "recommender"))
    >>> bool((loaded.recommend(data.train)[0] == model.recommend(data.train)[0]).all())
    True
    """
    directory, kinds = Path(path), _kinds()
    content = read_estimator(directory, names_of_arrays())
    if content.kind not in kinds:
        raise ValueError(f"{directory}: class is {content.kind!r:.40}, not {', '.join(kinds)}")
    estimator = kinds[content.kind]()
    try:
        estimator._restore(content)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{directory}: damaged: {error}") from error
    if num_threads is not None:
        estimator.num_threads = num_threads  # type: ignore[attr-defined]
        estimator._check_parameters()
    return estimator
