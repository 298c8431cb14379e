"""From labelled texts or embeddings to a risk table: what score and demo share."""

from dataclasses import dataclass, field

from smilearn.datasets import packaged_minilm
from smilearn.embedding._hidden_states import HiddenStateEmbedder
from smilearn.embedding._pretrained import DEFAULT_MODEL
from smilearn.embedding._sentence import SentenceEmbedder
from smilearn.exceptions import MissingDependencyError
from smilearn.finetuning._embedder import FineTunedEmbedder
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._validation import check_labelled_texts, check_labels


@dataclass
class Scored:
    """A risk table, and what it was made with."""

    table: RiskTable
    scorer: SlicedMIScorer
    model: str = ""
    embedder: FineTunedEmbedder | None = field(default=None, repr=False)

    @property
    def facts(self):
        """What scripts want to know, ready for JSON."""
        facts = {
            "n_samples": len(self.table),
            "n_classes": len(self.scorer.classes_),
            "n_slices": self.scorer.n_slices_,
            "reliability": round(self.scorer.reliability_, 4),
        }
        if self.model:
            facts["model"] = self.model
        if self.embedder is not None:
            facts["early_point_reached"] = self.embedder.early_point_reached_
            facts["history"] = self.embedder.history_
        return facts


def score_texts(
    texts,
    labels,
    *,
    model=None,
    early=True,
    sentence=False,
    seed=0,
    verbose=False,
    ids=None,
    scorer=None,
    **tuning,
):
    """Score texts with the base model, or at the early point of a fine-tune."""
    # sentence: with the sentence embedding instead of three layers of the base model
    texts, *_ = check_labelled_texts(texts, labels)
    model, options = model or default_model(), {"verbose": verbose}
    if early:
        embedder = FineTunedEmbedder(model, random_state=seed, **options, **tuning)
    elif sentence:
        embedder = SentenceEmbedder(model, **options)
    else:
        embedder = HiddenStateEmbedder(model, layer="spread", **options)
    X = embedder.fit_transform(texts, labels)
    scored = score_embeddings(X, labels, texts=texts, ids=ids, seed=seed, scorer=scorer)
    scored.model, scored.embedder = model, embedder if early else None
    return scored


def score_embeddings(X, labels, *, texts=None, ids=None, seed=0, scorer=None):
    """Score labelled embeddings; scorer holds options of SlicedMIScorer."""
    scorer = SlicedMIScorer(random_state=seed, **(scorer or {}))
    scorer.fit(X, check_labels(labels))
    return Scored(scorer.to_table(X, texts=texts, ids=ids), scorer)


def default_model():
    """The packaged MiniLM if it is installed, else its name on the Hub."""
    try:
        return packaged_minilm()
    except MissingDependencyError:
        return DEFAULT_MODEL
