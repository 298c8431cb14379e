"""The data that commands are given, checked before any expensive work."""

import numpy as np

from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._row_streams import RowStream


def data_stream(data, stdin, kind):
    """Open the data of a command."""
    dash = data is not None and str(data) == "-"
    if data is None and not stdin:
        raise InvalidInputError(
            "Name a data file; - or --stdin reads from standard input."
        )
    if data is not None and stdin and not dash:
        raise InvalidInputError(f"{data} and --stdin exclude each other; give one.")
    if dash or stdin:
        return RowStream(kind=kind or "jsonl")
    return RowStream(data)


def complete_column(columns, name, path):
    """Give a column, or refuse it with the rows where it is empty."""
    values = columns[name]
    missing = [
        row
        for row, value in enumerate(values)
        if value is None or value == "" or value != value
    ]
    if missing:
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise InvalidInputError(
            f"{path}: column {name!r} is empty in {len(missing)} of {len(values)} rows "
            f"(counted from 0: {some}). Fill them in or drop them."
        )
    return values


def label_column(columns, name, path):
    """Give the labels, or say why they are none."""
    values = complete_column(columns, name, path)
    for row, value in enumerate(values):
        whole = isinstance(value, float) and value.is_integer()
        if not (isinstance(value, (str, int)) or whole):
            raise InvalidInputError(
                f"{path}: labels must be strings or whole numbers; column {name!r} has "
                f"{value!r} in row {row} (counted from 0)."
            )
    return [int(v) if isinstance(v, float) else v for v in values]


def unique_column(columns, name, path):
    """Give the ids, or refuse them with the rows where one stands twice."""
    rows = {}
    for row, value in enumerate(complete_column(columns, name, path)):
        if isinstance(value, (list, dict)):
            raise InvalidInputError(
                f"{path}: ids must be strings or numbers; column {name!r} has "
                f"{value!r} in row {row} (counted from 0)."
            )
        first = rows.setdefault(str(value), row)
        if first != row:
            raise InvalidInputError(
                f"{path}: column {name!r} has {value!r} in row {first} and in row "
                f"{row} (counted from 0); ids must be unique."
            )
    kinds = set(map(type, columns[name]))
    return columns[name] if kinds in ({str}, {int}) else list(map(str, columns[name]))


def load_embeddings(path, n_rows):
    """Load a matrix of embeddings from a .npy file."""
    try:
        X = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileFormatError(f"{path}: not a NumPy array file: {error}") from error
    shape = getattr(X, "shape", type(X).__name__)
    if getattr(X, "ndim", 0) != 2 or len(X) != n_rows or not X.shape[1]:
        raise InvalidInputError(
            f"{path}: expected {n_rows} rows of embeddings; got {shape}."
        )
    if X.dtype.kind not in "fiu":
        raise InvalidInputError(f"{path}: must hold numbers; got {X.dtype}.")
    wrong = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(wrong):
        raise InvalidInputError(
            f"{path}: holds NaN or infinity in {len(wrong)} rows, the first is "
            f"{wrong[0]} (counted from 0)."
        )
    return X
