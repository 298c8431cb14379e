"""The table command: a written risk table, sorted, grouped, compared."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from smilearn.cli._options import (
    InFile,
    Json,
    Quiet,
    check_output,
    one_of,
    table_file,
)
from smilearn.cli._terminal import Messages, print_table
from smilearn.exceptions import InvalidInputError

Sort = StrEnum("Sort", "RISK PROBABILITY PSMI ID LABEL RANK")

_HEAD = 20  # rows of a table that a terminal shows


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
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only rows with this value; may be given several times.",
        ),
    ] = None,
    per_class: Annotated[
        int | None, typer.Option(min=1, help="The N riskiest of each label.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns to show, with commas between them.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Column of the table; one row for each value.")
    ] = None,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="One row for each label.")
    ] = False,
    compare: Annotated[
        Path | None,
        table_file("Another table of the same samples."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Write the rows to a file instead."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Show a risk table: sorted, summed up by class, or beside another one."""
    import numpy as np

    from smilearn.tables._io import require_columns, write_frame
    from smilearn.tables._risk_table import RiskTable

    messages = Messages(quiet=quiet, as_json=as_json)
    if quiet and out is None:
        raise InvalidInputError("--quiet shows nothing; name a file with --out.")
    one_of(by=by, by_class=by_class, compare=compare)
    one_of(by=by, by_class=by_class, sort=sort)
    one_of(compare=compare, where=where or None)
    one_of(compare=compare, per_class=per_class)
    if out is not None:
        check_output(out, risk, compare)
    rows, facts, sentence = RiskTable.read(risk), {}, ""
    for condition in where or []:
        rows = rows.take(matching(rows, condition, risk))
    if per_class is not None:
        order = rows.frame.with_row_index("_place").sort("rank")
        order = order.group_by("label", maintain_order=True).head(per_class)
        rows = rows.take(np.sort(order["_place"].to_numpy()))
    if compare is not None:
        rows = rows.compare(RiskTable.read(compare))
        correlation, overlap = float(rows.rank_correlation), float(rows.overlap(0.1))
        facts = {"rank_correlation": correlation, "overlap": overlap}
        sentence = (
            f"rank correlation {correlation:.3f}; of the riskiest tenth of {risk}, "
            f"{overlap:.0%} are among the riskiest tenth of {compare}"
        )
    if by or by_class:
        rows = rows.by("label" if by_class else by)
    elif compare is not None and sort is None:
        rows = rows.most_changed(len(rows))
    else:
        column = "rank" if sort in (None, Sort.RISK) else sort.value
        require_columns([column], rows.columns, risk)
        rows = rows.take(np.argsort(rows[column], kind="stable"))
    n_rows = len(rows)
    frame = (rows if head is None else rows.head(head)).frame
    if columns is not None:
        names = [name.strip() for name in columns.split(",")]
        require_columns(names, frame.columns, risk)
        frame = frame.select(list(dict.fromkeys(names)))
    if out is not None:
        write_frame(frame, out)
        counts = f"{out}: {len(frame)} of {n_rows} rows"
        written = {"out": str(out), "n_written": len(frame), "n_rows": n_rows}
        messages.say("; ".join(filter(None, [counts, sentence])) + ".", written | facts)
    elif as_json:
        messages.say("", {"n_rows": n_rows, **facts, "rows": frame.to_dicts()})
    else:
        if sentence:
            messages.say(f"{sentence}.", {})
        print_table(frame, n_rows, _HEAD if head is None else None)


def matching(rows, condition, path):
    """Which rows have the value that COLUMN=VALUE names, as a person writes it."""
    import polars as pl

    from smilearn.tables._io import require_columns

    name, sign, value = condition.partition("=")
    if not sign:
        raise InvalidInputError(
            f"--where takes COLUMN=VALUE, such as label=spam; got {condition!r}."
        )
    require_columns([name], rows.columns, path)
    found = (rows.frame[name].cast(pl.String) == value).fill_null(False).to_numpy()
    if not found.any():
        known = rows.frame[name].cast(pl.String).unique().sort().to_list()[:8]
        raise InvalidInputError(
            f"{path}: no row has {value!r} in column {name!r}; there are, for example, "
            f"{', '.join(map(repr, known))}."
        )
    return found
