"""From labelled texts or embeddings to a risk table: what score and demo share."""

import shlex
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from platform import python_version

import numpy as np
from sklearn.pipeline import make_pipeline

from smilearn.embedding._hidden_states import HiddenStateEmbedder
from smilearn.embedding._pretrained import DEFAULT_MODEL, default_model
from smilearn.embedding._sentence import SentenceEmbedder
from smilearn.finetuning._classifier import FineTunedClassifier
from smilearn.finetuning._embedder import FineTunedEmbedder
from smilearn.finetuning._held_out import HeldOutScorer
from smilearn.report._commands import filter_command
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.tables._improbable import LEAST_PROBABILITY, improbable
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._escapes import printable

MOMENTS = {
    "before": "before any training",
    "early": "at the early point of a fine-tune",
    "held-out": "by two fine-tunes on halves of the data",
}


@dataclass
class Scored:
    """A risk table, and what it was made with."""

    table: RiskTable
    scorer: SlicedMIScorer
    model: str = ""
    X: object = field(default=None, repr=False)
    embedder: FineTunedEmbedder | None = field(default=None, repr=False)
    runs: HeldOutScorer | None = field(default=None, repr=False)

    def report_facts(self, moment, seconds=None):
        """What a report opens with, in words."""
        is_packaged = self.model and self.model == default_model()
        facts = {"Model": DEFAULT_MODEL if is_packaged else self.model}
        cost = [] if seconds is None else [f"{seconds:,.0f} seconds"]
        if self.model:
            facts["Moment"] = MOMENTS[moment]
        if self.embedder is not None:
            epochs = self.embedder.history_[-1]["epoch"]
            cost.insert(0, f"{epochs:.2f} epochs of fine-tuning")
        elif self.runs is not None:
            cost.insert(0, f"as much as {self.runs.cost_:.1f} epochs of fine-tuning")
        facts["Cost"] = ", ".join(cost)
        facts["Date"] = date.today().isoformat()
        names = ("smilearn", "torch", "transformers") if self.model else ("smilearn",)
        versions = [f"{name} {version(name)}" for name in names]
        facts["Versions"] = ", ".join([*versions, f"Python {python_version()}"])
        return facts

    @property
    def improbable(self):
        """Which labels look wrong: improbable, where another one is likelier."""
        frame = self.table.frame
        return improbable(frame) if "probability" in frame.columns else None

    def summary(self, files, reported=False):
        """What was found, in words: how many labels look wrong, where, what next."""
        wrong, lines = self.improbable, []
        if wrong is not None:
            labels, counts = np.unique(self.table["label"][wrong], return_counts=True)
            order = np.argsort(-counts, kind="stable")[:5]
            named = [f"{printable(labels[i], 30)}: {counts[i]}" for i in order]
            named += [f"{len(labels) - 5} more classes"] if len(labels) > 5 else []
            lines.append(
                f"{wrong.sum():,} of {len(wrong):,} labels look wrong: predicted from "
                f"all other samples, their probability is below {LEAST_PROBABILITY:.0%}"
                f", and another label is likelier ({', '.join(named)})."
                if named
                else "No label looks wrong: predicted from all other samples, none "
                f"has a probability below {LEAST_PROBABILITY:.0%} while another is "
                "likelier."
            )
        top = self.table.riskiest(3)
        lines.append("The riskiest:")
        for row in top.frame.to_dicts():
            parts = [f"  {printable(row['id'], 20)}: {printable(row['label'], 30)}"]
            if "probability" in row:
                parts.append(f" ({100 * row['probability']:.2g} %)")
            if row.get("most_likely_label") not in (None, row["label"]):
                parts.append(f", likelier {printable(row['most_likely_label'], 30)}")
            if "text" in row:
                parts.append(f": {printable(row['text'], 60)}")
            lines.append("".join(parts))
        following = []
        if files["risk"] and not reported:
            risk = shlex.quote(str(files["risk"]))
            following.append(f"smilearn report {risk} --out report.html")
        if files["risk"] and files["data"]:
            following.append(" ".join(filter_command(files)))
        for line, name in zip(following, ("Next: ", "      "), strict=False):
            lines.append(name + line)
        return "\n".join(lines)

    @property
    def facts(self):
        """What scripts want to know, ready for JSON."""
        facts = {
            "n_samples": len(self.table),
            "n_classes": len(self.scorer.classes_),
            "n_slices": self.scorer.n_slices_,
            "reliability": round(self.scorer.reliability_, 4),
        }
        if self.improbable is not None:
            facts["n_improbable"] = int(self.improbable.sum())
        if self.model:
            facts["model"] = self.model
        if self.runs is not None:
            facts["epochs_spent"] = round(self.runs.cost_, 4)
            facts["weights"] = self.runs.pool_["weights"]
        if self.embedder is not None:
            facts["early_point_reached"] = self.embedder.early_point_reached_
            facts["history"] = self.embedder.history_
        return facts


def score_texts(
    texts,
    labels,
    *,
    model=None,
    moment="early",
    sentence=False,
    seed=0,
    verbose=False,
    ids=None,
    scorer=None,
    folder=None,
    **tuning,
):
    """Score texts with the base model, at an early point, or by runs on halves."""
    # sentence: with the sentence embedding instead of three layers of the base model
    model, options = model or default_model(), {"verbose": verbose}
    if moment == "early":
        tuning |= {"random_state": seed, "checkpoint_folder": folder}
        embedder = FineTunedEmbedder(model, **options, **tuning)
    elif sentence:
        embedder = SentenceEmbedder(model, **options)
    else:
        embedder = HiddenStateEmbedder(model, layer="spread", **options)
    if moment == "held-out":
        base = SlicedMIScorer(random_state=seed, **(scorer or {}))
        options |= {"random_state": seed, "checkpoint_folder": folder}
        options["prior"] = make_pipeline(embedder, base)
        runs = HeldOutScorer(FineTunedClassifier(model, **tuning), **options)
        runs.fit(texts, labels)
        table = runs.to_table(texts=texts, ids=ids)
        return Scored(table, runs.prior_scorer_[-1], model, runs=runs)
    X = embedder.fit_transform(texts, labels)
    scored = score_embeddings(X, labels, texts=texts, ids=ids, seed=seed, scorer=scorer)
    scored.model, scored.embedder = model, embedder if moment == "early" else None
    return scored


def score_embeddings(X, labels, *, texts=None, ids=None, seed=0, scorer=None):
    """Score labelled embeddings; scorer holds options of SlicedMIScorer."""
    scorer = SlicedMIScorer(random_state=seed, **(scorer or {}))
    scorer.fit(X, labels)
    return Scored(scorer.to_table(X, texts=texts, ids=ids), scorer, X=X)
