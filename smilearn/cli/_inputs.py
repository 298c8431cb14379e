"""What the score command reads: labels, texts, ids and embeddings, checked."""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from smilearn.cli._columns import (
    as_ids,
    is_label,
    is_odd,
    refuse_doubles,
    refuse_empty,
    type_of,
    whole_numbers,
)
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


def load_embeddings(path, n_rows):
    """Load a matrix of embeddings from a .npy file."""
    try:
        X = np.load(path, mmap_mode="r", allow_pickle=False)  # reads the header alone
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise FileFormatError(f"{path}: not a NumPy array file: {error}") from error
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
