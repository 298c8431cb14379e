"""The table command: a written risk table, sorted, grouped, compared."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smilearn.cli._checks import check_number, check_output
from smilearn.cli._output import records, write_table
from smilearn.cli._screen import print_table
from smilearn.exceptions import InvalidInputError
from smilearn.tables._risk_table import RiskTable

_BY_RANK = {"risk", "psmi", "rank"}  # all say the same order
_SHARE = 0.1  # of the samples; are the riskiest those of the other table too?


@dataclass
class TableJob:
    """What is to be shown of which table."""

    risk: Path
    out: Path | None = None
    sort: str | None = None
    head: int | None = None
    by: str | None = None
    compare: Path | None = None
    facts: dict = field(default_factory=dict, init=False)

    def check(self):
        """Refuse what cannot be done, before anything is read."""
        check_number("--head", self.head, least=0)
        if self.out is not None:
            check_output(self.out, self.risk, self.compare)

    def run(self):
        """Read the table and make the one that was asked for."""
        table = RiskTable.read(self.risk)
        if self.by is not None:
            self._check_column(table)
            table = table.by(self.by)
        elif self.compare is not None:
            table = self._compared(table)
        else:
            table = _sorted(table, self.sort or "risk")
        self.n_rows = len(table)
        self.rows = table if self.head is None else table.head(self.head)

    def _check_column(self, table):
        if self.by not in table.columns:
            raise InvalidInputError(
                f"{self.risk}: no column {self.by!r} for --by; columns are: "
                f"{', '.join(table.columns)}."
            )

    def _compared(self, table):
        other = RiskTable.read(self.compare)
        try:
            found = table.compare(other)
        except InvalidInputError as error:
            raise InvalidInputError(f"{self.risk}, {self.compare}: {error}") from error
        self.facts = {
            "rank_correlation": float(found.rank_correlation),
            "overlap": float(found.overlap(_SHARE)),
        }
        if self.sort is None:
            return found.most_changed(len(found))
        return _sorted(found, self.sort)

    def tell(self, voice, most):
        """Write, print or show the table."""
        if self.out is not None:
            write_table(self.rows, self.out)
            counts = f"{self.out}: {len(self.rows)} of {self.n_rows} rows"
            sentence = "; ".join([counts, *self._comparison()]) + "."
            facts = {"out": str(self.out), "n_written": len(self.rows)}
            voice.say(sentence, facts | {"n_rows": self.n_rows} | self.facts)
        elif voice.as_json:
            rows = {"rows": records(self.rows)}
            voice.say("", {"n_rows": self.n_rows} | self.facts | rows)
        else:
            for sentence in self._comparison():
                voice.say(f"{sentence}.", {})
            print_table(self.rows, self.n_rows, most if self.head is None else None)

    def _comparison(self):
        """What the comparison says, if there is one, in a sentence."""
        if self.compare is not None:
            yield (
                f"rank correlation {self.facts['rank_correlation']:.3f}; of the "
                f"riskiest tenth of {self.risk}, {self.facts['overlap']:.0%} are among "
                f"the riskiest tenth of {self.compare}"
            )


def _sorted(table, name):
    if name in _BY_RANK:
        return table.take(np.argsort(table["rank"], kind="stable"))
    values = table[name].tolist()
    try:
        order = sorted(range(len(values)), key=values.__getitem__)
    except TypeError:  # values of several types
        order = sorted(range(len(values)), key=lambda row: str(values[row]))
    return table.take(order)
