"""What estimators are given, checked: embeddings, labels, texts."""

import sys
from collections.abc import Iterator, Mapping

import numpy as np
from sklearn.utils.validation import validate_data

from smilearn.exceptions import (
    InvalidInputError,
    MissingTextError,
    TruncationWarning,
    UnknownTokensWarning,
)
from smilearn.utils._warnings import warn


def is_tensor(X):
    """Tell whether X is a torch tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(X, torch.Tensor)


def as_numpy(values):
    """Make NumPy arrays of torch tensors, whatever NumPy itself makes of them."""
    if "torch" not in sys.modules:
        return values
    if type(values) in (list, tuple) and values:
        nested = is_tensor(values[0]) or type(values[0]) in (list, tuple)
        return [as_numpy(each) for each in values] if nested else values
    if not is_tensor(values):
        return values
    values = values.detach().cpu()
    if str(values.layout) != "torch.strided":
        raise InvalidInputError(
            f"A tensor must be dense; got {values.layout}. Where sparse data are "
            "taken, give a scipy.sparse.csr_array."
        )
    half = values.is_floating_point() and values.itemsize < 4
    return (values.float() if half else values).numpy()


def with_number_type(X):
    """X, made an array if it is a list, and float32 if that holds all of its type."""
    types = [getattr(X, "dtype", None)]
    if hasattr(X, "iloc"):  # of pandas, whose own types name one of NumPy
        types = [getattr(each, "numpy_dtype", each) for each in X.dtypes]
    elif types[0] is None and hasattr(X, "columns"):  # of polars or Arrow
        types = [np.asarray(X[:1]).dtype]
    elif types[0] is None:
        X = np.asarray(as_numpy(X))
        types = [X.dtype]
    narrow = [isinstance(t, np.dtype) and np.can_cast(t, np.float32) for t in types]
    return X, np.float32 if all(narrow) else np.float64


def read_column(values):
    """Read a lazy column of a `datasets.Dataset` at once: row by row is slow."""
    module = type(values).__module__.partition(".")[0]
    lazy = module == "datasets" and hasattr(values, "__getitem__")
    return values[:] if lazy else values


def checked_tensor(estimator, X, *, reset, least):
    """Check embeddings where they are, as `validate_data` checks arrays."""
    X = X.detach()
    if X.ndim != 2:
        raise InvalidInputError(
            "Expected 2D array, X of shape (n_samples, n_features); got a tensor of "
            f"shape {tuple(X.shape)}."
        )
    if X.is_complex():
        raise InvalidInputError("Complex data not supported: X must hold real numbers.")
    if len(X) < least or not X.shape[1]:
        raise InvalidInputError(
            f"X must hold {least} sample(s) or more and 1 feature or more; got a "
            f"tensor of shape {tuple(X.shape)}."
        )
    if str(X.layout) != "torch.strided":
        raise InvalidInputError(
            f"A tensor X must be dense; got {X.layout}. Sparse embeddings may be given "
            "as scipy.sparse.csr_array."
        )
    if X.itemsize < 4 or not X.is_floating_point():
        X = X.float() if X.itemsize < 4 or X.device.type == "mps" else X.double()
    if not bool(X.isfinite().all()):
        raise InvalidInputError(
            "Input X contains NaN or infinity; every embedding must be finite."
        )
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    return X


def refuse_masked(values, name):
    """Refuse a masked array, whose mask scikit-learn would not look at."""
    if np.ma.isMaskedArray(values):
        raise InvalidInputError(
            f"{name} must not be a masked array ({np.ma.count_masked(values)} values "
            "are masked): leave masked rows out, or fill them with filled()."
        )


def numbers_expected(X):
    """Refuse what is no matrix of numbers, and say what to do."""
    refuse_masked(X, "X")
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        first = zip(X.columns, X.iloc[0], strict=True) if len(X) else ()
        for name, value in first:
            if isinstance(value, (list, tuple, np.ndarray)):
                raise InvalidInputError(
                    f"Column {name!r} of X holds a list in each row; give "
                    f"np.stack(frame[{name!r}])."
                )
            if _is_text(value):
                raise _texts_for_numbers(f"column {name!r} holds texts")
        return
    kind = getattr(getattr(X, "dtype", None), "kind", "O")
    if kind not in "OTU" or is_tensor(X) or not hasattr(X, "__len__") or not len(X):
        return
    rows = X.to_pylist() if hasattr(X, "to_pylist") else X
    first = next(iter(rows))
    if _is_text(first) or (type(first) in _ROWS and any(map(_is_text, first))):
        raise _texts_for_numbers("got texts")
    if not set(map(type, rows)) <= _ROWS:
        return
    lengths = [len(row) for row in rows]
    odd = next((row for row, n in enumerate(lengths) if n != lengths[0]), None)
    if odd is not None:
        raise InvalidInputError(
            f"Rows of X must have one length; row 0 has {lengths[0]} values and row "
            f"{odd} (counted from 0) {lengths[odd]}."
        )
    if getattr(X, "ndim", 2) == 1:  # an array or a series of lists
        raise InvalidInputError("X holds a list in each row; give np.stack(X).")


_ROWS = {list, tuple}


def _texts_for_numbers(got):
    return InvalidInputError(
        f"X must be numbers, n_samples rows of n_features; {got}. Embed texts first: "
        "make_pipeline(HiddenStateEmbedder(model), scorer)."
    )


def _is_text(value):
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False


def refuse_tables(values, name):
    """Refuse a table, mapping or set where one column of texts, labels or ids is due"""
    if isinstance(values, (set, frozenset)):
        advice = "which has no order; give a list"
    elif _names_in(values) is not None:
        advice = f"give ds{_place(values, name.removesuffix('s'))}"
    else:
        return
    raise InvalidInputError(
        f"one column of {name} expected; got a {type(values).__name__}; {advice}."
    )


def _names_in(values):
    """Names of the columns, or keys, of a table or mapping; None of anything else."""
    if isinstance(values, Mapping):
        return list(values)
    names = getattr(getattr(values, "dtype", None), "names", None)
    for attribute in ("column_names", "columns"):
        names = getattr(values, attribute, None) if names is None else names
    return None if names is None else list(names)


def _place(values, best):
    """Where a table has the column that is called best, or its first one: a key."""
    names = _names_in(values) or [best]
    name = best if best in names else names[0]
    inner = values[name] if isinstance(values, Mapping) and name in values else None
    return f"[{name!r}]" + (_place(inner, best) if _names_in(inner) else "")


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
        return _unicode(values)
    missing = [row for row, value in enumerate(values) if is_missing(value)]
    if missing:
        raise MissingTextError(
            f"{len(missing)} of {len(values)} texts are missing, in "
            f"{named_rows(missing)} (counted from 0). Drop these rows or fill them in."
        )
    other = [row for row, value in enumerate(values) if not isinstance(value, str)]
    if other:
        raise InvalidInputError(
            f"texts must be strings; {named_rows(other)} (counted from 0) hold "
            f"{type(values[other[0]]).__name__}, such as {values[other[0]]!r}."
        )
    return _unicode([str(value) for value in values])


def _unicode(texts):
    """Texts, none of which holds half a character, which no tokenizer reads."""
    row = first_surrogate(texts, texts)
    if row is not None:
        raise InvalidInputError(
            f"texts must be Unicode; row {row} (counted from 0) holds half a "
            f"character: {texts[row][:60]!a}. Read the file with the encoding it has, "
            'or drop such characters: text.encode("utf-8", "ignore").decode().'
        )
    return texts


def first_surrogate(some, values):
    """Place among the values of the first that is not Unicode; `some` are tried."""
    try:
        "".join(some).encode()
    except UnicodeEncodeError:
        return next(row for row, value in enumerate(values) if _is_cut(value))
    return None


def _is_cut(text):
    return any("\ud800" <= character <= "\udfff" for character in text)


def warn_truncated(n_truncated, n_texts, most_tokens):
    """Warn that texts are longer than what is read of them."""
    if n_truncated:
        warn(
            f"{n_truncated} of {n_texts} texts are longer than the {most_tokens} "
            "tokens that the model reads; their ends were not seen.",
            TruncationWarning,
        )


def warn_unread(n_unread, n_texts):
    """Warn of a share of texts without known tokens; refuse ten or more, if all are."""
    if n_unread <= _ODD_SHARE * n_texts:
        return
    facts = (
        f"{n_unread} of {n_texts} texts ({n_unread / n_texts:.0%}) are empty, or "
        "unknown tokens for the most part: the model cannot tell them apart. Drop "
        "empty texts, and take a model of the language and script of the others"
    )
    if n_unread == n_texts >= _FEW:
        raise InvalidInputError(f"{facts}, with its own tokenizer.")
    warn(f"{facts}.", UnknownTokensWarning)


def is_missing(value):
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def named_rows(rows, shown=5):
    listed = ", ".join(map(str, rows[:shown]))
    more = f" and {len(rows) - shown} more" if len(rows) > shown else ""
    return f"row{'s' if len(rows) > 1 else ''} {listed}{more}"
