"""The table command: a written risk table, sorted, grouped, compared."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from smilearn.cli._options import InFile, Json, Quiet, check_output, one_of
from smilearn.cli._terminal import Messages, print_table
from smilearn.exceptions import InvalidInputError

Sort = StrEnum("Sort", "RISK ID LABEL PSMI RANK")

_HEAD = 20  # rows of a table that a terminal shows
_SHARE = 0.1  # of the samples; are the riskiest those of the other table too?


def table(
    risk: InFile,
    sort: Annotated[
        Sort | None,
        typer.Option(help="Order of the rows; riskiest first if not given."),
    ] = None,
    head: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"Rows; if not given {_HEAD} on a terminal, all elsewhere.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Column of the table; one row for each value.")
    ] = None,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="One row for each label.")
    ] = False,
    compare: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Another table of the same samples."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write the rows to a file instead."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Show a risk table: sorted, summed up by class, or beside another one."""
    from smilearn.tables._io import file_kind
    from smilearn.tables._risk_table import RiskTable

    messages = Messages(quiet=quiet, as_json=as_json)
    if quiet and out is None:
        raise InvalidInputError("--quiet shows nothing; name a file with --out.")
    one_of(by=by, by_class=by_class, compare=compare)
    one_of(by=by, by_class=by_class, sort=sort)
    if out is not None:
        check_output(out, risk, compare)
    rows, facts, sentence = RiskTable.read(risk), {}, ""
    if by or by_class:
        rows = grouped(rows, "label" if by_class else by, risk)
    elif compare is None:
        rows = sort_rows(rows, sort or Sort.RISK)
    else:
        rows, facts = compared(rows, RiskTable.read(compare), sort, risk, compare)
        sentence = (
            f"rank correlation {facts['rank_correlation']:.3f}; of the riskiest tenth "
            f"of {risk}, {facts['overlap']:.0%} are among the riskiest tenth of "
            f"{compare}"
        )
    n_rows = len(rows)
    rows = rows if head is None else rows.head(head)
    if out is not None:
        getattr(rows, f"to_{file_kind(out)}")(out)
        counts = f"{out}: {len(rows)} of {n_rows} rows"
        written = {"out": str(out), "n_written": len(rows), "n_rows": n_rows}
        messages.say("; ".join(filter(None, [counts, sentence])) + ".", written | facts)
    elif as_json:
        messages.say("", {"n_rows": n_rows, **facts, "rows": records(rows)})
    else:
        if sentence:
            messages.say(f"{sentence}.", {})
        print_table(rows, n_rows, _HEAD if head is None else None)


def grouped(rows, by, path):
    """One row a group."""
    if by not in rows.columns:
        raise InvalidInputError(
            f"{path}: no column {by!r} for --by; columns are: "
            f"{', '.join(rows.columns)}."
        )
    return rows.by(by)


def compared(rows, others, sort, path, other_path):
    """Rows of two tables side by side, and how far they agree."""
    try:
        both = rows.compare(others)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}, {other_path}: {error}") from error
    facts = {
        "rank_correlation": float(both.rank_correlation),
        "overlap": float(both.overlap(_SHARE)),
    }
    return sort_rows(both, sort) if sort else both.most_changed(len(both)), facts


def sort_rows(rows, name):
    """Rows in the order of a column; risk and psmi are in that of the rank."""
    values = rows["rank" if name in (Sort.RISK, Sort.PSMI) else name].tolist()
    try:
        order = sorted(range(len(values)), key=values.__getitem__)
    except TypeError:  # values of several types
        order = sorted(range(len(values)), key=lambda row: str(values[row]))
    return rows.take(order)


def records(rows):
    """Rows as JSON has them."""
    columns = [rows[name].tolist() for name in rows.columns]
    return [
        {name: _plain(value) for name, value in zip(rows.columns, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]


def _plain(value):
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
