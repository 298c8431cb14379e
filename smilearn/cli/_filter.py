"""The filter command: data in, data out, a batch of rows at a time."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smilearn.cli._checks import check_number, check_output, one_of
from smilearn.cli._risk_match import RiskRows
from smilearn.cli._row_writers import row_writer, shape_of
from smilearn.exceptions import InvalidInputError
from smilearn.filtering._filter import RiskFilter
from smilearn.tables._files import file_kind
from smilearn.tables._row_streams import RowStream


@dataclass
class FilterJob:
    """What is to be filtered, and how."""

    data: Path
    risk: Path
    out: Path
    removed: Path | None = None
    id_column: str | None = None
    rule: dict = field(default_factory=dict)

    def check(self):
        """Refuse what cannot be done, before anything is read."""
        share, threshold, n_remove = (
            self.rule[name] for name in ("share", "threshold", "n_remove")
        )
        check_number("--share", share, least=0, below=1)
        check_number("--threshold", threshold)
        check_number("--n-remove", n_remove, least=0)
        check_number("--min-per-class", self.rule["min_per_class"], least=0)
        one_of({"--share": share, "--threshold": threshold, "--n-remove": n_remove})
        check_output(self.out, self.data, self.risk)
        if self.removed is not None:
            check_output(self.removed, self.data, self.risk, self.out)

    def run(self, heed):
        """Filter."""
        stream = RowStream(self.data)
        risk = RiskRows(self.risk, stream.name, self.id_column)
        with heed():
            kept = self._kept(risk.table)
        files = [self.out] + [self.removed] * (self.removed is not None)
        shape = shape_of(stream, set(map(file_kind, files)))
        removed = []
        with ExitStack() as stack:
            writers = [stack.enter_context(row_writer(f, stream, shape)) for f in files]
            for batch in stream:
                start = risk.n_rows
                keep = kept[risk.match(batch)]
                for add, mask in zip(writers, (keep, ~keep), strict=False):
                    add(batch, mask.tolist())
                removed += (start + np.flatnonzero(~keep)).tolist()
            risk.finish()
        n_kept = risk.n_rows - len(removed)
        return {"out": str(self.out), "n_kept": n_kept, "removed": removed}

    def _kept(self, table):
        """Which rows of the table the rule keeps; (n_rows,), bool."""
        n_remove = self.rule["n_remove"]
        groups = {"rows": len(table)}
        if self.rule["by_class"]:
            names, counts = np.unique(table["label"], return_counts=True)
            groups = {
                f"rows of class {name}": count
                for name, count in zip(names, counts, strict=True)
            }
        for what, count in groups.items():
            if n_remove is not None and n_remove > count:
                raise InvalidInputError(
                    f"--n-remove must be at most the {count} {what}; got {n_remove}."
                )
        return RiskFilter(table, **self.rule).fit(None, table["label"]).support_
