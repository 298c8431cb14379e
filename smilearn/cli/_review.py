"""The review of a report: what a person decided of single rows."""

import numpy as np
import polars as pl

from smilearn.cli._inputs import refuse_doubles
from smilearn.cli._rows import (
    ROW,
    as_text,
    read_columns,
    refuse_other_labels,
    refuse_unknown,
)
from smilearn.exceptions import InvalidInputError
from smilearn.tables._io import read_frame, require_columns

ACTIONS = ("keep", "relabel", "drop", "protect")


def read_review(path, data, id_column, label_column, labels, delimiter):
    """Rows of each action, and the rows whose label changes with the new labels."""
    # labels: those of the risk table, in the order of the data
    review = read_frame(path)
    require_columns(("id", "action"), review.columns, path)
    names = dict.fromkeys(filter(None, (id_column, label_column)))
    rows = read_columns(data, list(names), delimiter)
    ids = as_text(rows[id_column or ROW], data)
    wanted, actions = as_text(review["id"], path), review["action"].cast(pl.String)
    refuse_doubles(wanted, path)
    refuse_unknown(wanted, ids, path, data)
    place = dict(zip(ids, range(len(ids)), strict=True))
    places = np.array([place[each] for each in wanted], np.int64)
    odd = ~actions.is_in(ACTIONS)
    if odd.any():
        raise InvalidInputError(
            f"{path}: actions are {', '.join(ACTIONS)}; row {odd.arg_max()} (counted "
            f"from 0) has {actions[odd.arg_max()]!r}."
        )
    if "label" in review.columns:
        known = pl.Series("label", labels[places].tolist(), pl.String)
        refuse_other_labels(known, as_text(review["label"], path), data, path)
    marked = {name: places[(actions == name).to_numpy()] for name in ACTIONS}
    if not len(marked["relabel"]):
        return marked, None
    if label_column is None:
        raise InvalidInputError(
            f"{path} gives {len(marked['relabel'])} rows a new label: name the column "
            f"of {data} that holds the labels with --label."
        )
    require_columns(("new_label",), review.columns, path)
    new = as_text(review["new_label"], path).fill_null("").filter(actions == "relabel")
    first = {}  # a row that has the label, in the type of the file
    for row, label in enumerate(as_text(rows[label_column], data)):
        first.setdefault(label, row)
    for row, label in zip(marked["relabel"], new, strict=True):
        if label not in first:
            what = f"{label!r} is no label of {data}" if label else "it has none"
            raise InvalidInputError(
                f"{path}: id {ids[int(row)]!r} is to get a new label, and {what}; give "
                f"one of {', '.join(map(repr, list(first)[:10]))}."
            )
    values = rows[label_column].gather([first[label] for label in new])
    return marked, pl.DataFrame([rows[ROW].gather(marked["relabel"]), values])
