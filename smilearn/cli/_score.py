"""The score command: labelled texts or embeddings in, a risk table out."""

import sys
from dataclasses import dataclass
from pathlib import Path

from smilearn.cli import _workflow
from smilearn.cli._checks import check_number, check_output
from smilearn.cli._input import (
    complete_column,
    data_stream,
    label_column,
    load_embeddings,
    unique_column,
)
from smilearn.cli._output import write_table, write_to_stdout
from smilearn.cli._screen import early_line, print_riskiest
from smilearn.exceptions import InvalidInputError
from smilearn.tables._risk_table import RiskTable


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
            return _workflow.score_embeddings(
                X, labels, texts=texts, seed=self.seed, **options
            )
        return _workflow.score_texts(
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
    columns = {name: table.columns.get(name) for name in names}
    return RiskTable(**columns, id=ids)
