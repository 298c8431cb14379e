"""Class labels, as every entry point takes them: types kept, anything else refused."""

import unicodedata

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from smilearn.exceptions import InvalidInputError, SimilarLabelsWarning
from smilearn.utils._validation import (
    as_numpy,
    check_texts,
    first_surrogate,
    is_missing,
    is_tensor,
    named_rows,
    read_column,
    refuse_masked,
    refuse_tables,
)
from smilearn.utils._warnings import warn

_FEW = 20  # samples below which each may well have a class of its own
_EXACT = 2**53  # whole numbers up to here are exact as floats


def check_labels(y, caller="The estimator"):
    """One label a sample as an array, in the type it came in, or an error."""
    if y is None:
        raise InvalidInputError(
            f"{caller} requires y to be passed, but the target y is None."
        )
    y = _one_column(y)
    kind = y.dtype.kind if isinstance(y, np.ndarray) else "O"
    if kind in "fcmM":
        _refuse_missing(np.flatnonzero(y != y))  # NaN and NaT alone
    if kind in "mM":
        raise InvalidInputError(
            f"labels must be strings, numbers or booleans; got {y.dtype}. Turn dates "
            "into strings."
        )
    if kind == "U":
        _check_strings(np.unique(y).tolist(), y)
    if kind in "biufcSU":
        return y
    values = _as_list(y)
    if not set(map(type, values)) <= {str}:
        _refuse_missing([row for row, value in enumerate(values) if is_missing(value)])
        values = [v.item() if isinstance(v, np.generic) else v for v in values]
    kinds = {}
    for row, kind in enumerate(map(_kind, values)):
        kinds.setdefault(kind, row)
    if len(kinds) > 1:
        found = [f"{k} ({values[r]!r} in row {r})" for k, r in kinds.items()]
        raise InvalidInputError(
            f"labels must be of one kind; got {' and '.join(found)}, counted from 0. "
            "Turn all into strings, or all into numbers."
        )
    kind = next(iter(kinds), None)
    if kind == "numbers":
        return _numbers(values)
    if kind == "true or false":
        return np.array(values, bool)
    if kind == "strings":
        names = set(values)
        _check_strings(names, values)
        ends = any(name.endswith("\0") for name in names)  # which NumPy would cut
        if not (ends or isinstance(y, np.ndarray)):
            return np.array(values)
    labels = np.empty(len(values), object)
    labels[:] = values
    return labels


def check_classes(labels):
    """Refuse labels that name no classes; warn of those that may be typos."""
    if labels.dtype.kind in "OU" and isinstance(next(iter(labels), 0), str):
        check_names(np.unique(labels), len(labels))
    check_classification_targets(labels)


def check_names(classes, n_samples):
    """Refuse names of nearly as many classes as samples; warn of those alike."""
    if n_samples >= _FEW and len(classes) > 0.9 * n_samples:
        raise InvalidInputError(
            f"The {n_samples} samples have {len(classes)} different labels, such as "
            f"{_short(classes[0])}: nearly every sample is a class of its own. Give "
            "the column of the labels, not that of the texts or ids."
        )
    alike = {}
    for name in classes.tolist():
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        alike.setdefault(plain, []).append(name)
    pairs = [names for names in alike.values() if len(names) > 1]
    if pairs:
        shown = "; ".join(" and ".join(map(_short, names)) for names in pairs[:3])
        warn(
            f"Labels that differ by case or blanks alone are classes of their own: "
            f"{shown}. Strip them if they are meant to be the same.",
            SimilarLabelsWarning,
        )


def class_labels(y, caller="The estimator"):
    """Labels that name classes."""
    labels = check_labels(y, caller)
    check_classes(labels)
    return labels


def one_label_each(y, caller):
    """Labels that name classes, from a column or from one 1 in each row of a table."""
    y = y.toarray() if issparse(y) else y
    if getattr(y, "shape", ())[1:] == (1,):
        y = y[next(iter(y.columns))] if hasattr(y, "columns") else y[:, 0]
    if len(getattr(y, "shape", ())) != 2:
        labels = class_labels(y, caller)
        if not len(labels):
            raise InvalidInputError("y holds no labels; one sample or more is needed.")
        return labels
    table = np.asarray(as_numpy(y))
    if not (np.isin(table, (0, 1)).all() and (table.sum(1) == 1).all()):
        raise InvalidInputError(
            "Multilabel and multioutput targets are not supported. Samples with "
            "several labels are scored by SlicedMIScorer; cut them by its scores_."
        )
    return table.argmax(1)


def same_kind(y, classes):
    """Refuse labels of another kind than those of `fit`: strings, or numbers."""
    kinds = [_kind(part.tolist()[0]) for part in (y[:1], classes[:1]) if len(part)]
    kinds = ["numbers" if kind == "true or false" else kind for kind in kinds]
    if len(set(kinds)) > 1:
        raise InvalidInputError(
            f"y holds labels that were not seen in fit: {kinds[0]} such as "
            f"{y[:1].tolist()[0]!r}, where those of fit are {kinds[1]} such as "
            f"{classes[:1].tolist()[0]!r}."
        )


def check_labelled_texts(texts, y):
    """Check texts and their class labels together: two classes or more."""
    texts, y = check_texts(texts), class_labels(y)
    check_consistent_length(texts, y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InvalidInputError(
            f"y must hold 2 classes or more; got {classes.tolist()} only."
        )
    return texts, classes, codes


def _one_column(y):
    """A column of labels; of a frame that has one alone, that one with a warning."""
    if len(getattr(y, "columns", ())) == 1:
        warn(
            "A column-vector y was passed when a 1d array was expected; give "
            f"y[{next(iter(y.columns))!r}].",
            DataConversionWarning,
        )
        y = y[next(iter(y.columns))]
    refuse_tables(y, "labels")
    y = read_column(y)
    if is_tensor(y):
        y = y.detach().cpu().numpy()
    if hasattr(y, "iloc") and isinstance(y.dtype, np.dtype) and y.dtype.kind != "O":
        y = y.to_numpy()
    refuse_masked(y, "labels")
    if isinstance(y, (str, bytes)) or not (np.iterable(y) or hasattr(y, "__array__")):
        raise InvalidInputError(f"labels must be a sequence; got {y!r}.")
    if not np.iterable(y):
        y = np.asarray(y)
    if isinstance(y, (list, tuple)) and y and isinstance(y[0], (list, np.ndarray)):
        y = np.asarray(y)
    if len(getattr(y, "shape", (0,))) != 1:
        y = column_or_1d(np.asarray(y), warn=True)
    return y


def _as_list(y):
    """Labels as Python values: Arrow, pandas and polars know their own types."""
    for name in ("to_pylist", "to_list", "tolist"):
        if hasattr(y, name):
            return getattr(y, name)()
    return list(y)


def _refuse_missing(rows):
    if len(rows):
        raise InvalidInputError(
            f"y must hold a label for each sample; {len(rows)} missing, in "
            f"{named_rows(rows)} (counted from 0). Drop these rows or fill them in."
        )


def _kind(value):
    if isinstance(value, str):
        return "strings"
    if isinstance(value, (bool, np.bool_)):
        return "true or false"
    if isinstance(value, (int, float)):
        return "numbers"
    return f"values of type {type(value).__name__}"


def _check_strings(names, values):
    row = first_surrogate(names, values)
    if row is not None:
        raise InvalidInputError(
            f"labels must be Unicode; row {row} (counted from 0) holds half a "
            f"character: {values[row]!a}. Read the file with the encoding it has."
        )


def _numbers(values):
    whole = [value for value in values if isinstance(value, int)]
    largest = max(map(abs, whole), default=0)
    labels = np.array(values)
    rounded = len(whole) < len(values) and largest > _EXACT
    if rounded or labels.dtype.kind != ("i" if len(whole) == len(values) else "f"):
        raise InvalidInputError(
            "Labels that are numbers must be whole numbers of 64 bits, or floats that "
            f"hold them exactly; got {largest}. Turn them into strings."
        )
    return labels


def _short(value):
    text = repr(value if not isinstance(value, np.generic) else value.item())
    return text if len(text) <= 40 else f"{text[:37]}..."
