"""What a fitted scorer says for each label, as one kind of evidence in another pool."""

import numpy as np

from smilearn.scoring import _checks


def evidence(scorer, X):
    """Evidence for each label of new samples, (n, K), less that of the log prior."""
    X = _checks.validated(scorer, X)
    with scorer._at_work() as (model, settings):
        return model.without_prior(model.probabilities(X, settings))


def left_out_evidence(scorer, X, y, weight=None):
    """The same of all samples it was fitted to, each of them left out."""
    X, codes = _checks.with_codes(scorer, X, y)
    weight = np.ones(len(codes)) if weight is None else weight
    weight = np.where(scorer.outliers_, 0, weight)
    with scorer._at_work() as (model, settings):
        table = model.left_out_evidence(X, codes, weight, settings)
    gap = table - table[np.arange(len(codes)), codes][:, None]
    table[scorer.outliers_ & (gap.max(1) <= 0)] = 0  # they would speak for themselves
    return table
