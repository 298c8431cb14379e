"""How many slices are enough, from one fit."""

from numbers import Real

import numpy as np
import polars as pl
from sklearn.utils.validation import check_is_fitted

from smilearn.exceptions import InvalidInputError
from smilearn.metrics import label_contrast
from smilearn.scoring._checks import of_known_labels, slice_counts
from smilearn.scoring._multilabel import refuse_labels
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.scoring._slices import columns_of
from smilearn.scoring._tally import SliceTally
from smilearn.utils._ranks import rank_correlation

_COLUMNS = ("n_slices", "contrast", "reliability", "agreement")


class SliceConvergence:
    """Label contrast, reliability and seed agreement against the number of slices.

    Made by :meth:`from_estimator`, from one fitted scorer and one pass over its slices:
    the first k slices of a run are the slices of a run of k.

    Parameters
    ----------
    n_slices : array-like of shape (n_counts,)
        Counts of slices, ascending.

    contrast : array-like of shape (n_counts,)
        Label contrast of the score by the first slices, in [0, 1]; 0.5 is chance.

    reliability : array-like of shape (n_counts,)
        Expected rank correlation of that score with the score by as many other slices,
        in [0, 1]; estimated from two halves of the slices, as `reliability_` is.

    agreement : array-like of shape (n_agreements,)
        Rank correlation of that score with the score by as many *other* slices of the
        same fit, in [-1, 1]: what another seed would have given. It takes a second set
        of slices, so it belongs to the first `n_agreements` counts only.

    Attributes
    ----------
    n_slices, contrast, reliability, agreement : ndarray
        The same, as arrays.

    frame : polars.DataFrame of shape (n_counts, 4)
        The same in columns; `agreement` is null where there is none.

    Raises
    ------
    InvalidInputError
        If the columns do not fit together in length.

    Notes
    -----
    The noise of two slices of one orthonormal block is negatively correlated, that of
    slices of two runs is not. The second set therefore begins with a block: the first
    one after the last block of the first set. It is then distributed as the slices of
    another seed. k slices in blocks of d need ``d * ceil(k / d) + k`` fitted ones: two
    runs of k, and the rest of a block. Within a single block there is no second set.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn import SliceConvergence, SlicedMIScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile([0, 1], 200)
    >>> X = rng.normal(size=(400, 8)) + y[:, None]
    >>> scorer = SlicedMIScorer(64, random_state=0).fit(X[:200], y[:200])
    >>> curve = SliceConvergence.from_estimator(scorer, X[200:], y[200:])
    >>> curve.n_slices.tolist()
    [2, 4, 8, 16, 32, 64]
    >>> bool(curve.smallest_within(0.01) < 64)
    True
    """

    def __init__(self, n_slices, contrast, reliability, agreement):
        self.n_slices = np.array(n_slices, dtype=np.int64)
        self.contrast = np.array(contrast, dtype=np.float64)
        self.reliability = np.array(reliability, dtype=np.float64)
        self.agreement = np.array(agreement, dtype=np.float64)
        lengths = [len(vars(self)[name]) for name in _COLUMNS]
        if not 0 < lengths[0] == lengths[1] == lengths[2] >= lengths[3]:
            raise InvalidInputError(
                "n_slices, contrast and reliability must be of one length, 1 or more, "
                f"and agreement not longer; got lengths {lengths}."
            )

    @classmethod
    def from_estimator(cls, estimator, X, y, *, counts=None):
        """Follow the scores of some samples through the slices of a fitted scorer.

        Memory does not grow with the number of slices: it holds one table of scores
        under each label, and a column of scores for each count that waits for its
        second set.

        Parameters
        ----------
        estimator : SlicedMIScorer
            A fitted scorer, pooled or not: the curve is that of its PSMI.

        X : array-like of shape (n_samples, n_features)
            Embeddings, best of samples that were not fitted. In a pipeline:
            transformed by the steps before the scorer.

        y : array-like of shape (n_samples,)
            Their labels, among `classes_`.

        counts : array-like of int, default=None
            Counts of slices, ascending, from 1 to `n_slices_`. None doubles them:
            halves and multiples of an orthonormal block by powers of two, and all.

        Returns
        -------
        curve : SliceConvergence
            The curve.

        Raises
        ------
        InvalidInputError
            If `estimator` is no scorer of one label, `counts` are not as stated, or no
            sample has a label that was seen in `fit`.

        Warns
        -----
        LowSupportWarning
            If some samples have labels that were not seen; they are left out.
        """
        if not isinstance(estimator, SlicedMIScorer):
            raise InvalidInputError(
                f"estimator must be a SlicedMIScorer; got {type(estimator).__name__}. "
                "Of a pipeline, hand over the last step, and X as the steps before it "
                "make it."
            )
        check_is_fitted(estimator)
        refuse_labels(estimator, "SliceConvergence")
        with estimator._at_work() as (model, settings):
            if counts is None:
                counts = _doubling(model.recipe)
            counts = slice_counts(counts, estimator.n_slices_, "counts").tolist()
            X, codes, _ = of_known_labels(estimator, X, y)
            return cls(
                *_followed(model, model.points(X, settings), codes, counts, settings)
            )

    def smallest_within(self, tolerance=0.005, *, reliability=0.95):
        """Tell how many slices are enough, and stay enough.

        A count that only happens to be near the end, before the curve leaves it again,
        is not enough.

        Parameters
        ----------
        tolerance : float, default=0.005
            How far the label contrast may be from that of the last count.

        reliability : float, default=0.95
            Reliability to be reached.

        Returns
        -------
        n_slices : int
            The first count from which on every count satisfies both.

        Raises
        ------
        InvalidInputError
            If the last count does not: more slices are needed. Or if `tolerance` is
            negative, or `reliability` not in [0, 1].
        """
        _check_number("tolerance", tolerance, np.inf)
        _check_number("reliability", reliability, 1)
        settled = np.abs(self.contrast - self.contrast[-1]) <= tolerance
        short = np.flatnonzero(~(settled & (self.reliability >= reliability)))
        first = short[-1] + 1 if len(short) else 0
        if first == len(self.n_slices):
            raise InvalidInputError(
                f"{self.n_slices[-1]} slices are not enough: their reliability is "
                f"{self.reliability[-1]:.3f}, and {reliability} is to be reached. Fit "
                "with more slices, or ask for a lower reliability."
            )
        return int(self.n_slices[first])

    @property
    def frame(self):
        """The same as a polars.DataFrame, one row a count; see Attributes."""
        columns = {name: vars(self)[name] for name in _COLUMNS}
        n_alone = len(self.n_slices) - len(self.agreement)
        columns["agreement"] = [*self.agreement, *[None] * n_alone]
        return pl.DataFrame(columns, schema_overrides={"agreement": pl.Float64})

    def __repr__(self):
        with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True):
            return str(self.frame)


def _check_number(name, value, most):
    if not (isinstance(value, Real) and 0 <= value <= most):
        least = "0 or more" if most == np.inf else f"from 0 to {most}"
        raise InvalidInputError(f"{name} must be a number, {least}; got {value!r}.")


def _doubling(recipe):
    """Counts that double, through the length of an orthonormal block, and all."""
    n_slices, length = len(recipe.directions), recipe.block_length
    halves = {length >> power for power in range(length.bit_length())}
    blocks = {length << power for power in range(n_slices.bit_length())}
    return sorted({n for n in halves | blocks if 1 < n < n_slices} | {n_slices})


def _followed(model, points, codes, counts, settings):
    """Columns of the curve, in one pass over the slices."""
    slices, length = model.slices, model.recipe.block_length
    begins = {count: -(-count // length) * length for count in counts}
    seconds = {  # the second set of slices of each count that has one
        count: (begin, begin + count)
        for count, begin in begins.items()
        if begin + count <= len(slices)
    }
    stops = sorted({*counts, *(stop for second in seconds.values() for stop in second)})
    tally = SliceTally(len(points), length)
    labels = np.stack(np.broadcast_arrays(codes, *range(len(model.classes))))
    columns = columns_of("pmi", labels, points)
    groups = tally.groups(np.arange(len(slices)))
    totals, before = np.zeros(labels.shape), 0
    contrast, reliability, agreement, sums = [], [], [], {}
    parts = slices.sums(points, [columns], settings, cuts=stops, groups=groups)
    for stop, ((total, squares),) in parts:
        totals += total.sum(1)
        tally.add(slice(None), total[0], squares[0])
        tally.count(before, stop)
        before = stop
        if stop not in stops:
            continue
        sums[stop] = totals[0].copy()
        if stop in counts:
            contrast.append(label_contrast(totals[1:].T / stop, codes))
            alone = slices.directions.shape[1] == 1
            reliability.append(1.0 if alone else tally.reliability)
        for count, (begin, end) in seconds.items():
            if end == stop:
                agreement.append(rank_correlation(sums[count], sums[end] - sums[begin]))
        waiting = [(n, begin) for n, (begin, end) in seconds.items() if end > stop]
        sums = {n: sums[n] for n in sums if any(n in pair for pair in waiting)}
        if stop == stops[-1]:
            break
    return counts, contrast, reliability, agreement
