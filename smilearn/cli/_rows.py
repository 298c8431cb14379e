"""Rows of data files: matched with a risk table by id and copied, but never held."""

import json
from contextlib import ExitStack, contextmanager
from itertools import compress

import numpy as np
import polars as pl

from smilearn.cli._inputs import (
    as_ids,
    refuse_doubles,
    refuse_empty,
)
from smilearn.exceptions import FileFormatError, InvalidInputError
from smilearn.tables._io import (
    checked_csv,
    file_kind,
    json_column,
    not_utf8,
    require_columns,
    safe_cells,
)
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._files import replacing

ROW = "row of the file, counted from 0"  # a column that no file has
_ADVICE = "Score this very file first."


def match(data, risk, id_column=None, label_column=None, delimiter=",", more=()):
    """Read the risk table in the order of the data, matched by id; more columns too."""
    scores = read_columns(risk, ["id", "risk", "label"])
    names = dict.fromkeys(filter(None, (id_column, label_column)))
    rows = read_columns(data, list(names), delimiter)
    ids = as_text(rows[id_column or ROW], data)
    table_ids = as_text(scores["id"], risk)
    refuse_doubles(table_ids, risk)
    if id_column is None and not ids.sort().equals(table_ids.sort()):
        raise InvalidInputError(
            f"{risk}: its ids must be the rows 0 to {len(ids) - 1} of {data}; it has "
            f"{len(table_ids)} ids, such as {table_ids[0]!r}. {_ADVICE} Or name the "
            f"column of {data} that holds the ids with --id."
        )
    refuse_doubles(ids, data)
    refuse_unknown(ids, table_ids, data, risk)
    refuse_unknown(table_ids, ids, risk, data)
    risks = scores["risk"].cast(pl.Float64, strict=False).fill_nan(None)
    refuse_empty(risks, risk)
    columns = [table_ids.alias("id"), risks, as_text(scores["label"], risk)]
    columns.append(pl.Series("row", range(len(risks))))
    places = pl.DataFrame({"id": ids}).with_row_index(ROW)
    table = places.join(pl.DataFrame(columns), on="id").sort(ROW)
    if label_column is not None:
        labels = as_text(rows[label_column], data)
        refuse_other_labels(labels, table["label"], data, risk)
    known = read_columns(risk, list(more)) if more else pl.DataFrame()
    known = {name: as_text(known[name], risk).gather(table["row"]) for name in more}
    if "probability" in known:
        known["probability"] = known["probability"].cast(pl.Float64, strict=False)
    return RiskTable(0.0 - table["risk"].to_numpy(), table["label"].to_list(), **known)


def as_text(values, path):
    """Values as strings that do not depend on the format of the file: 1.0 is 1."""
    return as_ids(values, path).cast(pl.String)


def refuse_unknown(ids, known, path, known_path):
    """Refuse ids that another file does not have."""
    unknown = ids.filter(~ids.is_in(known.implode()))
    if len(unknown):
        raise InvalidInputError(
            f"{path}: {len(unknown)} of {len(ids)} ids are not in {known_path}, such "
            f"as {unknown[0]!r}. {_ADVICE}"
        )


def refuse_other_labels(labels, table_labels, data, risk):
    """Refuse a table of other labels."""
    wrong = (labels != table_labels).arg_true()
    if len(wrong):
        raise InvalidInputError(
            f"{risk}: other labels than those of {data} in {len(wrong)} of "
            f"{len(labels)} rows; row {wrong[0]} (counted from 0) has "
            f"{labels[wrong[0]]!r} in column {labels.name!r}, "
            f"{table_labels[wrong[0]]!r} in the table. {_ADVICE}"
        )


def read_columns(path, names, delimiter=",", may_miss=()):
    """Read some columns of a file, and the numbers of its rows."""
    with reading(path):
        if file_kind(path) == "jsonl":
            frame = read_json_columns(path, names)
        else:
            frame = on_rows(path, lambda rows: selected(rows, names, path), delimiter)
    if not len(frame):
        raise FileFormatError(f"{path}: holds no rows.")
    for name in names:
        if name not in may_miss:
            refuse_empty(frame[name], path)
    return frame


def selected(rows, names, path):
    """Some columns of rows, and the numbers of the rows."""
    require_columns(names, rows.collect_schema().names(), path)
    rows = rows.with_row_index(ROW).select(ROW, *names)
    return rows.collect(engine="streaming")


def on_rows(path, work, delimiter):
    """Work on the rows of a file; in memory on those of CSV that polars refuses."""
    try:
        return work(scan(path, delimiter))
    except pl.exceptions.NoDataError:
        raise
    except pl.exceptions.PolarsError:
        if file_kind(path) != "csv":
            raise
        rows = checked_csv(path, delimiter).lazy()
        return work(rows.with_columns(pl.all().replace({"": None})))


def read_json_columns(path, names):
    """Read some columns of JSON Lines, and check that each line is an object."""
    n_rows, cells, columns = 0, {name: [] for name in names}, {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                columns |= row.items()
            except UnicodeDecodeError:
                raise
            except (ValueError, RecursionError, AttributeError) as error:
                raise FileFormatError(
                    f"{path}, line {number}: not a JSON object: {error}."
                ) from error
            n_rows += 1
            for name, values in cells.items():
                values.append(row.get(name))
    if n_rows:
        require_columns(names, columns, path)
    series = [json_column(name, values) for name, values in cells.items()]
    return pl.DataFrame([pl.Series(ROW, range(n_rows), pl.UInt32), *series])


def scan(path, delimiter):
    """Rows of CSV, cells as the text they are, or of Parquet, with their types."""
    if file_kind(path) == "parquet":
        return pl.scan_parquet(path, glob=False)
    rows = pl.scan_csv(path, infer_schema=False, glob=False, separator=delimiter)
    names = rows.collect_schema().names()
    for name in names:
        if f"{name}_duplicated_0" in names:
            raise FileFormatError(f"{path}: two columns share the name {name!r}.")
    return rows.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines


def changed_lines(lines, changes):
    """Lines of JSON, those of some rows with another value in one column."""
    name, new = changes.columns[1], dict(changes.iter_rows())
    for row, line in enumerate(lines):
        if row in new:
            end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
            values = json.loads(line.decode("utf-8-sig")) | {name: new[row]}
            line = json.dumps(values, ensure_ascii=False).encode() + end
        yield line


@contextmanager
def reading(path):
    """Name the file in errors of polars."""
    try:
        yield
    except pl.exceptions.NoDataError as error:
        raise FileFormatError(f"{path}: holds no rows.") from error
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]  # without advice for who calls polars
        raise FileFormatError(f"{path}: cannot be read: {reason}") from error


def write_rows(data, masks, delimiter=",", safe=False, changes=None):
    """Copy rows of a data file to the files that masks name; all appear, or none."""
    # changes: a frame of row numbers and the new values of one column
    with ExitStack() as stack, reading(data):
        for path, mask in masks.items():
            path = stack.enter_context(replacing(path))
            copy_rows(data, path, mask, delimiter, safe, changes)


def copy_rows(data, path, mask, delimiter, safe, changes=None):
    """Copy the rows of a mask, in the format that they have."""
    kind = file_kind(data)
    if kind == "jsonl":
        with data.open("rb") as lines, path.open("wb") as file:
            lines = filter(bytes.strip, lines)
            lines = lines if changes is None else changed_lines(lines, changes)
            file.writelines(compress(lines, mask))
        return
    schema = {ROW: pl.get_index_type()}
    others = pl.LazyFrame({ROW: np.flatnonzero(~mask)}, schema)

    def sink(rows):
        rows = rows.with_row_index(ROW)
        rows = rows.join(others, on=ROW, how="anti", maintain_order="left")
        if changes is not None:
            rows = rows.update(changes.lazy(), on=ROW, maintain_order="left")
        rows = rows.drop(ROW)
        if kind == "csv":
            rows = safe_cells(rows) if safe else rows
            rows.sink_csv(path, separator=delimiter)
            return
        metadata = pl.read_parquet_metadata(data)
        metadata.pop("ARROW:schema", None)  # written anew
        rows.sink_parquet(path, row_group_size=2**13, metadata=metadata)

    on_rows(data, sink, delimiter)
