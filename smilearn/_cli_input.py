"""What the commands are given, checked before any expensive work (floor 10)."""

from pathlib import Path

import numpy as np

from smilearn._files import column_of, file_kind
from smilearn._optional import require
from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.risk_table import RiskTable


def check_output(out, *inputs):
    """Refuse an output that could not be written, or would overwrite an input.

    Parameters
    ----------
    out : Path
        File to be written.

    *inputs : Path
        Files that are read.
    """
    if file_kind(out) == "parquet":
        require("pyarrow", extra="frames", caller=f"Writing {out}")
    if out.is_dir():
        raise InvalidInputError(f"{out} is a folder; name a file.")
    if any(out.resolve() == Path(path).resolve() for path in inputs):
        raise InvalidInputError(f"{out} is an input too; name another file.")


def complete_column(columns, name, path):
    """Give a column, or refuse it with the rows where it is empty.

    Parameters
    ----------
    columns : dict of str to list
        A file that was read.

    name : str
        Column wanted.

    path : Path
        The file; named in the error.

    Returns
    -------
    values : list
        The column.
    """
    values = column_of(columns, name, path)
    missing = [row for row, value in enumerate(values) if value in ("", None)]
    if missing:
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise InvalidInputError(
            f"{path}: column {name!r} is empty in {len(missing)} of {len(values)} rows "
            f"(counted from 0: {some}). Fill them in or drop them."
        )
    return values


def load_embeddings(path, n_rows):
    """Load a matrix of embeddings from a .npy file.

    Parameters
    ----------
    path : Path
        The file.

    n_rows : int
        Rows expected.

    Returns
    -------
    X : ndarray of shape (n_rows, n_features)
        Embeddings.
    """
    try:
        X = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileFormatError(f"{path}: not a NumPy array file: {error}") from error
    shape = getattr(X, "shape", type(X).__name__)
    if getattr(X, "ndim", 0) != 2 or len(X) != n_rows:
        raise InvalidInputError(
            f"{path}: expected {n_rows} rows of embeddings; got {shape}."
        )
    return X


def matching_table(columns, path, data_columns, data):
    """Rebuild the risk table of a data file, its rows in the order of the data.

    Parameters
    ----------
    columns : dict of str to list
        The risk file.

    path : Path
        Its name.

    data_columns : dict of str to list
        The data file.

    data : Path
        Its name.

    Returns
    -------
    table : RiskTable
        One row for each row of the data.

    Raises
    ------
    InvalidInputError
        If the risk file is not that of the data.
    """
    ids, psmi, labels = (column_of(columns, n, path) for n in ("id", "psmi", "label"))
    n_rows = len(next(iter(data_columns.values())))
    try:
        places, scores = np.array(ids).astype(int), np.array(psmi).astype(float)
    except ValueError as error:
        raise FileFormatError(f"{path}: not a risk table: {error}.") from error
    if sorted(places.tolist()) != list(range(n_rows)):
        raise InvalidInputError(
            f"{path}: its ids must be the rows 0 to {n_rows - 1} of {data}, each once; "
            f"it holds {len(places)} rows. Score this very file first."
        )
    order = np.argsort(places)
    for name in {"label", "text"} & set(columns):
        _check_same([columns[name][i] for i in order], name, path, data_columns, data)
    return RiskTable(scores[order], [labels[i] for i in order])


def _check_same(values, name, path, data_columns, data):
    """Some column of the data must hold these very values, row by row."""
    values = [str(value) for value in values]
    rivals = [[str(cell) for cell in column] for column in data_columns.values()]
    if values in rivals:
        return

    def agreement(column):
        return sum(map(str.__eq__, values, column))

    nearest = max(rivals, key=agreement)
    pairs = enumerate(zip(values, nearest, strict=True))
    row = next(i for i, (own, other) in pairs if own != other)
    raise InvalidInputError(
        f"{path}: no column of {data} holds its {name} column; the nearest differs in "
        f"row {row} (counted from 0). Score this very file first."
    )
