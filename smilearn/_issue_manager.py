"""Memorization as an issue type of cleanlab's Datalab."""

import inspect
from typing import ClassVar

import numpy as np
import pandas as pd
from cleanlab import IssueManager
from scipy.special import expit
from sklearn.base import clone

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._scorer import SlicedMIScorer


class MemorizationIssueManager(IssueManager):
    """Finds samples whose embedding does not speak for their label."""

    issue_name: ClassVar[str] = "memorization"
    description: ClassVar[str] = (
        "Examples that a fine-tuned model is likely to learn by heart, as their "
        "features\n    do not speak for their label: wrong labels, odd texts, rare "
        "cases.\n\n    memorization_score is the probability of the label by all "
        "others; low = at risk.\n    memorization_risk is in nats; high = at risk."
    )
    verbosity_levels: ClassVar[dict] = {
        0: [],
        1: ["offset", "reliability"],
        2: ["most_likely_label"],
        3: [],
    }

    def __init__(self, datalab, features=None, scorer=None, **settings):
        super().__init__(datalab)
        if features is None:
            raise InvalidInputError(
                'The issue type "memorization" needs embeddings; got none. Give '
                "features=X to find_issues."
            )
        if not datalab.has_labels:
            raise InvalidInputError(
                'The issue type "memorization" needs labels; this Datalab has none. '
                "Make it with label_name."
            )
        self.scorer = _scorer_from(scorer, settings)

    def find_issues(self, features, **_):
        """Score the samples, and set `issues`, `summary` and `info`."""
        scorer = self.scorer.fit(features, np.asarray(self.datalab.labels))
        scores, probability = scorer.scores_, getattr(scorer, "probability_", None)
        self.issues = pd.DataFrame(
            {
                "is_memorization_issue": scores < scorer.offset_,
                self.issue_score_key: (
                    expit(scores) if probability is None else probability
                ),
                "memorization_risk": 0.0 - scores,
            }
        )
        self.summary = self.make_summary(self.issues[self.issue_score_key].mean())
        self.info = self.collect_info(features)

    def collect_info(self, features):
        """Collect what `Datalab.get_info("memorization")` is to give."""
        names = np.asarray(self.datalab.class_names)  # cleanlab knows labels by number
        table = self.scorer.to_table(features)
        known = {"risk", "probability", "psmi", "most_likely_label"} & {*table.columns}
        known = {name: table[name] for name in known}
        likely = known.pop("most_likely_label", None)
        return known | {
            "standard_error": table["std"],
            "given_label": names[table["label"]],
            "most_likely_label": None if likely is None else names[likely],
            "offset": float(self.scorer.offset_),
            "reliability": float(self.scorer.reliability_),
            "scorer": self.scorer,
        }


def _scorer_from(scorer, settings):
    """Give a scorer of our own, from one or from its parameters."""
    if scorer is None:
        known = list(inspect.signature(SlicedMIScorer).parameters)
        unknown = sorted(settings.keys() - set(known))
        if unknown:
            raise InvalidInputError(
                'The issue type "memorization" takes a scorer, or parameters of '
                f"SlicedMIScorer ({', '.join(known)}); got {unknown}."
            )
        return SlicedMIScorer(**settings)
    if settings:
        raise InvalidInputError(
            'The issue type "memorization" takes either a scorer or parameters of one; '
            f"got a scorer and {sorted(settings)}. Set them on the scorer."
        )
    if not isinstance(scorer, SlicedMIScorer):
        raise InvalidInputError(
            "scorer must be a SlicedMIScorer, such as SlicedMIScorer(random_state=0); "
            f"got {scorer!r}."
        )
    return clone(scorer)
