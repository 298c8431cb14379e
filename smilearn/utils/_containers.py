"""Samples and labels in whatever people keep them in."""

import sys

import numpy as np
import scipy.sparse as sp
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _num_samples

from smilearn.exceptions import InvalidInputError
from smilearn.utils._inputs import is_tensor
from smilearn.utils._sklearn_compat import take
from smilearn.utils._texts import check_labels


def take_samples(X, indices):
    """Some samples, in the container that they came in."""
    if is_dataset(X):
        return X.select(indices)
    if _home(X) == "pyarrow":
        return X.take(indices)
    if _home(X) == "pandas" and not hasattr(X, "iloc"):  # an index, an array of strings
        return X[indices]
    if sp.issparse(X) and X.format not in ("csr", "csc", "lil"):
        return take(X.tocsr(), indices).asformat(X.format)
    taken = take(X if hasattr(X, "__getitem__") else np.asarray(X), indices)
    return tuple(taken) if isinstance(X, tuple) else taken


def _home(X):
    """Package that a container comes from."""
    return type(X).__module__.partition(".")[0]


def is_dataset(X):
    """Tell whether X is a Dataset of Hugging Face."""
    datasets = sys.modules.get("datasets")
    return datasets is not None and isinstance(X, datasets.Dataset)


def check_aligned(X, named):
    """Refuse what does not hold one value for each sample."""
    n_samples = _num_samples(X)
    for name, values in named.items():
        if values is None:
            continue
        try:
            length = _num_samples(values)
        except TypeError:
            length = f"a {type(values).__name__}"
        if length != n_samples:
            raise InvalidInputError(
                f"{name} must hold one value for each of the {n_samples} samples; got "
                f"{length}."
            )


def index_of(X):
    """The index of a pandas frame or series, or None."""
    return X.index if hasattr(X, "iloc") else None


def require_labels(y):
    """Refuse to go without labels, in the words of scikit-learn."""
    if y is None:
        raise InvalidInputError(
            "RiskFilter requires y to be passed, but the target y is None."
        )


def class_labels(y):
    """One class label a sample."""
    require_labels(y)
    if is_tensor(y):
        y = y.detach().cpu().numpy()
    if sp.issparse(y):
        y = y.toarray()
    if not np.iterable(y) and hasattr(y, "__array__"):
        y = np.asarray(y)
    if len(getattr(y, "shape", ())) == 2:
        table = np.asarray(y)
        if table.shape[1] == 1:
            return class_labels(table[:, 0])
        if not (np.isin(table, (0, 1)).all() and (table.sum(1) == 1).all()):
            raise InvalidInputError(
                "Multilabel and multioutput targets are not supported. Samples with "
                "several labels are scored by SlicedMIScorer; cut them by its scores_."
            )
        return table.argmax(1)
    labels = check_labels(y)
    if not len(labels):
        raise InvalidInputError("y holds no labels; a filter needs samples.")
    nullable = getattr(getattr(y, "dtype", None), "numpy_dtype", None)
    if nullable is not None and labels.dtype != nullable:
        labels = labels.astype(nullable)
    check_classification_targets(labels)
    return labels
