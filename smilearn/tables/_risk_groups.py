"""Risk by groups of samples."""

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.tables._column_table import ColumnTable
from smilearn.tables._columns import as_column, coded, objects
from smilearn.utils._ranks import order_of

_MISSING = "missing"
_RISKIEST = 0.1  # share of the table that counts as its riskiest samples


class RiskGroups(ColumnTable):
    """One row a group of samples, the riskiest group first."""

    _rows_are, _note = "groups", "; risk in nats, high = at risk"


def risk_groups(table, key):
    """Summarize a risk table by groups."""
    names, codes = _named_groups(_group_of_rows(table, key))
    risk, n_groups = table["risk"], len(names)
    sizes = np.bincount(codes, minlength=n_groups)
    highest = np.full(n_groups, -np.inf)
    np.maximum.at(highest, codes, risk)
    below = np.bincount(codes[table["psmi"] < 0], minlength=n_groups)
    riskiest = order_of(table["rank"])[: int(np.ceil(_RISKIEST * len(table)))]
    among = np.bincount(codes[riskiest], minlength=n_groups)
    columns = {
        "group": names,
        "n_samples": sizes,
        "mean_risk": np.bincount(codes, risk, minlength=n_groups) / sizes,
        "max_risk": highest,
        "share_below_zero": below / sizes,
        "share_of_riskiest": among / max(len(riskiest), 1),
    }
    order = np.argsort(-columns["mean_risk"], kind="stable")
    return RiskGroups({name: values[order] for name, values in columns.items()})


def _group_of_rows(table, key):
    if isinstance(key, str):
        if key not in table.columns:
            raise InvalidInputError(
                f"There is no column {key!r}; columns are: {', '.join(table.columns)}."
            )
        return table[key]
    values = as_column(key(table) if callable(key) else key, "key")
    if len(values) != len(table):
        raise InvalidInputError(
            f"key must give one group a row; got {len(values)} groups for "
            f"{len(table)} rows."
        )
    return values


def _named_groups(values):
    """Names of the groups, and the group of each row; missing ones are one group."""
    distinct, codes = coded(values)
    missing = np.fromiter(map(_is_missing, distinct), bool, len(distinct))
    if missing.any():
        first = int(missing.argmax())
        place = np.where(missing, first, np.arange(len(distinct)))
        kept, codes = np.unique(place[codes], return_inverse=True)
        distinct = [_MISSING if i == first else str(distinct[i]) for i in kept]
    if len(set(map(type, distinct))) > 1:
        distinct = list(map(str, distinct))
    if len(set(distinct)) < len(distinct):
        raise InvalidInputError(
            "Two groups would have one name, such as the string '1' and the number 1, "
            f"or {_MISSING!r} and a group that is missing; name them apart."
        )
    names = as_column(distinct, "key")
    return names if len(names) else objects([]), codes


def _is_missing(value):
    return value is None or type(value).__name__ == "NAType" or bool(value != value)
