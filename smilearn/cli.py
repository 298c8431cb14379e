"""The command line: score, filter, demo (floor 13).

Heavy modules are imported inside the commands, so that ``--help`` is immediate.
"""

import json
import sys
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="smilearn",
    help="Which training samples will a fine-tuned text classifier memorize?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Moment(StrEnum):
    """When to look: after a short fine-tune, or before any training."""

    EARLY = "early"
    BEFORE = "before"


class Slicing(StrEnum):
    """Where the slices point."""

    ISOTROPIC = "isotropic"
    PRINCIPAL = "principal"
    WHITENED = "whitened"
    DISCRIMINANT = "discriminant"
    JOINT = "joint"
    ADAPTIVE = "adaptive"


Data = Annotated[Path, typer.Argument(help="CSV, JSON Lines or Parquet file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0)]


def _explained(command):
    """Turn an error a user can mend into one line and exit code 2."""

    @wraps(command)
    def run(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError, ImportError, RuntimeError) as error:
            typer.echo(f"smilearn: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(2) from error

    return run


@app.command()
@_explained
def score(
    data: Data,
    label: Annotated[str, typer.Option(help="Column of the labels.")],
    out: Annotated[Path, typer.Option(help="Risk table to write.")],
    text: Annotated[str | None, typer.Option(help="Column of the texts.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Folder or Hub name of an encoder; MiniLM if not given."),
    ] = None,
    moment: Annotated[
        Moment,
        typer.Option(help="Fine-tune to the early point, or use the base model."),
    ] = Moment.EARLY,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="Rows of embeddings (.npy) to use instead of a model."),
    ] = None,
    n_slices: Annotated[
        int | None, typer.Option(help="Slices; as many as needed if not given.", min=1)
    ] = None,
    slicing: Annotated[
        Slicing,
        typer.Option(help="Where the slices point; isotropic is that of the paper."),
    ] = Slicing.ADAPTIVE,
    max_epochs: Annotated[
        int, typer.Option(help="Passes over the data at most (early).", min=1)
    ] = 5,
    learning_rate: Annotated[
        float, typer.Option(help="Largest learning rate (early).", min=0)
    ] = 5e-5,
    seed: Seed = 0,
    as_json: Json = False,
):
    """Score labelled texts: one row a sample, high risk = likely to be memorized."""
    from smilearn import _workflow
    from smilearn._cli_input import check_output, complete_column, load_embeddings
    from smilearn._files import read_columns, write_columns

    check_output(out, data, *[embeddings] * (embeddings is not None))
    columns = read_columns(data)
    labels = complete_column(columns, label, data)
    texts = None if text is None else complete_column(columns, text, data)
    options = {"slicing": slicing.value}
    if n_slices is not None:
        options["n_slices"] = n_slices
    if embeddings is not None and model is not None:
        raise ValueError("--embeddings stand for a model; give one of the two.")
    if embeddings is None and texts is None:
        raise ValueError("Name the column of the texts with --text.")
    tuning = {"max_epochs": max_epochs, "learning_rate": learning_rate}
    with _warnings_as_lines():
        if embeddings is not None:
            X = load_embeddings(embeddings, len(labels))
            outcome = _workflow.score_embeddings(
                X, labels, texts=texts, seed=seed, **options
            )
        else:
            outcome = _workflow.score_texts(
                texts,
                labels,
                model=model,
                moment=moment.value,
                seed=seed,
                verbose=_on_terminal(),
                scorer=options,
                **(tuning if moment is Moment.EARLY else {}),
            )
    write_columns(outcome.table.columns, out)
    _show_score(outcome, out, as_json)


@app.command("filter")
@_explained
def filter_(
    data: Data,
    risk: Annotated[Path, typer.Option(help="Risk table of the same rows.")],
    out: Annotated[Path, typer.Option(help="File to write the kept rows to.")],
    share: Annotated[
        float | None, typer.Option(help="Share of the rows to remove.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Remove rows whose risk is above it, in nats.")
    ] = None,
    n_remove: Annotated[
        int | None, typer.Option(help="Number of rows to remove.")
    ] = None,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="Apply share or number to each class.")
    ] = False,
    min_per_class: Annotated[
        int, typer.Option(help="Rows each class keeps in any case.")
    ] = 1,
    as_json: Json = False,
):
    """Write the data without the rows most at risk."""
    from smilearn._cli_input import check_output, matching_table
    from smilearn._files import read_columns, take_rows, write_columns
    from smilearn.filtering import RiskFilter

    check_output(out, data, risk)
    columns = read_columns(data)
    table = matching_table(read_columns(risk), risk, columns, data)
    rule = RiskFilter(
        table,
        share=share,
        threshold=threshold,
        n_remove=n_remove,
        by_class=by_class,
        min_per_class=min_per_class,
    )
    with _warnings_as_lines():
        rule.fit(None, table["label"])
    write_columns(take_rows(columns, rule.sample_indices_), out)
    n_kept, n_rows = len(rule.sample_indices_), len(table)
    if as_json:
        removed = (~rule.support_).nonzero()[0].tolist()
        _print_json({"out": str(out), "n_kept": n_kept, "removed": removed})
    else:
        typer.echo(f"{out}: kept {n_kept} of {n_rows} rows, removed {n_rows - n_kept}.")


@app.command()
@_explained
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(
        "smilearn-demo"
    ),
    n_samples: Annotated[int, typer.Option(help="Sentences.", min=40)] = 2000,
    max_epochs: Annotated[int, typer.Option(help="Passes at most.", min=1)] = 5,
    seed: Seed = 0,
):
    """Find flipped labels in film reviews, before training and at the early point."""
    from smilearn import _demo
    from smilearn._screen import print_demo

    typer.echo(
        f"{n_samples} Rotten Tomatoes sentences; {_demo.FLIPPED_SHARE:.0%} of the "
        f"labels flipped on purpose (seed {seed}).\n"
        "Scoring them with MiniLM: before any training, then fine-tuned to the early "
        "point."
    )
    with _warnings_as_lines():
        found = _demo.run_demo(
            out,
            n_samples=n_samples,
            max_epochs=max_epochs,
            seed=seed,
            verbose=_on_terminal(),
        )
    print_demo(found, _demo.REMOVED_SHARE)


def _on_terminal():
    return sys.stderr.isatty()


@contextmanager
def _warnings_as_lines():
    """Print smilearn's warnings as plain lines on stderr."""
    import warnings

    from smilearn.exceptions import SmilearnWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", SmilearnWarning)
        yield
    for warning in caught:
        typer.echo(f"smilearn: warning: {warning.message}", err=True)


def _print_json(value):
    typer.echo(json.dumps(value, ensure_ascii=False))


def _show_score(outcome, out, as_json):
    facts = outcome.summary
    if as_json:
        _print_json({"out": str(out), **facts})
        return
    from smilearn._screen import early_line, print_riskiest

    if sys.stdout.isatty():
        print_riskiest(outcome.table)
    if outcome.embedder is not None:
        typer.echo(early_line(outcome.embedder))
    typer.echo(
        f"{out}: {facts['n_samples']} samples, {facts['n_below_zero']} below 0 nats; "
        f"slices: {facts['n_slices']}, reliability {facts['reliability']:.3f}."
    )
