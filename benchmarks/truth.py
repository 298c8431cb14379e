"""What fine-tuned models memorized: the files that ``memorization.py`` has made.

Each ``truth/<set>.npz`` holds, for 2,000 texts of the set, the number of the row in its
CSV file (`row`), the label as it was trained on (`label`), whether that was flipped on
purpose (`flipped`), and of 24 models (or 16), in pairs of complementary halves, who was
trained on which text (`member`), how high the log probability of the label was above
that of the next one (`gap`, in nats) and whether the model was right (`correct`).
Scores of all steps but the audits are there too (`step`, `score`, low = at risk, `cost`
in full trainings). A new idea is scored against them in a minute::

    from truth import Truth, measures_of

    truth = Truth.all()[0]
    memorized = truth.memorized()
    print(measures_of(memorized, risk_of(truth.texts, truth.label)))
"""

import csv
import gzip
from functools import cached_property

import numpy as np
from pages import DATA, HERE

from smilearn.audit._shadow_answers import ShadowAnswers

FOLDER = HERE / "truth"
TPR = 0.75
COLUMN = {"clinc150_small": "domain"}  # of the label, where it is another one


def measures_of(memorized, risk, weights=None):
    """AUC and FPR at TPR 0.75, (2,); of each row of sample weights, (n_rows, 2)."""
    if weights is None:
        return measures_of(memorized, risk, np.ones((1, len(risk))))[0]
    order = np.argsort(-risk, kind="stable")
    weights, truth = weights[:, order], memorized[order]
    true, false = np.cumsum(weights * truth, 1), np.cumsum(weights * ~truth, 1)
    area = (weights * truth * (1 - false / false[:, -1:])).sum(1) / true[:, -1]
    found = np.argmax(true >= TPR * true[:, -1:], axis=1)
    alarms = false[np.arange(len(weights)), found] / false[:, -1]
    return np.stack([area, alarms], axis=1)


def rows_of(dataset):
    """Number of the row, text and label of all that may be drawn, each text once."""
    label, rows = COLUMN.get(dataset, "label"), {}
    path = DATA / f"{dataset}.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if row["split"] in ("train", "all") and row.get("domain") != "oos":
                rows[row["text"]] = number, row["text"], row[label]
    return list(rows.values())


class Truth:
    """What the models of a set did, and the scores of all steps; see above."""

    @classmethod
    def all(cls):
        """Truths of all sets."""
        return [cls(path) for path in sorted(FOLDER.glob("*.npz"))]

    def __init__(self, path):
        self.name = path.stem
        with np.load(path) as file:
            for name in file:
                setattr(self, name, file[name])
        self.gap = self.gap.astype(np.float64)

    def lira(self, models=..., prior=None):
        """Ratios by some of the models."""
        return ShadowAnswers(self.member[models], self.gap[models], prior=prior).lira()

    def gaps(self, models=...):
        """Mean gap of some of the models IN, less that of those OUT."""
        gap, member = self.gap[models], self.member[models]
        inside, outside = (
            np.where(where, gap, 0).sum(0) / np.maximum(where.sum(0), 1)
            for where in (member, ~member)
        )
        return inside - outside

    def memorized(self, models=..., share=0.1):
        """Whether a text is in the top share by LiRA."""
        lira = self.lira(models)
        return lira >= np.quantile(lira, 1 - share)

    @cached_property
    def texts(self):
        """Texts of the rows, where the set is at hand."""
        found = {number: text for number, text, _ in rows_of(self.name)}
        return [found[number] for number in self.row.tolist()]
