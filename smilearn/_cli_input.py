"""What the commands are given, checked before any expensive work (floor 10)."""

import math
import os
from pathlib import Path

import numpy as np

from smilearn._files import file_kind
from smilearn._optional import require
from smilearn._row_streams import RowStream
from smilearn.exceptions import FileFormatError, InvalidInputError


def check_number(option, value, *, least=None, above=None, below=None):
    """Check a number of the command line.

    Parameters
    ----------
    option : str
        As it is typed.

    value : float or None
        What was given; None passes.

    least, above, below : float, default=None
        Bounds: `least` is allowed, `above` and `below` are not.

    Raises
    ------
    InvalidInputError
        If the value is NaN, infinite, or out of bounds.
    """
    if value is None:
        return
    wrong = (
        not math.isfinite(value)
        or (least is not None and value < least)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )
    if wrong:
        limits = [
            *([f"from {least}"] if least is not None else []),
            *([f"above {above}"] if above is not None else []),
            *([f"to below {below}"] if below is not None else []),
        ]
        wanted = " ".join(["a number", *limits])
        raise InvalidInputError(f"{option} must be {wanted}; got {value}.")


def one_of(options):
    """Refuse options that exclude each other.

    Parameters
    ----------
    options : dict of str to object
        Values by option, as typed; None and False are not given.

    Raises
    ------
    InvalidInputError
        If more than one is given.
    """
    given = [name for name, value in options.items() if value not in (None, False)]
    if len(given) > 1:
        raise InvalidInputError(
            f"{' and '.join(given)} exclude each other; give one of them."
        )


def check_output(out, *inputs):
    """Refuse an output that could not be written, or would overwrite another file.

    Parameters
    ----------
    out : Path
        File to be written.

    *inputs : Path or None
        Files that are read, or written too.

    Raises
    ------
    FileFormatError
        If the suffix is none of ours.

    InvalidInputError
        If it is a folder or another of the files, or its folder cannot be written to.
    """
    if file_kind(out) == "parquet":
        require("pyarrow", extra="frames", caller=f"Writing {out}")
    if out.is_dir():
        raise InvalidInputError(f"{out} is a folder; name a file.")
    for path in filter(None, inputs):
        same = out.exists() and Path(path).exists() and out.samefile(path)
        if same or out.resolve() == Path(path).resolve():
            raise InvalidInputError(
                f"{out} would overwrite {path}; name another file."
            )
    check_folder(out.parent, out)


def check_folder(folder, out):
    """Refuse a folder that could not be made, or written to.

    Parameters
    ----------
    folder : Path
        The folder.

    out : Path
        What is to be written there; named in the error.

    Raises
    ------
    InvalidInputError
        If that is so.
    """
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        raise InvalidInputError(
            f"{out} cannot be written: {there} is not a folder; name another place."
        )
    if not os.access(there, os.W_OK):
        raise InvalidInputError(
            f"{out} cannot be written: no permission to write to {there}."
        )


def data_stream(data, stdin, kind):
    """Open the data of a command.

    Parameters
    ----------
    data : Path or None
        The file as typed; ``-`` is standard input.

    stdin : bool
        Whether --stdin was given.

    kind : {"csv", "jsonl"} or None
        Format as typed.

    Returns
    -------
    stream : RowStream
        Its rows.

    Raises
    ------
    InvalidInputError
        If both a file and standard input are named, or neither.
    """
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
    """Give a column, or refuse it with the rows where it is empty.

    Parameters
    ----------
    columns : dict of str to list
        A file that was read.

    name : str
        Column wanted.

    path : path-like
        The file; named in the error.

    Returns
    -------
    values : list
        The column.

    Raises
    ------
    InvalidInputError
        If cells are empty.
    """
    values = columns[name]
    missing = [
        row
        for row, value in enumerate(values)
        if value is None or value == "" or value != value  # noqa: PLR0124 (NaN)
    ]
    if missing:
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise InvalidInputError(
            f"{path}: column {name!r} is empty in {len(missing)} of {len(values)} rows "
            f"(counted from 0: {some}). Fill them in or drop them."
        )
    return values


def label_column(columns, name, path):
    """Give the labels, or say why they are none.

    Parameters
    ----------
    columns : dict of str to list
        A file that was read.

    name : str
        Column wanted.

    path : path-like
        The file; named in the error.

    Returns
    -------
    labels : list of str, int or bool
        The column; whole numbers written as 1.0 become 1.

    Raises
    ------
    InvalidInputError
        If cells are empty, or no names of classes.
    """
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
    """Give the ids, or refuse them with the rows where one stands twice.

    Parameters
    ----------
    columns : dict of str to list
        A file that was read.

    name : str
        Column wanted.

    path : path-like
        The file; named in the error.

    Returns
    -------
    ids : list of str or of int
        The column; ids of other types, or of several, as strings.

    Raises
    ------
    InvalidInputError
        If cells are empty, lists or objects, or stand twice.
    """
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

    Raises
    ------
    FileFormatError
        If it is not such a file.

    InvalidInputError
        If its shape is another, or it holds NaN or infinity.
    """
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
