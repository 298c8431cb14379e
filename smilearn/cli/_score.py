"""The score command: labelled texts or embeddings in, a risk table out."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smilearn.cli._table import early_line, print_riskiest
from smilearn.cli._terminal import (
    check_number,
    check_output,
    write_table,
    write_to_stdout,
)
from smilearn.datasets import packaged_minilm
from smilearn.embedding._pretrained import DEFAULT_MODEL
from smilearn.embedding._sentence import SentenceEmbedder
from smilearn.exceptions import (
    FileFormatError,
    InvalidInputError,
    MissingDependencyError,
)
from smilearn.finetuning._embedder import FineTunedEmbedder
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.tables._risk_table import RiskTable
from smilearn.tables._row_streams import RowStream
from smilearn.utils._validation import check_labelled_texts, check_labels


def data_stream(data, stdin, kind):
    """Open the data of a command."""
    dash = data is not None and str(data) == "-"
    if data is None and not stdin:
        raise InvalidInputError(
            "Name a data file; - or --stdin reads from standard input."
        )
    if data is not None and stdin and not dash:
        raise InvalidInputError(f"{data} and --stdin exclude each other; give one.")
    if dash or stdin:
        return RowStream(kind=kind or "jsonl")
    return RowStream(data)


def complete_column(columns, name, path):
    """Give a column, or refuse it with the rows where it is empty."""
    values = columns[name]
    missing = [
        row
        for row, value in enumerate(values)
        if value is None or value == "" or value != value
    ]
    if missing:
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise InvalidInputError(
            f"{path}: column {name!r} is empty in {len(missing)} of {len(values)} rows "
            f"(counted from 0: {some}). Fill them in or drop them."
        )
    return values


def label_column(columns, name, path):
    """Give the labels, or say why they are none."""
    values = complete_column(columns, name, path)
    for row, value in enumerate(values):
        whole = isinstance(value, float) and value.is_integer()
        if not (isinstance(value, (str, int)) or whole):
            raise InvalidInputError(
                f"{path}: labels must be strings or whole numbers; column {name!r} has "
                f"{value!r} in row {row} (counted from 0)."
            )
    return [int(v) if isinstance(v, float) else v for v in values]


def unique_column(columns, name, path):
    """Give the ids, or refuse them with the rows where one stands twice."""
    rows = {}
    for row, value in enumerate(complete_column(columns, name, path)):
        if isinstance(value, (list, dict)):
            raise InvalidInputError(
                f"{path}: ids must be strings or numbers; column {name!r} has "
                f"{value!r} in row {row} (counted from 0)."
            )
        first = rows.setdefault(str(value), row)
        if first != row:
            raise InvalidInputError(
                f"{path}: column {name!r} has {value!r} in row {first} and in row "
                f"{row} (counted from 0); ids must be unique."
            )
    kinds = set(map(type, columns[name]))
    return columns[name] if kinds in ({str}, {int}) else list(map(str, columns[name]))


def load_embeddings(path, n_rows):
    """Load a matrix of embeddings from a .npy file."""
    try:
        X = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FileFormatError(f"{path}: not a NumPy array file: {error}") from error
    shape = getattr(X, "shape", type(X).__name__)
    if getattr(X, "ndim", 0) != 2 or len(X) != n_rows or not X.shape[1]:
        raise InvalidInputError(
            f"{path}: expected {n_rows} rows of embeddings; got {shape}."
        )
    if X.dtype.kind not in "fiu":
        raise InvalidInputError(f"{path}: must hold numbers; got {X.dtype}.")
    wrong = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(wrong):
        raise InvalidInputError(
            f"{path}: holds NaN or infinity in {len(wrong)} rows, the first is "
            f"{wrong[0]} (counted from 0)."
        )
    return X


@dataclass
class Outcome:
    """What came of scoring a labelled data set."""

    table: RiskTable
    scorer: SlicedMIScorer
    model: str = ""
    embedder: FineTunedEmbedder | None = field(default=None, repr=False)

    @property
    def summary(self):
        """The facts of the run, ready for JSON."""
        facts = {
            "n_samples": len(self.table),
            "n_classes": len(self.scorer.classes_),
            "n_below_zero": int((self.scorer.scores_ < 0).sum()),
            "n_slices": self.scorer.n_slices_,
            "reliability": round(self.scorer.reliability_, 4),
        }
        if self.model:
            facts["model"] = self.model
        if self.embedder is not None:
            facts["early_point_reached"] = self.embedder.early_point_reached_
            facts["history"] = self.embedder.history_
        return facts


def default_model():
    """The packaged MiniLM if it is installed, else its name on the Hub."""
    try:
        return packaged_minilm()
    except MissingDependencyError:
        return DEFAULT_MODEL


def score_texts(
    texts, labels, *, model=None, moment="early", seed=0, verbose=False, **options
):
    """Score labelled texts before any training, or at the early point of a fine-tune"""
    texts, *_ = check_labelled_texts(texts, labels)
    model = model or default_model()
    scorer = options.pop("scorer", {})
    if moment == "before":
        embedder = SentenceEmbedder(model, verbose=verbose, **options)
        X = embedder.fit_transform(texts)
    else:
        embedder = FineTunedEmbedder(
            model, random_state=seed, verbose=verbose, **options
        )
        X = embedder.fit_transform(texts, labels)
    outcome = score_embeddings(X, labels, texts=texts, seed=seed, **scorer)
    outcome.model = model
    outcome.embedder = embedder if moment == "early" else None
    return outcome


def score_embeddings(X, labels, *, texts=None, seed=0, **options):
    """Score labelled embeddings."""
    scorer = SlicedMIScorer(random_state=seed, **options).fit(X, check_labels(labels))
    return Outcome(scorer.to_table(X, texts=texts), scorer)


@dataclass
class ScoreJob:
    """What is to be scored, and how."""

    data: Path | None
    stdin: bool
    kind: str | None
    out: Path | None
    label: str
    text: str | None
    id_column: str | None
    model: str | None
    moment: str
    embeddings: Path | None
    scorer: dict
    tuning: dict
    seed: int

    def check(self):
        """Refuse what cannot be done, before anything is read."""
        if self.embeddings is not None and self.model is not None:
            raise InvalidInputError(
                "--embeddings stand for a model; give one of --embeddings and --model."
            )
        if self.embeddings is None and self.text is None:
            raise InvalidInputError("Name the column of the texts with --text.")
        check_number("--n-slices", self.scorer["n_slices"], least=1)
        check_number("--max-epochs", self.tuning["max_epochs"], least=1)
        check_number("--learning-rate", self.tuning["learning_rate"], above=0)
        check_number("--seed", self.seed, least=0)
        self.stream = data_stream(self.data, self.stdin, self.kind)
        self._check_format()
        if self.out is not None:
            check_output(self.out, self.stream.path, self.embeddings)

    def _check_format(self):
        read = self.stream.path is None
        if self.kind is not None and self.out is not None and not read:
            raise InvalidInputError(
                "--format is that of standard input and output; files have that of "
                "their suffix."
            )
        if self.kind is None:
            self.kind = "csv" if self.stream.kind == "csv" else "jsonl"

    def run(self, progress):
        """Score."""
        wanted = dict.fromkeys(filter(None, (self.label, self.text, self.id_column)))
        columns, name = self.stream.gather(list(wanted)), self.stream.name
        labels = label_column(columns, self.label, name)
        texts = self.text and complete_column(columns, self.text, name)
        ids = self.id_column and unique_column(columns, self.id_column, name)
        outcome = self._score(texts, labels, progress)
        if ids is not None:
            outcome.table = with_ids(outcome.table, ids)
        return outcome

    def _score(self, texts, labels, progress):
        options = {k: v for k, v in self.scorer.items() if v is not None}
        if self.embeddings is not None:
            X = load_embeddings(self.embeddings, len(labels))
            return score_embeddings(X, labels, texts=texts, seed=self.seed, **options)
        return score_texts(
            texts,
            labels,
            model=self.model,
            moment=self.moment,
            seed=self.seed,
            verbose=progress,
            scorer=options,
            **(self.tuning if self.moment == "early" else {}),
        )

    def write(self, outcome):
        """Write the table."""
        if self.out is None:
            write_to_stdout(outcome.table, self.kind)
        else:
            write_table(outcome.table, self.out)

    def tell(self, voice, outcome):
        """Say what came of it."""
        facts = outcome.summary
        out = "standard output" if self.out is None else str(self.out)
        sentence = (
            f"{out}: {facts['n_samples']} samples, {facts['n_below_zero']} below 0 "
            f"nats; slices: {facts['n_slices']}, reliability "
            f"{facts['reliability']:.3f}."
        )
        if outcome.embedder is not None:
            sentence = f"{early_line(outcome.embedder)}\n{sentence}"
        if voice.draws and sys.stdout.isatty():
            print_riskiest(outcome.table)
        voice.say(sentence, {"out": out, **facts})


def with_ids(table, ids):
    """Give the rows of a table names of their own."""
    names = ("psmi", "label", "std", "most_likely_label", "text")
    columns = {name: table.frame[name] for name in names if name in table.columns}
    return RiskTable(**columns, id=ids)
