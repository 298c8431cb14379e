"""The risk of groups of samples."""

import numpy as np
import polars as pl

from smilearn.exceptions import InvalidInputError
from smilearn.tables._columns import as_series
from smilearn.tables._table import Table

_MISSING = "missing"
_RISKIEST = 0.1  # share of the table that counts as its riskiest samples


class RiskGroups(Table):
    """One row a group of samples, the riskiest group first."""

    _rows_are, _note = "groups", "; risk in nats, high = at risk"


def risk_groups(table, key):
    """Summarize a risk table by groups."""
    n_riskiest = int(np.ceil(_RISKIEST * len(table)))
    riskiest = pl.col("rank").rank("ordinal") <= n_riskiest
    probability = [name for name in table.columns if name == "probability"]
    groups = (
        table.frame.select(
            "risk", *probability, group=_groups(table, key), top=riskiest
        )
        .group_by("group", maintain_order=True)
        .agg(
            n_samples=pl.len().cast(pl.Int64),
            mean_risk=pl.mean("risk"),
            max_risk=pl.max("risk"),
            **{f"mean_{name}": pl.mean(name) for name in probability},
            share_of_riskiest=pl.sum("top") / max(n_riskiest, 1),
        )
    )
    return RiskGroups(groups.sort("mean_risk", descending=True, maintain_order=True))


def _groups(table, key):
    """The group of each row; missing ones are one group."""
    if isinstance(key, str):
        if key not in table.columns:
            raise InvalidInputError(
                f"There is no column {key!r}; columns are: {', '.join(table.columns)}."
            )
        key = table.frame[key]
    groups = as_series(key(table) if callable(key) else key, "key", may_miss=True)
    if len(groups) != len(table):
        raise InvalidInputError(
            f"key must give one group a row; got {len(groups)} groups for "
            f"{len(table)} rows."
        )
    if groups.dtype.is_float():
        groups = groups.fill_nan(None)
    if groups.null_count():
        groups = groups.cast(pl.String)
        if _MISSING in groups:
            raise InvalidInputError(
                f"Two groups would have one name: {_MISSING!r} and a group that is "
                "missing; name them apart."
            )
    return groups.fill_null(_MISSING) if groups.null_count() else groups
