"""The table command: a written risk table, sorted, grouped, compared."""

import sys
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from smilearn.cli._terminal import check_number, check_output, records, write_table
from smilearn.exceptions import InvalidInputError
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._escapes import escaped, printable


def print_riskiest(table, flipped=None, n=10):
    """Print the riskiest samples."""
    shown = Table(title=f"The {min(n, len(table))} riskiest", title_justify="left")
    names = ["rank", "risk", "label", "likelier"] + ["planted"] * (flipped is not None)
    for name in names:
        shown.add_column(name, justify="right" if name in ("rank", "risk") else "left")
    shown.add_column("text" if "text" in table.columns else "id", overflow="fold")
    top = table.riskiest(n)
    last = top["text"] if "text" in top.columns else top["id"]
    for i, content in enumerate(last):
        cells = [str(top["rank"][i]), f"{top['risk'][i]:.3f}", str(top["label"][i])]
        cells.append(str(top["most_likely_label"][i]))
        if flipped is not None:
            cells.append("flip" if flipped[top["id"][i]] else "")
        shown.add_row(*(Text(escaped(str(cell))) for cell in (*cells, content)))
    Console().print(shown)


def print_table(table, n_rows, most=None):
    """Show a table: drawn on a terminal, as aligned lines in a pipe."""
    if not sys.stdout.isatty():
        for line in aligned_lines(table):
            sys.stdout.write(f"{line}\n")
        return
    shown = Table()
    for name, dtype in table.frame.schema.items():
        name = Text(printable(name))
        shown.add_column(name, justify="right" if dtype.is_numeric() else "left")
    head = table if most is None else table.head(most)
    for row in _cells(head):
        shown.add_row(*map(Text, row))
    console = Console()
    console.print(shown)
    if len(head) < n_rows:
        more = "--head N shows more, " if most is not None else ""
        console.print(f"{len(head)} of {n_rows} rows; {more}--out FILE writes them.")


def aligned_lines(table, n_measured=1000):
    """Write a table as lines with columns two spaces apart."""
    rows, header = _cells(table), [*map(printable, table.columns)]
    first = [header, *islice(rows, n_measured)]
    widths = [max(map(len, cells)) for cells in zip(*first, strict=True)]
    right = [dtype.is_numeric() for dtype in table.frame.dtypes]
    for row in chain(first, rows):
        cells = zip(row, widths, right, strict=True)
        yield "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in cells
        ).rstrip()


def _cells(table):
    """Rows of text, made as they are asked for."""
    return (list(map(printable, row)) for row in table.frame.iter_rows())


def demo_facts(found):
    """The findings of the demonstration, for machines."""
    return {
        **found.outcome.summary,
        "n_flipped": int(found.flipped.sum()),
        "kept_flips": found.kept_flips,
        "found": found.comparison,
        "files": {name: str(path) for name, path in found.files.items()},
    }


def print_demo(found, removed_share):
    """Print what the demonstration found."""
    console = Console()
    _print_curve(console, found.outcome.embedder)
    print_riskiest(found.outcome.table, found.flipped)
    n_flips = int(found.flipped.sum())
    shown = Table(title=f"The {n_flips} planted flips found", title_justify="left")
    shown.add_column("predictor")
    for name in ("top 3 %", "top 10 %", "auc"):
        shown.add_column(name, justify="right")
    for row in found.comparison:
        counts = (str(row["top 3 %"]), str(row["top 10 %"]))
        shown.add_row(row["name"], *counts, f"{row['auc']:.3f}")
    console.print(shown)
    console.print(
        f"Without the riskiest {removed_share:.0%}, kept.csv holds {found.kept_flips} "
        f"of the {n_flips} flips."
    )
    files = ", ".join(map(str, found.files.values()))
    console.print(f"Written: {escaped(files)}", markup=False)


def _print_curve(console, embedder, width=40):
    console.print("Median training loss (nats), and the share already fitted:")
    top = max(entry["median_loss"] for entry in embedder.history_)
    for entry in embedder.history_:
        bar = "█" * max(1, round(width * entry["median_loss"] / top))
        console.print(
            f"  epoch {entry['epoch']:4.2f}  {entry['median_loss']:.3f}  "
            f"{bar:<{width}}  {entry['share_fitted']:.0%} fitted",
            highlight=False,
        )
    console.print(f"  {early_line(embedder)}", highlight=False)


def early_line(embedder):
    """Say in a line where a fine-tune stopped."""
    last = embedder.history_[-1]
    reached = "reached" if embedder.early_point_reached_ else "NOT reached"
    return (
        f"early point (median loss {embedder.early_point_loss_:.3f}) {reached} at "
        f"epoch {last['epoch']:.2f}; {last['share_fitted']:.0%} already fitted."
    )


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
    name = "rank" if name in _BY_RANK else name
    return table.take(np.argsort(table[name], kind="stable"))
