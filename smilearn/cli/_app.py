"""The command line: score, filter, table, demo.

Heavy modules are imported inside the commands, so that ``--help`` is immediate.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from smilearn.cli._terminal import Commands, Voice, explained
from smilearn.exceptions import InvalidInputError

_EPILOG = (
    "Exit codes: 0 done; 2 wrong input or usage, told in a line on stderr; 1 a bug, "
    "with its traceback; 130 stopped by Ctrl-C; 141 nobody reads the output."
)
_HEAD = 20  # rows of a table that a terminal shows

app = typer.Typer(
    name="smilearn",
    cls=Commands,
    help="Which training samples will a fine-tuned text classifier memorize?",
    epilog=_EPILOG,
    no_args_is_help=True,
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


class Format(StrEnum):
    """Formats of standard input and output."""

    CSV = "csv"
    JSONL = "jsonl"


class Sort(StrEnum):
    """Orders of a table."""

    RISK = "risk"
    ID = "id"
    LABEL = "label"
    PSMI = "psmi"
    RANK = "rank"


Data = Annotated[Path, typer.Argument(help="CSV, JSON Lines or Parquet file.")]
DataOrDash = Annotated[
    Path | None,
    typer.Argument(help="CSV, JSON Lines or Parquet file; - is standard input."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random, 0 or more.")]


@app.command()
@explained
def score(
    label: Annotated[str, typer.Option(help="Column of the labels.")],
    data: DataOrDash = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the data from standard input.")
    ] = False,
    format_: Annotated[
        Format | None,
        typer.Option(
            "--format",
            help="Format of standard input and output; jsonl, or that of DATA.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Risk table to write; standard output if - or not given."),
    ] = None,
    text: Annotated[str | None, typer.Option(help="Column of the texts.")] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", help="Column of ids to keep; else row numbers."),
    ] = None,
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
        int | None, typer.Option(help="Slices; as many as needed if not given.")
    ] = None,
    slicing: Annotated[
        Slicing,
        typer.Option(help="Where the slices point; isotropic is that of the paper."),
    ] = Slicing.ADAPTIVE,
    max_epochs: Annotated[
        int, typer.Option(help="Passes over the data at most (early).")
    ] = 5,
    learning_rate: Annotated[
        float, typer.Option(help="Largest learning rate (early).")
    ] = 5e-5,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Score labelled texts: one row a sample, high risk = likely to be memorized."""
    from smilearn.cli._score import ScoreJob

    voice = Voice(quiet=quiet, as_json=as_json, data_on_stdout=_is_stdout(out))
    job = ScoreJob(
        data=data,
        stdin=stdin,
        kind=None if format_ is None else format_.value,
        out=None if _is_stdout(out) else out,
        label=label,
        text=text,
        id_column=id_,
        model=model,
        moment=moment.value,
        embeddings=embeddings,
        scorer={"n_slices": n_slices, "slicing": slicing.value},
        tuning={"max_epochs": max_epochs, "learning_rate": learning_rate},
        seed=seed,
    )
    job.check()
    with voice.warnings():
        outcome = job.run(voice.progress)
    job.write(outcome)
    job.tell(voice, outcome)


@app.command("filter")
@explained
def filter_(
    data: Data,
    risk: Annotated[Path, typer.Option(help="Risk table of the same rows.")],
    out: Annotated[Path, typer.Option(help="File to write the kept rows to.")],
    removed: Annotated[
        Path | None, typer.Option(help="File to write the removed rows to.")
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option("--id", help="Column that holds the ids of the risk table."),
    ] = None,
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
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Write the data without the rows most at risk; they are never held whole."""
    from smilearn.cli._filter import FilterJob

    voice = Voice(quiet=quiet, as_json=as_json)
    rule = {"share": share, "threshold": threshold, "n_remove": n_remove}
    rule |= {"by_class": by_class, "min_per_class": min_per_class}
    job = FilterJob(data, risk, out, removed, id_, rule)
    job.check()
    facts = job.run(voice.warnings)
    n_kept, n_removed = facts["n_kept"], len(facts["removed"])
    voice.say(
        f"{out}: kept {n_kept} of {n_kept + n_removed} rows, removed {n_removed}.",
        facts,
    )


@app.command()
@explained
def table(
    risk: Annotated[Path, typer.Argument(help="Risk table that was written.")],
    sort: Annotated[
        Sort | None,
        typer.Option(help="Order of the rows; riskiest first if not given."),
    ] = None,
    head: Annotated[
        int | None,
        typer.Option(help=f"Rows; if not given {_HEAD} on a terminal, all elsewhere."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Column of the table; one row for each value.")
    ] = None,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="One row for each label.")
    ] = False,
    compare: Annotated[
        Path | None, typer.Option(help="Another table of the same samples.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the rows to a file instead.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Show a risk table: sorted, summed up by class, or beside another one."""
    from smilearn.cli._table import TableJob
    from smilearn.cli._terminal import one_of

    voice = Voice(quiet=quiet, as_json=as_json)
    if quiet and out is None:
        raise InvalidInputError("--quiet shows nothing; name a file with --out.")
    groups = {"--by": by, "--by-class": by_class}
    one_of(groups | {"--compare": compare})
    one_of(groups | {"--sort": sort})
    job = TableJob(
        risk,
        out=out,
        sort=None if sort is None else sort.value,
        head=head,
        by="label" if by_class else by,
        compare=compare,
    )
    job.check()
    job.run()
    job.tell(voice, most=_HEAD)


@app.command()
@explained
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(
        "smilearn-demo"
    ),
    n_samples: Annotated[int, typer.Option(help="Sentences, 40 or more.")] = 2000,
    max_epochs: Annotated[int, typer.Option(help="Passes at most.")] = 5,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Find flipped labels in film reviews, before training and at the early point."""
    from smilearn.cli import _demo
    from smilearn.cli._table import demo_facts, print_demo
    from smilearn.cli._terminal import check_folder, check_number

    voice = Voice(quiet=quiet, as_json=as_json)
    check_number("--n-samples", n_samples, least=40)
    check_number("--max-epochs", max_epochs, least=1)
    check_number("--seed", seed, least=0)
    check_folder(out, out)
    if voice.draws:
        typer.echo(
            f"{n_samples} Rotten Tomatoes sentences; {_demo.FLIPPED_SHARE:.0%} of the "
            f"labels flipped on purpose (seed {seed}).\n"
            "Scoring them with MiniLM: before any training, then fine-tuned to the "
            "early point."
        )
    options = {"n_samples": n_samples, "max_epochs": max_epochs, "seed": seed}
    with voice.warnings():
        found = _demo.run_demo(out, verbose=voice.progress, **options)
    if voice.draws:
        print_demo(found, _demo.REMOVED_SHARE)
    elif as_json:
        voice.say("", demo_facts(found))


def _is_stdout(out):
    return out is None or str(out) == "-"
