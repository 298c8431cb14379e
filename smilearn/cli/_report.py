"""The report command: a risk table as a page for people without Python."""

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from smilearn.cli._options import (
    Delimiter,
    InFile,
    Json,
    Quiet,
    RiskId,
    check_report,
    is_report,
    only_csv,
    table_file,
)
from smilearn.cli._terminal import Messages
from smilearn.exceptions import InvalidInputError

Format = StrEnum("Format", "HTML MD JSON")


def report(
    risk: InFile,
    out: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            callback=is_report,
            help="Report to write: .html, .md or .json.",
        ),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="md or json on standard output, without --out."),
    ] = None,
    data: Annotated[
        Path | None,
        table_file("Data that were scored: for --keep, and for commands to copy."),
    ] = None,
    id_: RiskId = None,
    label: Annotated[
        str | None, typer.Option(help="Column of DATA with the labels, for commands.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Column of DATA to show; may be given several times."),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Rows (.npy) in the order of the table, to find the nearest texts.",
        ),
    ] = None,
    audit: Annotated[
        Path | None,
        table_file("What smilearn audit wrote of the same samples."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading.")] = None,
    n_rows: Annotated[
        int | None,
        typer.Option(min=1, help="Samples to list; 2,000 if not given, or 10 (md)."),
    ] = None,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Show the texts or leave them out.")
    ] = True,
    delimiter: Delimiter = ",",
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Write a report of a risk table: one page to open anywhere, or Markdown, JSON."""
    from smilearn.cli import _inputs
    from smilearn.report._report import write_report
    from smilearn.tables._io import file_kind, read_frame, require_columns
    from smilearn.tables._risk_table import COLUMNS, RiskTable

    messages = Messages(quiet=quiet, as_json=as_json, data_on_stdout=out is None)
    if out is None and format_ in (None, Format.HTML):
        raise InvalidInputError("Name the page to write, with --out report.html.")
    if out and format_ and out.suffix.lower() != f".{format_}":
        raise InvalidInputError(f"{out} is not --format {format_}; give one of them.")
    if data is None and (keep or id_ or label):
        raise InvalidInputError("--keep, --id and --label are of --data; name a file.")
    if data:
        only_csv(data, file_kind(data), delimiter=delimiter)
    if out:
        check_report(out, risk, data, embeddings, audit)
    table = RiskTable.read(risk)
    columns = read_frame(risk).drop(COLUMNS, strict=False)
    if keep:
        kept = kept_of(data, risk, table, id_, keep, delimiter)
        columns = columns.drop(keep, strict=False).hstack(kept)
    options = {"title": title, "columns": columns, "n_rows": n_rows, "texts": text}
    options["files"] = {"data": data, "risk": risk, "id": id_, "label": label}
    options["facts"] = {"Data": data, "Risk table": risk}
    if embeddings:
        options["embeddings"] = _inputs.load_embeddings(embeddings, len(table))
    if audit:
        options["audit"] = read_frame(audit)
        require_columns(("id", "lira"), options["audit"].columns, audit)
    if out is None:
        with tempfile.TemporaryDirectory() as folder:
            path = write_report(table, Path(folder) / f"report.{format_}", **options)
            typer.echo(path.read_text(encoding="utf-8"), nl=False)
        return
    write_report(table, out, **options)
    facts = {"out": str(out), "n_samples": len(table)}
    messages.say(f"{out}: a report of {len(table)} samples.", facts)


def kept_of(data, risk, table, id_column, names, delimiter):
    """Columns of the data in the order of the risk table, matched by id."""
    from smilearn.cli import _inputs, _rows

    wanted = [*names, *([id_column] if id_column else [])]
    rows = _rows.read_columns(data, list(dict.fromkeys(wanted)), delimiter, names)
    ids = _rows.as_text(rows[id_column or _rows.ROW], data)
    known = _rows.as_text(table.frame["id"], risk)
    _rows.refuse_doubles(ids, data)
    _rows.refuse_unknown(known, ids, risk, data)
    place = dict(zip(ids, range(len(ids)), strict=True))
    kept = _inputs.kept_columns(rows, names, data)
    return kept[[place[each] for each in known]]
