"""The main job: labelled texts in, a risk table out."""

from dataclasses import dataclass, field

from smilearn.datasets import packaged_minilm
from smilearn.embedding._pretrained import DEFAULT_MODEL
from smilearn.embedding._sentence import SentenceEmbedder
from smilearn.exceptions import MissingDependencyError
from smilearn.finetuning._embedder import FineTunedEmbedder
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._texts import check_labelled_texts, check_labels


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
