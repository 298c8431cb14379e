"""Two risk tables of the same samples, side by side."""

import numpy as np

from smilearn.exceptions import InvalidInputError
from smilearn.tables._column_table import ColumnTable, checked_count
from smilearn.tables._columns import differ
from smilearn.tables._matching import places_of, unique_ids
from smilearn.utils._ranks import order_of, rank_correlation


class RiskComparison(ColumnTable):
    """One row a sample: its risk in two tables, in the order of the first."""

    _rows_are, _note = "samples", "; risk in nats, high = at risk"

    def __init__(self, columns):
        super().__init__(columns)
        self._risks = columns["risk"], columns["other_risk"]
        self._orders = order_of(columns["rank"]), order_of(columns["other_rank"])
        if len(self):
            self.rank_correlation = rank_correlation(*self._risks)
        else:
            self.rank_correlation = 1.0

    def overlap(self, share=0.1):
        """Tell how many of the riskiest samples of one table are so in the other."""
        n_samples = len(self._orders[0])
        if not 0 < share <= 1:
            raise InvalidInputError(f"share must be in (0, 1]; got {share}.")
        if not n_samples:
            raise InvalidInputError("There are no samples, so none is riskiest.")
        n_riskiest = int(np.ceil(share * n_samples - 1e-9))
        both = np.intersect1d(*(order[:n_riskiest] for order in self._orders))
        return len(both) / n_riskiest

    def most_changed(self, n=10):
        """Give the samples whose risk differs most, the largest difference first."""
        order = np.argsort(-np.abs(self["change"]), kind="stable")
        return self.take(order[: checked_count(n)])


def compare_tables(table, other):
    """Match two risk tables by id."""
    unique_ids(table["id"], "this table")
    unique_ids(other["id"], "the other table")
    places = places_of(table["id"], other["id"], "this table", "the other table")
    if len(other) > len(table):
        places_of(other["id"], table["id"], "the other table", "this table")
    other = {name: values[places] for name, values in other.columns.items()}
    _check_labels(table, other["label"])
    risk, other_risk = table["risk"], other["risk"]
    change = np.zeros(len(risk))
    np.subtract(other_risk, risk, out=change, where=risk != other_risk)
    columns = {name: table[name] for name in ("id", "label")}
    if "text" in table.columns:
        columns["text"] = table["text"]
    columns |= {"risk": risk, "other_risk": other_risk, "change": change}
    columns |= {"rank": table["rank"], "other_rank": other["rank"]}
    return RiskComparison(columns)


def _check_labels(table, labels):
    different = differ(table["label"], labels)
    if different.any():
        row = int(different.argmax())
        raise InvalidInputError(
            f"{different.sum()} samples have different labels in the two tables: "
            f"{table['id'][row]!r} is {table['label'][row]!r} here and "
            f"{labels[row]!r} in the other. Compare scores of the same labels."
        )
