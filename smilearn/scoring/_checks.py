"""What a scorer is given, checked: embeddings, labels, weights, counts of slices."""

import re

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.utils._labels import check_labels, same_kind
from smilearn.utils._validation import (
    checked_tensor,
    is_tensor,
    numbers_expected,
    read_column,
    with_number_type,
)
from smilearn.utils._warnings import warn
from smilearn.utils._weights import checked_weights


def validated(scorer, X, *y, reset=False, least=None):
    """Check X, or X and y, by scikit-learn's rules; X floating."""
    X = read_column(X)
    numbers_expected(X)
    y = [check_labels(labels, type(scorer).__name__) for labels in y]
    least = least or (2 if reset else 1)
    if is_tensor(X):
        X = checked_tensor(scorer, X, reset=reset, least=least)
        check_consistent_length(X, *y)
        return (X, *y) if y else X
    if hasattr(X, "iloc") and hasattr(X, "sparse"):
        X = X.sparse.to_dense()
    X, dtype = with_number_type(X)
    options = {"dtype": dtype, "ensure_min_samples": least, "accept_sparse": "csr"}
    checked = validate_data(scorer, X, *y, reset=reset, **options)
    X = checked[0] if y else checked
    if issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return (X, checked[1]) if y else X


def checked_batch(scorer, X, y, sample_weight=None, *, reset=False):
    """Check one batch of samples; give its embeddings, labels and weights."""
    X, y = validated(scorer, X, y, reset=reset, least=1)
    check_classification_targets(y)
    return X, y, batch_weights(sample_weight, X)


def with_codes(scorer, X, y):
    """Check samples, and labels if there are any; give the places of these."""
    if y is None:
        return validated(scorer, X), None
    X, y = validated(scorer, X, y)
    return X, encoded(scorer.classes_, y)


def encoded(classes, y):
    """Places of labels among the classes; refuses those that are not there."""
    same_kind(y, classes)
    codes = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    unknown = np.unique(y[classes[codes] != y])
    if len(unknown):
        raise InvalidInputError(
            f"y holds labels that were not seen in fit: {unknown[:5].tolist()}. "
            f"Known labels: {classes[:10].tolist()}."
        )
    return codes


def of_known_labels(scorer, X, y, sample_weight=None):
    """Samples whose labels were seen, their codes and weights; warn of the others."""
    X, y = validated(scorer, X, y)
    weight = checked_weights(sample_weight, X)
    known = known_labels(scorer.classes_, y)
    if not known.all():
        X, y = X[known], y[known]
        weight = weight if weight is None else weight[known]
    if weight is not None and not weight.any():
        raise InvalidInputError(
            "No sample of a label that was seen in fit has weight above 0."
        )
    return X, encoded(scorer.classes_, y), weight


def known_labels(classes, y):
    """Which labels were seen, all if none was; warns of the others."""
    known = np.isin(y, classes)
    if known.any() and not known.all():
        warn(
            f"{(~known).sum()} of {len(y)} samples have labels that were not seen in "
            "fit; they are left out of the mean log probability.",
            LowSupportWarning,
        )
        return known
    return np.ones(len(y), bool)


def batch_weights(sample_weight, X):
    """Check weights, which may all be 0 as those of a batch."""
    if sample_weight is not None and not is_tensor(sample_weight):
        values = np.asarray(sample_weight)
        if values.dtype.kind in "fiub" and values.size and not values.any():
            checked_weights(values + 1, X)  # scikit-learn refuses zeros alone
            return np.zeros(X.shape[0])
    return checked_weights(sample_weight, X)


def one_kind(y, before):
    """Refuse labels of another kind than those before: words, or numbers."""
    # by their first element, as an array of objects may hold words
    firsts = [labels[:1].tolist()[0] for labels in (y, before) if len(labels)]
    kinds = {(isinstance(each, str | bytes), type(each) is bool) for each in firsts}
    if len(kinds) > 1:
        raise InvalidInputError(
            "Labels must be of one kind in all batches; got "
            f"{y[:1].tolist()[0]!r} after {before[:1].tolist()[0]!r}."
        )


def allowed_labels(scorer, y, classes=None):
    """Labels that may come in further batches, or None; refuses what may not."""
    before = sums_of(scorer)
    seen = None if before is None else before.labels
    announced = getattr(scorer, "stream_classes_", None)  # with the first batch
    if classes is not None:
        classes = np.unique(classes)
        expected = seen if announced is None else announced
        if expected is not None and not np.array_equal(classes, expected):
            raise InvalidInputError(
                f"classes={classes[:10].tolist()} are not those of before, "
                f"{expected[:10].tolist()}. Leave classes out after the first "
                "call, or give the same."
            )
        announced = classes
    if seen is not None:
        one_kind(y, seen)
    if announced is not None:
        one_kind(y, announced)
        unknown = np.setdiff1d(y, announced)
        if len(unknown):
            raise InvalidInputError(
                f"y holds labels that are not among classes: {unknown[:5].tolist()}; "
                f"got classes={announced[:10].tolist()} on the first call."
            )
    return announced


def slice_counts(counts, n_slices, name):
    """Check some counts of slices; None gives each from one to all."""
    if counts is None:
        return np.arange(1, n_slices + 1)
    values = np.asarray(counts)
    numbers = values.ndim == 1 and values.dtype.kind in "iu" and len(values)
    steps = np.diff(values.astype(np.int64), prepend=0) if numbers else [0]
    if np.min(steps) < 1 or values[-1] > n_slices:
        raise InvalidInputError(
            f"{name} must be numbers of slices in ascending order, from 1 to the "
            f"{n_slices} that are fitted; got {counts!r}."
        )
    return values.astype(np.int64)


def refuse_to_merge(scorer, other, recipe):
    """Refuse to merge a scorer whose slices or features are not the same."""
    its = other.recipe_
    here, there = len(recipe.directions), len(its.directions)
    if here != there:
        raise InvalidInputError(
            f"merge needs two scorers with the same slices; got {here} and {there} in "
            'the other. Give both a number as n_slices: "auto" depends on samples.'
        )
    alike = all(
        getattr(recipe, name) == getattr(its, name)
        for name in ("density", "pooled", "leave_one_out")
    )
    if not alike or not np.array_equal(recipe.directions, its.directions):
        raise InvalidInputError(
            "merge needs two scorers with the same slices, density and pool. Give both "
            "the same parameters and the same int as random_state."
        )
    names = [getattr(each, "feature_names_in_", None) for each in (scorer, other)]
    both_named = all(name is not None for name in names)
    if both_named and not np.array_equal(*names):
        here, there = (list(columns[:5]) for columns in names)
        raise InvalidInputError(
            "merge needs two scorers fitted to the same features in the same order; "
            f"got {here} here and {there} in the other."
        )


def keeps_up(scorer):
    """Whether a scorer can learn from a stream; raises what is in the way."""
    if scorer.contamination is not None:
        raise AttributeError(
            "partial_fit and merge keep no scores to set a threshold by, so "
            f"contamination must be None; got {scorer.contamination!r}."
        )
    return True


def forget(scorer):
    """Drop what an earlier fit has left, but for the features."""
    fitted = {name for name in vars(scorer) if re.fullmatch(r"[a-z]\w*_", name)}
    for name in fitted - {"feature_names_in_", "n_features_in_"}:
        delattr(scorer, name)
    scorer._model = None


def sums_of(scorer):
    """Sums of what a scorer was fitted to, or None; refuses dropped ones."""
    if hasattr(scorer, "recipe_") and not hasattr(scorer, "sums_"):
        raise InvalidInputError(
            "The sums_ of this scorer were deleted, so that no samples can be added to "
            "those fitted. Fit anew, or begin with a new SlicedMIScorer."
        )
    return getattr(scorer, "sums_", None)
