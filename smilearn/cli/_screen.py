"""What the commands print on a terminal."""

import sys
from itertools import chain, islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

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
    for name, values in table.columns.items():
        name = Text(printable(name))
        shown.add_column(name, justify="right" if _is_number(values) else "left")
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
    right = [_is_number(values) for values in table.columns.values()]
    for row in chain(first, rows):
        cells = zip(row, widths, right, strict=True)
        yield "  ".join(
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in cells
        ).rstrip()


def _is_number(values):
    return values.dtype.kind in "iuf"


def _cells(table):
    """Rows of text, made as they are asked for."""
    return zip(
        *(map(printable, values) for values in table.columns.values()), strict=True
    )


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
