"""Texts as people have them, turned into a list of strings."""

import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from smilearn.exceptions import (
    InvalidInputError,
    MissingTextError,
    TruncationWarning,
    UnknownTokensWarning,
)
from smilearn.utils._inputs import read_column, refuse_tables

_FEW = 10  # odd texts that may well be all there are, to predict say
_ODD_SHARE = 0.05  # of texts such as a lone emoji, which are in many data


def check_texts(texts, *, again=False):
    """Turn a column of texts into a list, or say which rows are not texts."""
    if isinstance(texts, (str, bytes)):
        raise InvalidInputError(
            "texts must be a sequence of strings; got one string. Wrap it in a list."
        )
    refuse_tables(texts, "texts")
    if again and isinstance(texts, Iterator):
        raise InvalidInputError(
            "texts are read twice here, by fit and by transform; got a "
            f"{type(texts).__name__}, which can be read only once. Give list(texts)."
        )
    if getattr(texts, "ndim", 1) != 1:
        raise InvalidInputError(
            f"texts must be one column; got shape {getattr(texts, 'shape', None)}."
        )
    texts = read_column(texts)
    if not np.iterable(texts):
        raise InvalidInputError(f"texts must be a sequence of strings; got {texts!r}.")
    values = list(texts.to_pylist() if hasattr(texts, "to_pylist") else texts)
    if set(map(type, values)) <= {str}:
        return values
    missing = [row for row, value in enumerate(values) if _is_missing(value)]
    if missing:
        raise MissingTextError(
            f"{len(missing)} of {len(values)} texts are missing, in {_rows(missing)} "
            "(counted from 0). Drop these rows or fill them in."
        )
    other = [row for row, value in enumerate(values) if not isinstance(value, str)]
    if other:
        raise InvalidInputError(
            f"texts must be strings; {_rows(other)} (counted from 0) hold "
            f"{type(values[other[0]]).__name__}, such as {values[other[0]]!r}."
        )
    return [str(value) for value in values]


def check_labelled_texts(texts, y):
    """Check texts and their class labels together."""
    texts, y = check_texts(texts), check_labels(y)
    check_consistent_length(texts, y)
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InvalidInputError(
            f"y must hold 2 classes or more; got {classes.tolist()} only."
        )
    return texts, classes, codes


def check_labels(y):
    """Check that no label is missing and that all are of one kind."""
    if not (hasattr(y, "columns") and len(y.columns) == 1):  # taken, with a warning
        refuse_tables(y, "labels")
    y = read_column(y)
    if isinstance(y, (str, bytes)) or not np.iterable(y):
        raise InvalidInputError(f"labels must be a sequence; got {y!r}.")
    if _plainly_whole(y):
        return column_or_1d(y, warn=True)
    missing = [row for row, value in enumerate(y) if _is_missing(value)]
    if missing:
        raise InvalidInputError(
            f"{len(missing)} labels are missing, in {_rows(missing)} (counted from 0). "
            "Drop these rows or fill them in."
        )
    if len({isinstance(value, str) for value in y}) > 1:
        raise InvalidInputError("labels mix strings and other values; use one kind.")
    return column_or_1d(y, warn=True)


def _plainly_whole(y):
    """Whether the type of the values alone says that none is missing, and no mix."""
    if isinstance(y, np.ndarray) and y.dtype.kind != "O":
        return y.dtype.kind in "biuSU"
    if not isinstance(y, (list, tuple, np.ndarray)):
        return False
    kinds = set(map(type, y))
    return kinds == {str} or kinds == {int}


def warn_truncated(n_truncated, n_texts, most_tokens):
    """Warn that texts are longer than what is read of them."""
    if n_truncated:
        warnings.warn(
            f"{n_truncated} of {n_texts} texts are longer than the {most_tokens} "
            "tokens that the model reads; their ends were not seen.",
            TruncationWarning,
            stacklevel=4,
        )


def warn_unread(n_unread, n_texts):
    """Warn of a share of texts without known tokens; refuse ten or more, if all are."""
    if n_unread <= _ODD_SHARE * n_texts:
        return
    facts = (
        f"{n_unread} of {n_texts} texts ({n_unread / n_texts:.0%}) are unknown tokens, "
        "or none, for the most part: the model cannot tell them apart. Take a model "
        "of their language and script"
    )
    if n_unread == n_texts >= _FEW:
        raise InvalidInputError(f"{facts}, with its own tokenizer.")
    warnings.warn(f"{facts}.", UnknownTokensWarning, stacklevel=4)


def _is_missing(value):
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _rows(rows, shown=5):
    listed = ", ".join(map(str, rows[:shown]))
    more = f" and {len(rows) - shown} more" if len(rows) > shown else ""
    return f"row{'s' if len(rows) > 1 else ''} {listed}{more}"
