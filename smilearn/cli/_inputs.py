"""What the commands read: columns of labels, texts and ids, and embeddings, checked."""

import shutil
import sys
import tempfile
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import polars as pl

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._io import read_frame, require_columns
from smilearn.tables._risk_table import COLUMNS

STANDARD_INPUT = "standard input"


def read_stdin(kind, delimiter):
    """Read a table from standard input."""
    if sys.stdin is None:
        raise InvalidInputError("standard input is closed; name a data file.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"stdin.{kind}"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            return read_frame(path, delimiter=delimiter)
        except FileFormatError as error:
            text = str(error).replace(str(path), STANDARD_INPUT)
            raise FileFormatError(text) from error


def samples_of(frame, path, label, text=None, id_=None):
    """Labels, texts and ids of a frame as lists; None where no column is named."""
    labels = label_column(frame, label, path)
    texts = column_of(frame, text, path) if text else None
    ids = id_column(frame, id_, path) if id_ else None
    return labels, texts, ids


def column_of(frame, name, path):
    """A column without empty cells."""
    require_columns([name], frame.columns, path)
    refuse_empty(frame[name], path)
    return frame[name]


def label_column(frame, name, path):
    """Labels as a list: strings, whole numbers or booleans."""
    labels = whole_numbers(column_of(frame, name, path))
    if not is_label(labels):
        raise InvalidInputError(
            f"{path}: labels must be strings or whole numbers; column {name!r} holds "
            f"{type_of(labels)}."
        )
    if labels.dtype == pl.String and labels.str.ends_with("\0").any():
        raise InvalidInputError(
            f"{path}: labels must not end in NUL, which NumPy does not keep; those of "
            f"column {name!r} do."
        )
    return labels.to_list()


def id_column(frame, name, path):
    """Ids as a list: each names one row."""
    ids = as_ids(column_of(frame, name, path), path)
    refuse_doubles(ids, path)
    return ids.to_list()


def kept_columns(frame, names, path):
    """Columns to keep beside those of a risk table."""
    require_columns(names, frame.columns, path)
    refuse_own_columns(names, path)
    for name in names:
        if is_odd(frame[name]):
            raise InvalidInputError(
                f"{path}: only strings, numbers, dates and booleans can be kept; "
                f"column {name!r} holds {type_of(frame[name])}."
            )
    return frame.select(list(dict.fromkeys(names)))


def refuse_own_columns(names, path):
    """Refuse to keep columns with names of those of a risk table."""
    for name in names:
        if name in COLUMNS:
            raise InvalidInputError(
                f"{path}: --keep {name} cannot be, as risk tables have a column of "
                "that name; rename it."
            )


def rows_and_classes(embeddings, texts, labels):
    """Embeddings from a file, or texts, and labels of classes; torch is not loaded."""
    from smilearn.utils._labels import check_labelled_texts, class_labels

    if embeddings:
        return load_embeddings(embeddings, len(labels)), class_labels(labels)
    texts, classes, codes = check_labelled_texts(texts, labels)
    return texts, classes[codes]


def load_embeddings(path, n_rows):
    """Load a matrix of embeddings from a .npy file."""
    try:
        X = np.load(path, mmap_mode="r", allow_pickle=False)  # reads the header alone
    except (ValueError, EOFError, OverflowError, BadZipFile) as error:
        raise FileFormatError(
            f"{path}: not a NumPy array file (.npy); write one with numpy.save."
        ) from error
    shape = getattr(X, "shape", type(X).__name__)
    if getattr(X, "ndim", 0) != 2 or len(X) != n_rows or not X.shape[1]:
        raise InvalidInputError(
            f"{path}: expected {n_rows} rows of embeddings; got {shape}."
        )
    if X.dtype.kind not in "fiu":
        raise InvalidInputError(f"{path}: must hold numbers; got {X.dtype}.")
    X = np.array(X)
    wrong = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(wrong):
        raise InvalidInputError(
            f"{path}: holds NaN or infinity in {len(wrong)} rows, the first is "
            f"{wrong[0]} (counted from 0)."
        )
    return X


def refuse_empty(values, path):
    """Refuse cells without a value."""
    empty = values.is_null()
    if values.dtype == pl.String:
        empty |= values == ""
    if values.dtype.is_float():
        empty |= values.is_nan()
    if empty.any():
        rows = empty.arg_true().to_list()
        shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise InvalidInputError(
            f"{path}: column {values.name!r} is empty in {len(rows)} of {len(values)} "
            f"rows (counted from 0: {shown}). Fill them in or drop them."
        )


def refuse_doubles(ids, path):
    """Refuse ids that name two rows."""
    doubles = ids.filter(ids.is_duplicated())
    if len(doubles):
        first, second = (ids == doubles[0]).arg_true()[:2]
        raise InvalidInputError(
            f"{path}: column {ids.name!r} has {doubles[0]!r} in row {first} and in "
            f"row {second} (counted from 0); ids must be unique."
        )


def whole_numbers(values):
    """Numbers that are all whole as integers of 64 bits; other columns as they are."""
    if values.dtype == pl.Int128:
        narrow = values.cast(pl.UInt64, strict=False)
        return values if narrow.null_count() > values.null_count() else narrow
    if not values.dtype.is_float():
        return values
    whole = ((values.abs() < 2**63) & (values == values.round())).all()
    return values.cast(pl.Int64) if whole else values


def as_ids(values, path):
    """Ids in one form for every format: whole numbers, booleans, or else text."""
    if is_odd(values):
        raise InvalidInputError(
            f"{path}: ids must be strings, numbers or dates; column {values.name!r} "
            f"holds {type_of(values)}."
        )
    values = whole_numbers(values)
    kept = values.dtype.is_float() or is_label(values)
    return values if kept else values.cast(pl.String)


def is_label(values):
    """Whether a column holds text, whole numbers of 64 bits or booleans."""
    is_whole = values.dtype.is_integer() and values.dtype != pl.Int128
    return is_whole or values.dtype in (
        pl.String,
        pl.Boolean,
        pl.Categorical,
        pl.Enum,
    )


def is_odd(values):
    """Whether a column holds what is neither text, number, date nor boolean."""
    return values.dtype.is_nested() or values.dtype in (
        pl.Object,
        pl.Binary,
        pl.Duration,
    )


def type_of(values):
    """Type of a column, in words where polars has none."""
    if values.dtype == pl.Object:
        return "several types, or what is too large, too deep or no Unicode"
    # a list of lists of lists may be too deep to be written out
    return values.dtype.base_type() if values.dtype.is_nested() else values.dtype
