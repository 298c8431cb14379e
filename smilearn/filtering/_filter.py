"""Take samples at risk out of a training set."""

from dataclasses import fields
from numbers import Integral, Real
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import InputTags, Tags, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_consistent_length, validate_data

from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.filtering._pipelines import layers, score_samples, scored
from smilearn.scoring._base import table_columns
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.tables._columns import as_series
from smilearn.tables._improbable import LEAST_PROBABILITY, improbable
from smilearn.tables._matching import rows_of
from smilearn.tables._risk_table import RiskTable
from smilearn.utils._documentation import Documented
from smilearn.utils._indexing import check_aligned, index_of, take_samples
from smilearn.utils._labels import one_label_each
from smilearn.utils._sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    routing_enabled,
)
from smilearn.utils._warnings import warn

_RULES = ("share", "threshold", "n_remove", "alpha")


def ranked_removal(name, value, scores, groups):
    """Remove some of each group: which samples, and the risk above which they go."""
    sizes = np.bincount(groups)
    n_remove = np.full(len(sizes), value)
    if name == "share":
        n_remove = (n_remove * sizes + 1e-9).astype(int)
    if (n_remove > sizes).any():
        raise InvalidInputError(
            f"n_remove={value} is more than the {sizes.min()} samples of "
            f"{'a class' if len(sizes) > 1 else 'the data'}."
        )
    remove = riskiest(scores, groups, n_remove)
    safest_removed = np.full(len(sizes), np.inf)
    riskiest_kept = np.full(len(sizes), -np.inf)
    np.minimum.at(safest_removed, groups[remove], -scores[remove])
    np.maximum.at(riskiest_kept, groups[~remove], -scores[~remove])
    nothing, everything = np.isinf(safest_removed), np.isinf(riskiest_kept)
    with np.errstate(invalid="ignore"):  # of infinities, which are not taken
        between = safest_removed / 2 + riskiest_kept / 2
    return remove, np.select([nothing, everything], [np.inf, -np.inf], between)


def riskiest(scores, groups, n_marked):
    """Mark so many of the lowest scores of each group; of equal ones the first."""
    order = np.lexsort((scores, groups))
    starts = np.searchsorted(groups[order], np.arange(len(n_marked)))
    place = np.empty(len(groups), np.int64)
    place[order] = np.arange(len(groups)) - starts[groups[order]]
    return place < n_marked[groups]


def spared(scores, codes, remove, min_per_class):
    """Take back removals that leave a class too small; and how many of each class."""
    size = np.bincount(codes)
    kept = np.bincount(codes[~remove], minlength=len(size))
    missing = np.maximum(np.minimum(min_per_class, size) - kept, 0)
    removed = np.flatnonzero(remove)
    safest = riskiest(-scores[removed], codes[removed], missing)
    remove = remove.copy()
    remove[removed[safest]] = False
    return remove, missing


class SamplerInputTags(InputTags):
    """Tags of the input of a sampler of imbalanced-learn."""

    dataframe = True


class SamplerTags(Tags):
    """Tags of a sampler of imbalanced-learn that sets `sample_indices_`."""

    sampler_tags = SimpleNamespace(sample_indices=True)


class RiskFilter(Documented, OneToOneFeatureMixin, BaseEstimator):
    """Remove the training samples most at risk of being memorized.

    A sampler of imbalanced-learn, which acts when a pipeline of ``imblearn.pipeline``
    is fitted. For pipelines of scikit-learn, and where weights go with the samples, see
    `FilteredEstimator`. At most one of `share`, `threshold`, `n_remove` and `alpha`
    says how many go. With none of them, those go whose label has a probability below
    5 % where another label is likelier; without probabilities, or where `contamination`
    of the scorer is set, those below its `offset_`.

    Parameters
    ----------
    scorer : estimator or RiskTable, default=None
        Has `scores_` after ``fit(X, y)``, low = at risk, or is a pipeline that ends in
        one: then `X` may be texts. A frozen one scores the samples as new ones. A table
        of the same samples stands for its scores. None is ``SlicedMIScorer()``.

    share : float in [0, 1), default=None
        Share of samples to remove, rounded down.

    threshold : float, default=None
        Remove samples whose risk (minus the score, in nats) is above it.

    n_remove : int, default=None
        Number of samples to remove.

    alpha : float in (0, 0.5], default=None
        Remove samples that score below all but this share of samples whose labels were
        shuffled: the share that goes where labels have nothing to do with `X`. Needs
        four fits more, and a scorer with ``contamination="permutation"``.

    by_class : bool, default=False
        Whether `share` and `n_remove` hold for each class instead of over all.

    min_per_class : int, default=1
        Samples that each class keeps in any case, or all it has if it has fewer: its
        safest ones. Others are not removed in their place.

    match : {"position", "index"}, default="position"
        How samples find their row in a risk table. "position": they are the rows, in
        their order. "index": by the index of a pandas `X`, which holds the ids of the
        table; so one table serves all folds of a cross-validation.

    Attributes
    ----------
    sample_indices_ : ndarray of shape (n_kept,)
        Indices of the samples that were kept, in order.

    support_ : ndarray of shape (n_samples,)
        Whether each sample was kept.

    scores_ : ndarray of shape (n_samples,)
        Score of each sample, low = at risk.

    risk_table_ : RiskTable
        The same, one row a sample, with the pandas index of `X` for ids if it has one.
        Texts are not kept.

    threshold_ : ndarray of shape (n_classes,)
        Risk above which samples of each class go, before `min_per_class` (that of the
        probability of 5 %, where nothing is asked for); where a share
        or a number was asked for, half-way between the last that goes and the first
        that stays. Infinite where none goes.

    classes_ : ndarray of shape (n_classes,)
        Class labels.

    sampling_strategy_ : dict
        Samples kept of each class.

    false_flag_rate_ : float or None
        Of `alpha`: share that goes after a shuffle of its own.

    scorer_ : estimator or RiskTable
        The fitted scorer, or the table.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where there are any.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn import RiskFilter, SlicedMIScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> X = rng.normal(size=(100, 8)) + 2.0 * y[:, None]
    >>> y[0] = 1  # a wrong label
    >>> names = [f"sample {i}" for i in range(100)]
    >>> cleaner = RiskFilter(SlicedMIScorer(64, random_state=0), n_remove=1)
    >>> X_kept, y_kept, kept = cleaner.fit_resample(X, y, names=names)
    >>> X_kept.shape, kept[0]
    ((99, 8), 'sample 1')
    """

    _sampling_type = "bypass"  # what ensembles of imbalanced-learn ask a sampler
    _parameter_constraints: ClassVar[dict] = {
        "scorer": [HasMethods("fit"), RiskTable, None],
        "share": [Interval(Real, 0, 1, closed="left"), None],
        "threshold": [Interval(Real, None, None, closed="both"), None],
        "n_remove": [Interval(Integral, 0, None, closed="left"), None],
        "alpha": [Interval(Real, 0, 0.5, closed="right"), None],
        "by_class": ["boolean"],
        "min_per_class": [Interval(Integral, 0, None, closed="left")],
        "match": [StrOptions({"position", "index"})],
    }

    def __init__(
        self,
        scorer=None,
        *,
        share=None,
        threshold=None,
        n_remove=None,
        alpha=None,
        by_class=False,
        min_per_class=1,
        match="position",
    ):
        self.scorer = scorer
        self.share = share
        self.threshold = threshold
        self.n_remove = n_remove
        self.alpha = alpha
        self.by_class = by_class
        self.min_per_class = min_per_class
        self.match = match

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **params):
        """Score the samples and choose those to keep.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            What the scorer takes. With a table only its length is looked at, and its
            index for ``match="index"``; it may be None.

        y : array-like of shape (n_samples,)
            Class labels; or one column of 0 and 1 a class, with a single 1 in each row.

        **params : dict
            What the scorer requests by metadata routing; without, there is none.

        Returns
        -------
        self : RiskFilter
            The fitted filter.

        Raises
        ------
        InvalidInputError
            If more than one rule is set, none is with a table, or a rule asks for more
            than there is.

        Warns
        -----
        LowSupportWarning
            If `min_per_class` keeps samples that the rule would have removed.
        """
        rule = self._rule()
        labels = one_label_each(y, type(self).__name__)
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)  # of samples that had some
        if X is not None:
            validate_data(self, X, reset=True, skip_check_array=True)
        offset, self.false_flag_rate_ = None, None
        if isinstance(self.scorer, RiskTable):
            self.scorer_ = self.scorer
            self.risk_table_ = self._rows_of_table(X, labels)
        else:
            self.scorer_ = self._fitted_scorer(X, labels, params)
            self.risk_table_ = _table_of(self.scorer_, X, labels)
            last = layers(self.scorer_)[-1]
            asked = getattr(last, "contamination", None) is not None
            if asked or "probability" not in self.risk_table_.columns:
                offset = float(getattr(last, "offset_", 0.0))
            self.false_flag_rate_ = getattr(last, "false_flag_rate_", None)
        self.scores_ = 0.0 - self.risk_table_["risk"]
        check_consistent_length(self.scores_, labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.support_ = ~self._spare(self._choose(*rule, codes, offset), codes)
        self.sample_indices_ = np.flatnonzero(self.support_)
        kept = np.bincount(codes[self.support_], minlength=len(self.classes_))
        counts = zip(self.classes_.tolist(), kept.tolist(), strict=True)
        self.sampling_strategy_ = dict(counts)
        return self

    def fit_resample(self, X, y, **aligned):
        """Score the samples, and give those that are kept.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            What the scorer takes: list, array, tensor, sparse matrix, frame, texts.
            With a table, anything with a row a sample, such as a `datasets.Dataset`.

        y : array-like of shape (n_samples,)
            Class labels.

        **aligned : dict
            What else holds a value for each sample: weights, groups, ids.

        Returns
        -------
        X_kept : same type as X
            The samples that were kept, in order, with their index if they have one.

        y_kept : same type as y
            Their labels.

        *kept : same types as given
            What goes with them, in the order in which it was given.

        Raises
        ------
        InvalidInputError
            As :meth:`fit`, and if something does not hold one value for each sample.
        """
        check_aligned(X, {"y": y, **aligned})
        asked = ()
        if routing_enabled():
            asked = self.get_metadata_routing().consumes("fit", aligned.keys())
        self.fit(X, y, **{name: aligned[name] for name in asked})
        return tuple(
            each if each is None else take_samples(each, self.sample_indices_)
            for each in (X, y, *aligned.values())
        )

    def get_metadata_routing(self):
        """Say that the scorer may request what goes with the samples.

        Returns
        -------
        routing : MetadataRouter
            Requests of the scorer for `fit`. Pipelines of imbalanced-learn are not
            told, as they cannot cut what goes with the samples.
        """
        router = MetadataRouter(owner=self)
        if not isinstance(self.scorer, RiskTable):
            mapping = MethodMapping().add(caller="fit", callee="fit")
            router.add(scorer=self._scorer(), method_mapping=mapping)
        return router

    def _rule(self):
        """Name and value of the one rule that is set; None, None where none is."""
        rules = {name: getattr(self, name) for name in _RULES}
        rules = {name: value for name, value in rules.items() if value is not None}
        if len(rules) > 1:
            raise InvalidInputError(
                f"Set one of share, threshold, n_remove and alpha; got {rules}."
            )
        table = self.scorer if isinstance(self.scorer, RiskTable) else None
        if not rules and table is not None and "probability" not in table.columns:
            raise InvalidInputError(
                "A risk table without probabilities has no threshold of its own; set "
                "share, threshold or n_remove."
            )
        name, value = next(iter(rules.items()), (None, None))
        if self.by_class and name not in ("share", "n_remove"):
            raise InvalidInputError(
                "by_class=True needs share or n_remove; a threshold in nats is the "
                "same for all classes."
            )
        return name, value

    def _scorer(self):
        if self.scorer is not None:
            return self.scorer
        scorer = SlicedMIScorer()
        return (
            scorer.set_fit_request(sample_weight=False) if routing_enabled() else scorer
        )

    def _fitted_scorer(self, X, labels, params):
        """Fit the scorer to the samples, with what it requests."""
        if params and not routing_enabled():
            raise InvalidInputError(
                "fit of a filter takes X and y, and more only with metadata routing; "
                f"got {', '.join(params)}. fit_resample cuts what goes with the "
                "samples."
            )
        requested = process_routing(self, "fit", **params).scorer.fit if params else {}
        scorer = clone(self._scorer())
        if self.alpha is not None:
            _calibrate(scorer, self.alpha)
        return scorer.fit(X, labels, **requested)

    def _rows_of_table(self, X, labels):
        """Rows of the risk table for the samples, in their order."""
        table = self.scorer
        if self.alpha is not None:
            raise InvalidInputError(
                "alpha shuffles labels and scores again; give the scorer instead of "
                "its risk table."
            )
        if X is not None:
            check_aligned(X, {"y": labels})
        if self.match == "index":
            if index_of(X) is None:
                raise InvalidInputError(
                    'match="index" needs X to be a pandas frame or series whose index '
                    "holds the ids of the risk table."
                )
            wanted = as_series(index_of(X), "index", may_miss=True)
            ids = table.frame["id"]
            table = table.take(rows_of(wanted, ids, "X", "the risk table"))
        elif not table.is_whole:
            raise InvalidInputError(
                "The risk table is a view made by take or riskiest; give the whole "
                "table, its rows in the order of the data."
            )
        own = table["label"]
        if own.dtype.kind != np.asarray(labels).dtype.kind:  # as from a CSV file
            own, labels = _as_text(own), _as_text(labels)
        if len(own) != len(labels) or (own != labels).any():
            raise InvalidInputError(
                "The labels of the risk table are not y, in this order. For a part of "
                'the samples give match="index" and a pandas X whose index holds '
                "their ids; else score this very data first."
            )
        return table

    def _choose(self, name, value, codes, offset):
        """Samples to remove before any is spared; sets `threshold_`."""
        if name in ("share", "n_remove"):
            groups = codes if self.by_class else np.zeros_like(codes)
            remove, risks = ranked_removal(name, value, self.scores_, groups)
        else:
            least = np.log(LEAST_PROBABILITY) if offset is None else offset
            risks = float(value if name == "threshold" else -least)
            remove = -self.scores_ > risks
            if name is None and offset is None:
                remove = improbable(self.risk_table_.frame)
        self.threshold_ = np.broadcast_to(risks, len(self.classes_)).copy()
        return remove

    def _spare(self, remove, codes):
        """Take back removals that would leave a class with too few samples."""
        least = min(self.min_per_class, len(codes))
        remove, missing = spared(self.scores_, codes, remove, least)
        short = self.classes_[missing > 0]
        if len(short):
            warn(
                f"min_per_class={self.min_per_class} kept samples at risk in the "
                f"class{'es' * (len(short) > 1)} {', '.join(map(str, short))}.",
                LowSupportWarning,
            )
        return remove

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        of_input = tags.input_tags
        if isinstance(self.scorer, RiskTable):  # which looks at no sample
            of_input.sparse = of_input.allow_nan = of_input.string = True
        else:
            of_input = get_tags(self._scorer()).input_tags
        names = [each.name for each in fields(InputTags)]
        return SamplerTags(
            estimator_type="sampler",
            target_tags=tags.target_tags,
            input_tags=SamplerInputTags(**{n: getattr(of_input, n) for n in names}),
        )


def _table_of(scorer, X, labels):
    """Scores of the samples by a scorer that was fitted to them, as a table."""
    known = {}
    if any(isinstance(each, FrozenEstimator) for each in layers(scorer)):
        scores = score_samples(scorer, X, labels)
    else:
        last = scored(scorer, "scorer")
        scores, known = last.scores_, table_columns(last)
    ids = None if index_of(X) is None else index_of(X).to_numpy()
    return RiskTable(np.asarray(scores, np.float64), labels, id=ids, **known)


def _calibrate(scorer, alpha):
    """Ask a scorer for a decision threshold from shuffled labels."""
    *around, scorer = layers(scorer)
    frozen = any(isinstance(each, FrozenEstimator) for each in around)
    known = {*getattr(scorer, "get_params", dict)()}
    if frozen or not {"contamination", "alpha"} <= known:
        raise InvalidInputError(
            f"alpha needs a scorer that finds its threshold by shuffled labels and is "
            f"fitted here, such as SlicedMIScorer; {type(scorer).__name__} does not."
        )
    scorer.set_params(contamination="permutation", alpha=alpha)


def _as_text(labels):
    """Labels as a risk table in a CSV file holds them."""
    texts = [str(label) for label in np.asarray(labels).tolist()]
    return np.array([{"True": "true", "False": "false"}.get(t, t) for t in texts])
