"""The audit command: labelled texts in, what a fine-tune memorizes of them out."""

from pathlib import Path
from typing import Annotated

import typer

from smilearn.cli._options import (
    Delimiter,
    Id,
    InFile,
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
    only_csv,
    rows_from,
    tuning_of,
)
from smilearn.cli._terminal import Messages, print_table
from smilearn.exceptions import InvalidInputError

SHOWN = ("rank", "lira", "lira_std", "counterfactual", "label")


def audit(
    data: InFile,
    label: Label,
    text: Text = None,
    id_: Id = None,
    n_shadow: Annotated[
        int, typer.Option(min=2, help="Models to train, in pairs: an even number.")
    ] = 4,
    model: Model = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes over the data of each model; 3 if not given."),
    ] = None,
    learning_rate: LearningRate = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Rows (.npy) for a logistic regression, instead of a fine-tune.",
        ),
    ] = None,
    prior: Annotated[
        bool,
        typer.Option(
            "--prior/--no-prior",
            help="Shrink few models towards the risk score of the base model.",
        ),
    ] = True,
    folder: RunFolder = None,
    out: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Table to write.")
    ] = None,
    delimiter: Delimiter = ",",
    safe_csv: SafeCsv = False,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Train models on halves of the data, and tell which samples they memorize."""
    from smilearn.cli import _inputs
    from smilearn.tables._io import read_frame, write_frame
    from smilearn.utils._files import file_kind

    messages = Messages(quiet=quiet, as_json=as_json)
    rows_from(embeddings, model, text)
    if n_shadow % 2:
        raise InvalidInputError(
            "--n-shadow must be even, as models are trained in pairs of halves; got "
            f"{n_shadow}."
        )
    if quiet and not (out or folder):
        raise InvalidInputError(
            "--quiet shows nothing, and nothing is kept; name a file with --out."
        )
    tuning = tuning_of(
        not embeddings, 3, max_epochs=max_epochs, learning_rate=learning_rate
    )
    if out:
        check_output(out, data, embeddings)
    if folder:
        check_folder(folder, folder)
    only_csv(data, file_kind(data), delimiter=delimiter)
    if safe_csv:
        only_csv(out or "standard output", out and file_kind(out), safe_csv=True)
    frame = read_frame(data, delimiter=delimiter)
    labels, texts, ids = _inputs.samples_of(frame, data, label, text, id_)
    with messages.warnings():
        X, classes = _inputs.rows_and_classes(embeddings, texts, labels)
        shadows = _audited(
            X,
            classes,
            model=model,
            tuning=tuning,
            has_prior=prior,
            n_shadow=n_shadow,
            random_state=seed,
            checkpoint_folder=folder,
            verbose=messages.progress,
        )
    table, attack = shadows.to_table(texts=texts, ids=ids).frame, shadows.attack()
    if out:
        write_frame(table, out, safe=safe_csv)
    top = table.sort("rank").head(10)
    if messages.draws:
        shown = top.select(*SHOWN, "id" if texts is None else "text")
        print_table(shown, len(table if out is None else top))
        print_table(attack.frame, len(attack))
    facts = {
        "out": None if out is None else str(out),
        "n_samples": len(table),
        "n_classes": len(shadows.classes_),
        "n_shadow": n_shadow,
        "prior": prior,
        "attack": {row.pop("measure"): row for row in attack.frame.to_dicts()},
        "riskiest": top["id"].to_list(),
    }
    auc, spent = facts["attack"]["auc"], ""
    if tuning:
        facts["epochs_spent"] = n_shadow / 2 * tuning["max_epochs"]
        spent = (
            f"spent: {n_shadow} models of {tuning['max_epochs']} epochs, each on half "
            f"of the data; as much as {facts['epochs_spent']:.0f} epochs of a training "
            "on all.\n"
        )
    messages.say(
        f"{spent}{out or data}: {len(table)} samples, {facts['n_classes']} classes, "
        f"{n_shadow} shadow models; AUC of the attack {auc['value']:.3f} "
        f"({auc['low']:.3f} to {auc['high']:.3f}).",
        facts,
    )


def _audited(X, labels, *, model, tuning, has_prior, **options):
    """Audit of fine-tunes on texts, or of logistic regressions on embeddings."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from smilearn.audit._audit import ShadowAudit
    from smilearn.embedding._hidden_states import HiddenStateEmbedder
    from smilearn.embedding._pretrained import default_model
    from smilearn.finetuning._classifier import FineTunedClassifier
    from smilearn.scoring._scorer import SlicedMIScorer

    scorer = SlicedMIScorer(random_state=options["random_state"])
    if tuning:
        model = model or default_model()
        classifier = FineTunedClassifier(model, **tuning)
        scorer = make_pipeline(HiddenStateEmbedder(model, layer="spread"), scorer)
    else:
        classifier = LogisticRegression(max_iter=1_000)
    return ShadowAudit(classifier, prior=scorer if has_prior else None, **options).fit(
        X, labels
    )
