"""What people, scripts and terminals get to see of a command."""

import json
import math
import shutil
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from smilearn.exceptions import InvalidInputError, SmilearnWarning
from smilearn.utils._escapes import escaped, printable

_LEAST_CELL = 8  # characters of the widest column that a narrow terminal leaves


class Messages:
    """What a command says beside its data: sentences, JSON, or nothing."""

    def __init__(self, *, quiet=False, as_json=False, data_on_stdout=False):
        if quiet and as_json:
            raise InvalidInputError(
                "--quiet and --json exclude each other; give one of the two."
            )
        if as_json and data_on_stdout:
            raise InvalidInputError(
                "--json prints on standard output, and so would the table; name a "
                "file with --out."
            )
        self.quiet, self.as_json, self.to_stderr = quiet, as_json, data_on_stdout
        self.progress = not quiet and sys.stderr.isatty()  # whether to draw bars
        self.draws = not (quiet or as_json or data_on_stdout)  # tables, on stdout

    def say(self, sentence, facts):
        """Print the result."""
        if self.as_json:
            text = json.dumps(_finite(facts), ensure_ascii=False, default=str)
            typer.echo(escaped(text, as_json=True))
        elif not self.quiet:
            typer.echo(escaped(sentence), err=self.to_stderr)

    @contextmanager
    def warnings(self):
        """Show smilearn's warnings as plain lines on stderr, each once; list them."""
        messages = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", SmilearnWarning)
            try:
                yield messages
            finally:  # before the line of an error, too
                messages += dict.fromkeys(str(each.message) for each in caught)
                for message in () if self.quiet else messages:
                    typer.echo(escaped(f"smilearn: warning: {message}"), err=True)


def _finite(value):
    """JSON knows no infinity and no NaN: they become null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_to_stdout(frame, kind, **options):
    """Write a frame to standard output, as it would stand in a file."""
    from smilearn.tables._io import write_frame

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table.{kind}"
        write_frame(frame, path, **options)
        if sys.stdout.isatty():
            with path.open(encoding="utf-8") as file:
                for line in file:
                    sys.stdout.write(escaped(line, as_json=kind == "jsonl"))
            return
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def draw(header, rows, right, title=None):
    """Draw rows of text, a line each; the columns named in right are flushed to it."""
    console, shown = Console(), Table(title=title, title_justify="left")
    head = [Text(printable(name)) for name in header]
    cells = [[Text(escaped(str(cell))) for cell in row] for row in rows]
    columns = zip(head, *cells, strict=True)
    widths = [max(text.cell_len for text in column) for column in columns]
    if widths:  # the widest column is cut to what the others leave
        widest = widths.index(max(widths))
        room = console.width - 1 - 3 * len(widths) - sum(widths) + widths[widest]
        for row in cells:
            row[widest].truncate(max(room, _LEAST_CELL), overflow="ellipsis")
    for name in head:
        justify = "right" if name.plain in right else "left"
        shown.add_column(name, justify=justify, overflow="fold")
    for row in cells:
        shown.add_row(*row)
    console.print(shown)


def print_riskiest(table, planted=None, n=10):
    """Draw the riskiest samples; `planted` marks the rows of flipped labels."""
    top = table.riskiest(n)
    columns = {
        "rank": top["rank"],
        **{
            name: [f"{value:.3f}" for value in top[name]]
            for name in ("risk", "probability")
            if name in top.columns
        },
        "label": top["label"],
    }
    if "most_likely_label" in top.columns:
        columns["likelier"] = top["most_likely_label"]
    if planted is not None:
        columns["planted"] = ["flip" if planted[row] else "" for row in top["id"]]
    last = "text" if "text" in top.columns else "id"
    rows = zip(*columns.values(), top[last], strict=True)
    draw(
        [*columns, last],
        rows,
        {"rank", "risk", "probability"},
        f"The {len(top)} riskiest",
    )


def print_table(frame, n_rows, most=None):
    """Show a frame: drawn on a terminal, as aligned lines in a pipe."""
    from smilearn.tables._table import aligned_lines

    if not sys.stdout.isatty():
        sys.stdout.writelines(f"{line}\n" for line in aligned_lines(frame))
        return
    head = frame if most is None else frame.head(most)
    right = {name for name, dtype in head.schema.items() if dtype.is_numeric()}
    draw(head.columns, (map(printable, row) for row in head.iter_rows()), right)
    if len(head) < n_rows:
        more = "--head N shows more, " if most is not None else ""
        typer.echo(f"{len(head)} of {n_rows} rows; {more}--out FILE writes them.")


def spent_line(runs):
    """Say in a line what held-out runs have cost, and what they weigh."""
    epochs, weights = runs.estimator.max_epochs, runs.pool_["weights"]
    return (
        f"spent: two runs, epochs: {epochs}, each on half of the data; as much as "
        f"{runs.cost_:.1f} epochs of a training on all. Weights: runs "
        f"{weights['held_out']:.2f}, their embeddings "
        f"{weights['held_out_embeddings']:.2f}, those of the base model "
        f"{weights['prior_scorer']:.2f}."
    )


def early_line(embedder):
    """Say in a line where a fine-tune stopped."""
    last = embedder.history_[-1]
    reached = "reached" if embedder.early_point_reached_ else "NOT reached"
    return (
        f"early point (median loss {embedder.early_point_loss_:.3f}) {reached} at "
        f"epoch {last['epoch']:.2f}; {last['share_fitted']:.0%} already fitted."
    )
