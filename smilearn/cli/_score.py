"""The score command: labelled texts or embeddings in, a risk table out."""

import shlex
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from smilearn.cli._options import (
    Delimiter,
    Id,
    Json,
    Label,
    LearningRate,
    Model,
    Quiet,
    RunFolder,
    SafeCsv,
    Seed,
    Text,
    check_folder,
    check_output,
    check_report,
    is_report,
    is_table,
    only_csv,
    rows_from,
    tuning_of,
)
from smilearn.cli._terminal import (
    Messages,
    early_line,
    spent_line,
    write_to_stdout,
)
from smilearn.exceptions import InvalidInputError

Moment = StrEnum(
    "Moment", {"EARLY": "early", "BEFORE": "before", "HELD_OUT": "held-out"}
)
Layers = StrEnum("Layers", "SPREAD SENTENCE")
Format = StrEnum("Format", "CSV JSONL")


def score(
    label: Label,
    data: Annotated[
        Path | None,
        typer.Argument(
            callback=is_table,
            help="CSV, JSON Lines or Parquet file; - is standard input.",
        ),
    ] = None,
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
        typer.Option(
            help="Risk table to write; standard output if - or not given. With --dask "
            "a folder, for one file for each partition.",
        ),
    ] = None,
    text: Text = None,
    id_: Id = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Column to keep in the table; may be given several times."),
    ] = None,
    model: Model = None,
    moment: Annotated[
        Moment,
        typer.Option(
            help="Fine-tune to the early point, use the base model, or fine-tune twice "
            "on half of the data and score what each run has not seen."
        ),
    ] = Moment.EARLY,
    layers: Annotated[
        Layers,
        typer.Option(
            help="Three layers of the model side by side, or the sentence embedding of "
            "a sentence-transformers model (before, held-out)."
        ),
    ] = Layers.SPREAD,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Rows of embeddings (.npy) to use instead of a model; with --dask the "
            "column that holds them.",
        ),
    ] = None,
    n_slices: Annotated[
        int | None, typer.Option(min=1, help="Slices; as many as needed if not given.")
    ] = None,
    pooled: Annotated[
        bool,
        typer.Option(
            "--pooled/--no-pooled",
            help="Log probability of the label, or the PSMI alone, as in the paper.",
        ),
    ] = True,
    max_epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Epochs of each run; 5 at most (early), or 2 (held-out)."
        ),
    ] = None,
    learning_rate: LearningRate = None,
    folder: RunFolder = None,
    report: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            callback=is_report,
            help="Report to write, too, with all that is known of the scoring: .html, "
            ".md or .json.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--dask",
            metavar="ADDRESS",
            help="Scheduler of a Dask cluster, or local for processes of this machine; "
            "DATA is a pattern of Parquet files (before, or embeddings).",
        ),
    ] = None,
    delimiter: Delimiter = ",",
    safe_csv: SafeCsv = False,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Score labelled texts: one row a sample, high risk = likely to be memorized."""
    rows_from(embeddings, model, text)
    scorer = {"n_slices": n_slices or "auto", "pooled": pooled}
    if address is not None:
        refuse_with_dask(data, out, embeddings, moment)
        others = {"--stdin": stdin, "--format": format_, "--folder": folder}
        others |= {"--report": report, "--max-epochs": max_epochs}
        others |= {"--learning-rate": learning_rate, "--safe-csv": safe_csv}
        for name, value in others.items():
            if value:
                raise InvalidInputError(
                    f"{name} does not go with --dask; leave it out."
                )
        from smilearn.cli._chunks import score_chunks

        messages = Messages(quiet=quiet, as_json=as_json)
        with messages.warnings():
            facts = score_chunks(
                str(data),
                out,
                address,
                label=label,
                text=text,
                id_=id_,
                keep=keep or [],
                embeddings=None if embeddings is None else str(embeddings),
                model=model,
                sentence=layers == Layers.SENTENCE,
                scorer=scorer | {"random_state": seed},
                verbose=messages.progress,
            )
        messages.say(f"{out}: {facts['n_files']} files, {sizes(facts)}.", facts)
        return
    from smilearn.cli import _inputs
    from smilearn.tables._io import file_kind, read_frame, write_frame

    out = None if str(out) == "-" else out
    messages = Messages(quiet=quiet, as_json=as_json, data_on_stdout=out is None)
    if embeddings and not embeddings.is_file():
        raise typer.BadParameter(f"{embeddings}: no such file.")
    if moment == Moment.HELD_OUT and not pooled:
        raise InvalidInputError(
            "--moment held-out has a pooled score; leave out --no-pooled."
        )
    if embeddings and moment == Moment.HELD_OUT:
        raise InvalidInputError(
            "--moment held-out fine-tunes a model on texts; leave out --embeddings."
        )
    tuning = tuning_of(
        not embeddings and moment != Moment.BEFORE,
        5 if moment == Moment.EARLY else 2,
        max_epochs=max_epochs,
        learning_rate=learning_rate,
        folder=folder,
    )
    if folder:
        check_folder(folder, folder)
    if data is None and not stdin:
        raise InvalidInputError(
            "Name a data file; - or --stdin reads from standard input."
        )
    dash = str(data) == "-"
    if data is not None and stdin and not dash:
        raise InvalidInputError(f"{data} and --stdin exclude each other; give one.")
    path = None if stdin or dash else data
    if format_ and out and path:
        raise InvalidInputError(
            "--format is that of standard input and output; files have that of their "
            "suffix."
        )
    if out:
        if out.is_dir():
            raise typer.BadParameter(f"{out} is a folder; name a file.")
        check_output(out, path, embeddings)
    if report:
        check_report(report)
    kind = format_ or ("csv" if path and file_kind(path) == "csv" else "jsonl")
    name = path or _inputs.STANDARD_INPUT
    kinds = [file_kind(file) if file else kind for file in (path, out)]
    only_csv(name, kinds[0], delimiter=delimiter)
    only_csv(out or "standard output", kinds[1], safe_csv=safe_csv)
    if path:
        frame = read_frame(path, delimiter=delimiter)
    else:
        frame = _inputs.read_stdin(kind, delimiter)
    kept = _inputs.kept_columns(frame, keep or [], name)
    labels, texts, ids = _inputs.samples_of(frame, name, label, text, id_)
    options = {"ids": ids, "seed": seed, "scorer": scorer}
    start = time.monotonic()
    with messages.warnings() as warned:
        X, classes = _inputs.rows_and_classes(embeddings, texts, labels)
        from smilearn.cli import _workflow  # loads torch, so after all checks of data

        if embeddings:
            scored = _workflow.score_embeddings(X, classes, texts=texts, **options)
        else:
            if moment != Moment.EARLY:
                options["sentence"] = layers == Layers.SENTENCE
            options |= {"model": model, "moment": moment, "verbose": messages.progress}
            scored = _workflow.score_texts(X, classes, **options, **tuning)
    written = scored.table.frame.hstack(kept)
    options = {"exact": kept.columns, "safe": safe_csv}
    if out:
        write_frame(written, out, **options)
    else:
        write_to_stdout(written, kind, **options)
    files = {"data": path, "risk": out, "id": id_, "label": label}
    files["delimiter"] = delimiter
    if report:
        from smilearn.report._report import write_report

        facts = {"Data": name} | scored.report_facts(moment, time.monotonic() - start)
        facts["Command"] = shlex.join(["smilearn", *sys.argv[1:]])
        write_report(
            scored.table,
            report,
            facts=facts,
            warnings=warned,
            files=files,
            columns=kept,
            embeddings=scored.X,
            embedder=scored.embedder,
        )
    facts = {"out": str(out or "standard output"), **scored.facts}
    sentence = f"{facts['out']}: {sizes(facts)}.\n{scored.summary(files, bool(report))}"
    if scored.runs is not None:
        sentence = f"{spent_line(scored.runs)}\n{sentence}"
    if scored.embedder is not None:
        sentence = f"{early_line(scored.embedder)}\n{sentence}"
    messages.say(sentence, facts)


def sizes(facts):
    """Say in words how much was scored, and how well."""
    return (
        f"{facts['n_samples']} samples, {facts['n_classes']} classes; slices: "
        f"{facts['n_slices']}, reliability {facts['reliability']:.3f}"
    )


def refuse_with_dask(data, out, embeddings, moment):
    """Refuse what cannot be done on a cluster, or is not named."""
    if data is None or data.suffix != ".parquet":
        raise InvalidInputError(
            "--dask reads Parquet files; name them, as in 'data/*.parquet'."
        )
    if out is None or out.suffix:
        raise InvalidInputError(
            "--dask writes a file for each partition; --out FOLDER."
        )
    if not embeddings and moment != Moment.BEFORE:
        raise InvalidInputError(
            "--dask scores texts before any training; add --moment before."
        )
