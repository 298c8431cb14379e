"""Which held-out samples are compared under which labels.

The label contrast is a share of pairs of a sample and a wrong label. Pairs of one
sample say much the same, so that of many labels a few for each sample are enough.
"""

import numpy as np

from smilearn.metrics import label_contrast

ROWS = 1_500  # samples compared, where there are as many
_LABELS = 16  # wrong labels of each


class Comparison:
    """Samples of some folds, their own label and some wrong ones."""

    def __init__(self, codes, folds, n_classes, n_rows=ROWS, weight=None):
        self._weight = weight
        self.rows, self.labels, start = {}, {}, 0
        n_wrong = min(n_classes - 1, _LABELS)
        for fold, members in enumerate(folds):
            wanted = n_rows - start
            if wanted <= 0:
                break
            places = np.linspace(0, len(members) - 1, min(wanted, len(members)))
            rows = members[np.round(places).astype(int)]
            first = n_wrong * np.arange(start, start + len(rows))[:, None]
            shift = (first + np.arange(n_wrong)) % (n_classes - 1) + 1
            own = codes[rows][:, None]
            self.rows[fold] = rows
            self.labels[fold] = np.hstack([own, (own + shift) % n_classes])
            start += len(rows)

    def of(self, folds):
        """Samples (n,) and labels (n, n_labels) of some folds, one after the other."""
        return tuple(
            np.concatenate([values[fold] for fold in folds])
            for values in (self.rows, self.labels)
        )

    def parted(self, table, folds):
        """Cut a table of the samples of some folds into those of each, a dict."""
        ends = np.cumsum([len(self.rows[fold]) for fold in folds])
        return dict(zip(folds, np.split(table, ends[:-1]), strict=True))

    def contrast(self, tables):
        """Label contrast."""
        table = np.concatenate([tables[fold] for fold in self.rows])
        weight = self._weight
        if weight is not None:
            weight = weight[np.concatenate(list(self.rows.values()))]
        return label_contrast(table, np.zeros(len(table), np.int64), weight)
