"""The filter command: data without the rows most at risk."""

from pathlib import Path
from typing import Annotated

import typer

from smilearn.cli._options import (
    Delimiter,
    InFile,
    Json,
    Quiet,
    RiskId,
    SafeCsv,
    check_output,
    is_finite,
    one_of,
    only_csv,
    share_of,
    table_file,
)
from smilearn.cli._terminal import Messages
from smilearn.exceptions import InvalidInputError


def filter_(
    data: InFile,
    risk: Annotated[
        Path,
        table_file("Risk table of the same rows."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            dir_okay=False,
            help="File to write the kept rows to, in the format of DATA.",
        ),
    ],
    removed: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="File to write the removed rows to."),
    ] = None,
    id_: RiskId = None,
    label: Annotated[
        str | None,
        typer.Option(help="Column of DATA that must hold the labels of the table."),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(parser=share_of, help="Share of the rows to remove: 0.05 or 5%."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            callback=is_finite, help="Remove rows whose risk is above it, in nats."
        ),
    ] = None,
    n_remove: Annotated[
        int | None, typer.Option(min=0, help="Number of rows to remove.")
    ] = None,
    review: Annotated[
        Path | None,
        table_file(
            "Marks of a report (id, action, new_label): rows to keep, relabel, "
            "drop or protect, whatever their risk."
        ),
    ] = None,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="Apply share or number to each class.")
    ] = False,
    min_per_class: Annotated[
        int, typer.Option(min=0, help="Rows each class keeps in any case.")
    ] = 1,
    delimiter: Delimiter = ",",
    safe_csv: SafeCsv = False,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Write the data without the rows most at risk; they are never held whole.

    Without --share, --threshold, --n-remove or --review those go whose label has a
    probability below 5 %, where another one is likelier.
    """
    from smilearn.cli._rows import match, write_rows
    from smilearn.utils._files import file_kind

    messages = Messages(quiet=quiet, as_json=as_json)
    one_of(share=share, threshold=threshold, n_remove=n_remove)
    for path in filter(None, (out, removed)):
        check_output(path, data, risk, review, out if path is removed else None)
        if file_kind(path) != file_kind(data):
            raise InvalidInputError(
                f"{path}: rows stay in the format of {data}; end the name in "
                f"{data.suffix}."
            )
    only_csv(data, file_kind(data), delimiter=delimiter, safe_csv=safe_csv)
    asked = not (share is threshold is n_remove is review is None)
    more = () if asked else ("probability", "most_likely_label")
    rows = match(data, risk, id_, label, delimiter, more)
    rule = {"share": share, "threshold": threshold, "n_remove": n_remove}
    if review and share is threshold is n_remove is None:
        rule["n_remove"] = 0  # the review alone
    rule |= {"by_class": by_class, "min_per_class": min_per_class}
    from smilearn.filtering._filter import RiskFilter  # loads torch

    with messages.warnings():
        keep = RiskFilter(rows, **rule).fit(None, rows["label"]).support_.copy()
    changes = None
    if review:
        from smilearn.cli._review import read_review

        options = (id_, label, rows["label"], delimiter)
        marked, changes = read_review(review, data, *options)
        for action, places in marked.items():
            keep[places] = action != "drop"
    masks = {out: keep} | ({removed: ~keep} if removed else {})
    write_rows(data, masks, delimiter, safe_csv, changes)
    n_kept = int(keep.sum())
    why = "" if asked else " (labels of a probability below 5 %, others likelier)"
    facts = {"out": str(out), "n_kept": n_kept}
    facts["removed"] = (~keep).nonzero()[0].tolist()
    if review:
        facts["reviewed"] = {name: len(places) for name, places in marked.items()}
        counts = [f"{n} {name}" for name, n in facts["reviewed"].items() if n]
        why = f" (reviewed: {', '.join(counts)})"
    messages.say(
        f"{out}: kept {n_kept} of {len(keep)} rows, removed {len(keep) - n_kept}{why}.",
        facts,
    )
