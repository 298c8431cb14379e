"""The train command: labelled texts in, a fine-tuned model that transformers opens."""

import math
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from smilearn.cli._options import (
    Delimiter,
    InFile,
    Json,
    Label,
    LearningRate,
    Model,
    Quiet,
    RiskId,
    RunFolder,
    Seed,
    check_folder,
    check_new_folder,
    only_csv,
    share_of,
    table_file,
    that,
)
from smilearn.cli._terminal import Messages
from smilearn.exceptions import InvalidInputError

_DONE = {
    "drop": "dropped",
    "reweight": "gave less weight to",
    "flatten": "flattened the labels of",
    "clip": "clipped the gradients of",
    "passes": "took out of later epochs",
}
_ON = {"reweight": "loss", "flatten": "label", "clip": "gradient", "passes": "passes"}
Protection = StrEnum("Protection", [name.upper() for name in (*_DONE, "early")])


def train(
    data: InFile,
    label: Label,
    text: Annotated[str, typer.Option(help="Column of the texts.")],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="New folder for the model.")
    ],
    test: Annotated[
        Path | None,
        table_file("Rows that are not trained on, to tell the accuracy on."),
    ] = None,
    protect: Annotated[
        Protection | None,
        typer.Option(
            help="What is done with the risky rows: drop them, give them less weight, "
            "flatten their labels, clip their gradients, leave them out of later "
            "epochs; or stop all training at the early point."
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            parser=share_of,
            help="Share of the rows that is risky: 0.05 or 5%. If not given, labels of "
            "a probability below 5 %, where another one is likelier.",
        ),
    ] = None,
    risk: Annotated[
        Path | None,
        table_file(
            "Risk table of the same rows; else they are scored with the base model."
        ),
    ] = None,
    id_: RiskId = None,
    epsilon: Annotated[
        float | None,
        typer.Option(
            callback=that(lambda value: 0 < value < math.inf, "a number above 0"),
            help="Train with differential privacy (DP-SGD) up to this epsilon; the "
            "seed is then drawn, as it must be a secret.",
        ),
    ] = None,
    model: Model = None,
    max_epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the data; 3 if not given.")
    ] = None,
    learning_rate: LearningRate = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts in a step.")] = 32,
    freeze_layers: Annotated[
        int, typer.Option(min=0, help="Lowest layers that are not trained.")
    ] = 0,
    lora: Annotated[
        int | None,
        typer.Option(min=1, help="Train adapters of this rank instead of all weights."),
    ] = None,
    folder: RunFolder = None,
    delimiter: Delimiter = ",",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Fine-tune a classifier of texts, with risky rows protected if asked for.

    The folder is one of transformers: AutoModelForSequenceClassification opens it.
    """
    import numpy as np

    from smilearn.cli import _inputs
    from smilearn.cli._rows import match
    from smilearn.tables._io import file_kind, read_frame

    messages = Messages(quiet=quiet, as_json=as_json)
    acts_on_rows = protect is not None and protect.value in _DONE
    if id_ and not risk:
        raise InvalidInputError("--id is of the risk table; name one with --risk.")
    for name, value in (("share", share), ("risk", risk)):
        if value is not None and not acts_on_rows:
            raise InvalidInputError(
                f"--{name} says which rows are risky, and here nothing is done with "
                "them; name a protection of rows with --protect, or leave it out."
            )
    if acts_on_rows and epsilon is not None:
        raise InvalidInputError(
            f"--epsilon and --protect {protect.value} exclude each other: which rows "
            "are risky is read from all rows, without noise, so that no guarantee is "
            "left. Give one of them."
        )
    check_new_folder(out)
    if folder:
        check_folder(folder, folder)
    only_csv(data, file_kind(data), delimiter=delimiter)

    def read(path):
        frame = read_frame(path, delimiter=delimiter)
        return _inputs.samples_of(frame, path, label, text)

    labels, texts, _ = read(data)
    unseen = read(test) if test else None
    if unseen and not {*map(str, unseen[0])} & {*map(str, labels)}:
        raise InvalidInputError(
            f"{test}: none of its labels, such as {unseen[0][0]!r}, is one of {data}, "
            f"such as {labels[0]!r}."
        )
    with messages.warnings():
        texts, labels = _inputs.rows_and_classes(None, texts, labels)
        risks = None
        if risk:
            asks = share is None or protect == "flatten"
            more = ("probability", "most_likely_label") if asks else ()
            risks = match(data, risk, id_, label, delimiter, more)
        from smilearn.embedding._pretrained import default_model
        from smilearn.finetuning._classifier import FineTunedClassifier

        classifier = FineTunedClassifier(
            model or default_model(),
            head="standard",
            early_point="median-loss" if protect == "early" else None,
            privacy=epsilon,
            max_epochs=max_epochs or 3,
            learning_rate=learning_rate or ("auto" if lora else 5e-5),
            batch_size=batch_size,
            freeze_layers=freeze_layers,
            lora=lora,
            checkpoint_folder=folder,
            random_state=seed if epsilon is None else None,
            verbose=messages.progress,
        )
        fitted, start = classifier, time.perf_counter()
        if acts_on_rows:
            cleaner = _cleaner(risks, share, classifier.model, seed)
            fitted = _protected(classifier, cleaner, protect)
        fitted.fit(texts, labels)
        classifier = getattr(fitted, "estimator_", fitted)
        right = None
        if unseen:
            said = classifier.predict(unseen[1])
            right = float(np.mean(said.astype(str) == np.array(unseen[0]).astype(str)))
        classifier.save_pretrained(out)
    facts = {
        "out": str(out),
        "n_samples": len(texts),
        "n_classes": len(classifier.classes_),
        "epochs": classifier.history_[-1]["epoch"],
        "seconds": round(time.perf_counter() - start, 1),
        "protect": protect and protect.value,
    }
    parts = [
        f"{out}: trained on {len(texts):,} samples of {facts['n_classes']} classes, "
        f"{facts['epochs']:.3g} epochs, {facts['seconds']:,.0f} seconds"
    ]
    if acts_on_rows:
        facts["n_risky"] = int((~fitted.filter_.support_).sum())
        parts.append(f"{_DONE[protect.value]} {facts['n_risky']:,} risky ones")
    if epsilon is not None:
        facts["epsilon"] = classifier.epsilon_
        facts["delta"] = classifier.privacy_["delta"]
        parts.append(f"epsilon {facts['epsilon']:.3g} at delta {facts['delta']:.2g}")
    if unseen:
        facts["accuracy"] = right
        parts.append(f"accuracy {right:.3f} on {test}")
    messages.say("; ".join(parts) + ".", facts)


def _cleaner(risks, share, model, seed):
    """Filter that says which rows are risky: by their risk table, or scored now."""
    from sklearn.pipeline import make_pipeline

    from smilearn.embedding._hidden_states import HiddenStateEmbedder
    from smilearn.filtering._filter import RiskFilter
    from smilearn.scoring._scorer import SlicedMIScorer

    if risks is not None:
        return RiskFilter(risks, share=share)
    embedder = HiddenStateEmbedder(model, layer="spread")
    scorer = make_pipeline(embedder, SlicedMIScorer(random_state=seed))
    return RiskFilter(scorer, share=share)


def _protected(classifier, cleaner, protect):
    """The classifier, and what is done with the rows that are risky."""
    from smilearn.filtering._filtered_estimator import FilteredEstimator
    from smilearn.filtering._reweighter import RiskReweighter

    if protect == "drop":
        return FilteredEstimator(classifier, cleaner)
    return RiskReweighter(classifier, cleaner, on=_ON[protect.value])
