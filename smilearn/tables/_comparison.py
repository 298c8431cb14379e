"""Two risk tables of the same samples, side by side."""

import numpy as np
import polars as pl

from smilearn.exceptions import InvalidInputError
from smilearn.tables._matching import check_unique, rows_of
from smilearn.tables._table import Table, checked_count
from smilearn.utils._ranks import rank_correlation


class RiskComparison(Table):
    """One row a sample: its risk in two tables, in the order of the first."""

    _rows_are, _note = "samples", "; risk in nats, high = at risk"

    def __init__(self, frame):
        super().__init__(frame)
        self._ranks = self.frame.select(
            pl.col("rank", "other_rank").rank("ordinal")  # of what may be a view
        )
        self.rank_correlation = 1.0
        if len(self):
            self.rank_correlation = rank_correlation(self["risk"], self["other_risk"])

    def overlap(self, share=0.1):
        """Tell how many of the riskiest samples of one table are so in the other."""
        if not 0 < share <= 1:
            raise InvalidInputError(f"share must be in (0, 1]; got {share}.")
        if not len(self._ranks):
            raise InvalidInputError("There are no samples, so none is riskiest.")
        n_riskiest = int(np.ceil(share * len(self._ranks) - 1e-9))
        both = self._ranks.select(pl.all_horizontal(pl.all() <= n_riskiest).sum())
        return both.item() / n_riskiest

    def most_changed(self, n=10):
        """Give the samples whose risk differs most, the largest difference first."""
        order = np.argsort(-np.abs(self["change"]), kind="stable")
        return self.take(order[: checked_count(n)])


def compare_tables(table, other):
    """Match two risk tables by id."""
    frame, ids = table.frame, other.frame["id"]
    check_unique(frame["id"], "this table")
    rows = rows_of(frame["id"], ids, "this table", "the other table")
    if len(other) > len(table):
        rows_of(ids, frame["id"], "the other table", "this table")
    other = other.frame[rows]
    _check_labels(frame, other["label"])
    names = [name for name in ("id", "label", "text") if name in frame.columns]
    risks = pl.col("risk"), other["risk"].alias("other_risk")
    change = pl.when(risks[0] == risks[1]).then(0.0).otherwise(risks[1] - risks[0])
    ranks = "rank", other["rank"].alias("other_rank")
    return RiskComparison(frame.select(*names, *risks, change.alias("change"), *ranks))


def _check_labels(frame, labels):
    try:
        different = frame["label"] != labels
    except pl.exceptions.PolarsError:  # such as strings and numbers
        different = pl.repeat(True, len(labels), eager=True)
    if different.any():
        row = different.arg_max()
        raise InvalidInputError(
            f"{different.sum()} samples have different labels in the two tables: "
            f"{frame['id'][row]!r} is {frame['label'][row]!r} here and "
            f"{labels[row]!r} in the other. Compare scores of the same labels."
        )
