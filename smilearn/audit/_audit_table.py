"""Tables in which a person reads an audit."""

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.tables._column_table import ColumnTable
from smilearn.tables._columns import as_column, objects
from smilearn.utils._texts import check_texts


class AuditTable(ColumnTable):
    """One row a sample."""

    _rows_are, _note = "samples", "; lira in nats, high = memorized"


class AttackTable(ColumnTable):
    """One row a measure of an attack.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_measures,)
        The columns.
    """

    _rows_are, _note = "measures", "; low and high end an interval of 95 %"


def audit_table(found, texts, ids):
    """Make the table of an audit."""
    n_samples = len(found["label"])
    columns = {"id": np.arange(n_samples) if ids is None else as_column(ids, "ids")}
    columns["label"] = found["label"]
    if texts is not None:
        columns["text"] = objects(check_texts(texts))
    for name in ("id", "text"):
        if name in columns and len(columns[name]) != n_samples:
            raise InvalidInputError(
                f"{name}s must be one for each of the {n_samples} samples; got "
                f"{len(columns[name])}."
            )
    return AuditTable(columns | found)
