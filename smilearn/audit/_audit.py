"""Which samples a classifier memorized, by shadow models."""

import os
from copy import deepcopy
from dataclasses import replace
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted

from smilearn.audit._membership import MEASURES
from smilearn.audit._shadow_answers import ShadowAnswers
from smilearn.audit._shadow_models import ShadowRun
from smilearn.exceptions import InvalidInputError
from smilearn.filtering._pipelines import layers, scored
from smilearn.tables._columns import as_series
from smilearn.tables._table import Table
from smilearn.utils._documentation import Documented
from smilearn.utils._files import RunFolder
from smilearn.utils._indexing import check_aligned
from smilearn.utils._labels import one_label_each
from smilearn.utils._random import generator_from, seed_where_none
from smilearn.utils._sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    routing_enabled,
)
from smilearn.utils._validation import check_texts, refuse_masked

_COLUMNS = (
    "lira",
    "lira_std",
    "counterfactual",
    "counterfactual_std",
    "memorized",
    "audited",
)


class AuditTable(Table):
    """One row a sample."""

    _rows_are, _note = "samples", "; lira in nats, high = memorized"


class AttackTable(Table):
    """One row a measure of an attack."""

    _rows_are, _note = "measures", "; low and high end an interval of 95 %"


class ShadowAudit(Documented, MetaEstimatorMixin, BaseEstimator):
    """Measure which samples a classifier memorizes, by training it many times.

    Shadow models are trained on random parts of the data. A sample is memorized as far
    as models that were trained on it can be told from models that were not: the truth
    that risk scores are to foretell, at the price of `n_shadow` trainings.

    Parameters
    ----------
    estimator : classifier
        What is trained, with `predict_proba`. May be a pipeline.

    n_shadow : int, default=64
        Models to train, from 2 on. A few give an estimate with wide intervals; with a
        `prior`, 4 rank samples about as well as 12 do without.

    share : float in (0, 1), default=0.5
        Share of the models that each sample is IN; ``n_shadow * share`` must be whole.
        With 0.5 models come in pairs: each sample is IN exactly one of each pair.

    target : "all" or int, default="all"
        The models whose memory is told of: the mean over all in which a sample was IN,
        or one of them, 0 to ``n_shadow - 1``.

    statistic : {"logit_gap", "loss"} or callable, default="logit_gap"
        What is compared between models, high where a model knows the sample:
        log probability of the own label minus the highest of another one ("logit_gap"),
        the log probability of the own label, minus its loss ("loss"), or
        ``statistic(model, X, y)``, which gives a finite number a sample.

    prior : scorer or array-like of shape (n_samples,), default=None
        Risk scores of the same samples, low = at risk, which few models are shrunk
        towards (see Notes): a scorer with `scores_`, or a pipeline that ends in one,
        fitted to the samples unless it is; or the scores. One that foretells nothing
        does no harm, and with many models none matters.

    n_jobs : int, default=None
        Models trained side by side, as in joblib, whose backend is that of
        ``joblib.parallel_config``.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the parts, and of the models: each `random_state` in the estimator is
        replaced by one of its own for each model.

    checkpoint_folder : str or path-like, default=None
        Where answers of finished models are kept, as arrays and never as pickles. An
        audit that was killed goes on from there when it is run again, and gives the
        same result. With a `share` of 0.5, `n_shadow` can be raised later: only the
        models that are missing are trained. A run of other samples or settings is
        refused. Of a function its own name and source are compared, not what it calls,
        and of a class its name alone: take another folder when you change those.
        Lambdas and nested functions have no name that another process knows, and are
        refused too.

    verbose : int or bool, default=0
        Whether to show a progress bar over the models, with the time left.

    Attributes
    ----------
    lira_ : ndarray of shape (n_samples,)
        Log likelihood ratio of membership in nats, high = memorized: mean over the
        targets that the sample was IN, or, with a prior, what is to be expected of it;
        with a single target its ratio there.

    lira_std_ : ndarray of shape (n_samples,)
        Its standard error by jackknife over models, infinite where there are too few;
        with a prior and all targets, from the variance of what is shrunk.

    memorized_ : ndarray of bool of shape (n_samples,)
        The 10 % of the samples with the highest `lira_`.

    audited_ : ndarray of bool of shape (n_samples,)
        Whether a target was trained on the sample; False for some with a single one.

    counterfactual_, counterfactual_std_ : ndarray of shape (n_samples,)
        Share of the models IN that classify the sample as labelled, minus that of the
        models OUT, in [-1, 1], as in [2]_, and its standard error.

    counterfactual_gap_, counterfactual_gap_std_ : ndarray of shape (n_samples,)
        The same difference of the mean statistic, in its unit (nats).

    log_lira_ : ndarray of shape (n_shadow, n_samples)
        Ratio of each sample under each target, the target itself left out.

    statistic_ : ndarray of shape (n_shadow, n_samples)
        The statistic of each sample under each model.

    log_proba_ : ndarray of shape (n_shadow, n_samples)
        Log probability of the own label under each model, in nats. One of exactly 0 is
        replaced as `n_infinite_` says.

    correct_ : ndarray of bool of shape (n_shadow, n_samples)
        Whether each model classifies each sample as labelled.

    shadow_in_ : ndarray of bool of shape (n_shadow, n_samples)
        Whether each sample was IN each model.

    n_infinite_ : ndarray of int of shape (n_shadow,)
        Samples for which a model gave a probability of exactly 0 to the own label or to
        all others. It is taken as half of the lowest one above 0 that any model gave,
        or of 1 / number of training samples, if that is lower.

    prior_scores_ : ndarray of shape (n_samples,) or None
        Scores that few models are shrunk towards.

    classes_, labels_ : ndarray of shape (n_classes,), ndarray of shape (n_samples,)
        Class labels, sorted, and the label of each sample.

    Notes
    -----
    Log probabilities come from `decision_function` where its softmax is
    `predict_proba`, as probabilities near 1 are rounded. Each part holds the classes
    in proportion.

    LiRA [1]_ compares normal densities. Here their parameters have a conjugate prior,
    whose variance is the typical one and weighs as much as 4 models, so that a few
    models give small ratios rather than wild ones. :meth:`rmia` is the attack of [3]_.

    With a prior, the means of the statistic IN and OUT are shrunk towards their
    regressions on the log ranks of the score (empirical Bayes); the fit of a sample
    never sees the sample. `lira_` is then the ratio that is to be expected of a target,
    negative where the mean IN is below the one OUT; it ranks as `counterfactual_gap_`
    does. RMIA does not use the prior. The page on audits says what a prior is worth.

    References
    ----------
    .. [1] N. Carlini et al., "Membership inference attacks from first principles",
       IEEE S&P, 2022.

    .. [2] V. Feldman, C. Zhang, "What neural networks memorize and why", NeurIPS, 2020.

    .. [3] S. Zarifzadeh, P. Liu, R. Shokri, "Low-cost high-power membership inference
       attacks", ICML, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from smilearn import ShadowAudit
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 40)
    >>> X = rng.normal(size=(80, 2)) + 4.0 * y[:, None]
    >>> y[0] = 1  # a wrong label
    >>> nearest = KNeighborsClassifier(3, weights="distance")
    >>> audit = ShadowAudit(nearest, n_shadow=16, random_state=0).fit(X, y)
    >>> int(audit.lira_.argmax())
    0
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "n_shadow": [Interval(Integral, 2, None, closed="left")],
        "share": [Interval(Real, 0, 1, closed="neither")],
        "target": [StrOptions({"all"}), Interval(Integral, 0, None, closed="left")],
        "statistic": [StrOptions({"logit_gap", "loss"}), callable],
        "prior": [None, "array-like", HasMethods(["fit"])],
        "n_jobs": [Integral, None],
        "random_state": ["random_state", np.random.Generator],
        "checkpoint_folder": [str, os.PathLike, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator,
        *,
        n_shadow=64,
        share=0.5,
        target="all",
        statistic="logit_gap",
        prior=None,
        n_jobs=None,
        random_state=None,
        checkpoint_folder=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.n_shadow = n_shadow
        self.share = share
        self.target = target
        self.statistic = statistic
        self.prior = prior
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.checkpoint_folder = checkpoint_folder
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **params):
        """Train the shadow models and compare what they say of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            Whatever the estimator takes.

        y : array-like of shape (n_samples,)
            Class labels.

        **params : dict
            For ``fit`` of the estimator; what holds a value for each sample is cut.
            With metadata routing, what the estimator requests.

        Returns
        -------
        self : ShadowAudit
            The fitted audit.

        Raises
        ------
        InvalidInputError
            If ``n_shadow * share`` is not whole, a class is too small for all models to
            see it, `target` is no model, the folder holds another run, the estimator
            has a `checkpoint_folder` of its own, or `prior` gives no finite score for
            each of the samples.
        """
        refuse_masked(X, "X")
        labels = one_label_each(y, type(self).__name__)
        check_aligned(X, {"y": labels})
        target = None if isinstance(self.target, str) else int(self.target)
        if target is not None and target >= self.n_shadow:
            raise InvalidInputError(
                'target must be "all" or one of the models, 0 to '
                f"{self.n_shadow - 1}; got {self.target}."
            )
        run = self._run(X, labels, params, self._run_seed())
        members, prior = run.members(), _prior_scores(self.prior, X, labels, run.seed)
        answers = replace(run.answers(members), prior=prior)
        self._target, self._seed, self._facts = target, run.seed, run.facts
        self.classes_, self.labels_ = run.classes, labels
        self.shadow_in_, self.statistic_ = members, answers.statistic
        self.prior_scores_ = prior
        self.log_proba_, self.correct_ = answers.log_proba, answers.correct
        self._seconds = answers.seconds
        self.n_infinite_, self.log_lira_ = answers.n_infinite, answers.log_lira()
        self.lira_, self.lira_std_ = answers.lira(target), answers.lira_std(target)
        self.audited_ = members.any(0) if target is None else members[target]
        self.counterfactual_, self.counterfactual_std_ = answers.memorization()
        gap = answers.memorization_gap()
        self.counterfactual_gap_, self.counterfactual_gap_std_ = gap
        self.memorized_ = self.memorized()
        return self

    def memorized(self, share=None, *, threshold=None):
        """Say which samples are memorized, by their share or by a ratio.

        Parameters
        ----------
        share : float in (0, 1], default=None
            So many of the audited samples, those with the highest `lira_`. None is 0.1,
            where there is no threshold.

        threshold : float, default=None
            Log likelihood ratio from which on a sample is memorized, in nats; 4 is
            usual.

        Returns
        -------
        memorized : ndarray of bool of shape (n_samples,)
            True for memorized ones. With a share one at least.

        Raises
        ------
        InvalidInputError
            If both are given, or the share is not in (0, 1].
        """
        check_is_fitted(self)
        if threshold is not None:
            if share is not None:
                raise InvalidInputError(
                    "Give a share or a threshold, not both; got "
                    f"share={share}, threshold={threshold}."
                )
            return self.audited_ & (self.lira_ >= threshold)
        share = 0.1 if share is None else share
        if not 0 < share <= 1:
            raise InvalidInputError(
                f"share must be above 0 and at most 1; got {share}."
            )
        rank = self._ranks()
        return self.audited_ & (rank <= max(round(share * self.audited_.sum()), 1))

    def lira_of(self, models):
        """Compute the ratios from some of the models alone, without the prior.

        Parameters
        ----------
        models : array-like of int
            Which, 0 to ``n_shadow - 1``, each once.

        Returns
        -------
        lira : ndarray of shape (n_samples,)
            As `lira_` over all targets without `prior`; 0 for a sample that none of
            them was trained on, which they tell nothing of.

        Raises
        ------
        InvalidInputError
            If they are not models of this audit, each named once.
        """
        check_is_fitted(self)
        models = np.atleast_1d(models)
        are_models = np.isin(models, np.arange(len(self.shadow_in_))).all()
        if models.ndim > 1 or len(np.unique(models)) < len(models) or not are_models:
            raise InvalidInputError(
                f"models must be numbers from 0 to {len(self.shadow_in_) - 1}, each "
                f"once; got {models.tolist()}."
            )
        answers = replace(self._answers.of(models), prior=None)
        return np.nan_to_num(answers.lira())

    def rmia(self, gamma=1.0):
        """Compute the relative membership attack (RMIA), which needs few models.

        How often the label of a sample has gained more in probability under the target,
        against the mean of the other models, than those of samples that the target has
        not seen.

        Parameters
        ----------
        gamma : float, default=1.0
            How many times as much it must have gained.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            In [0, 1], high = memorized: a mean over targets, as `lira_` is.

        Raises
        ------
        InvalidInputError
            If gamma is not above 0.
        """
        check_is_fitted(self)
        return self._answers.rmia(gamma, self._target)

    def attack(self, score="lira", *, gamma=1.0, n_bootstrap=500):
        """Tell how well an attack tells the samples of a model from the others.

        Over all pairs of a model and a sample, each model the target once.

        Parameters
        ----------
        score : {"lira", "rmia"}, default="lira"
            The attack. For "lira" one model of the other side is left out with the
            target: else the number of models that are left gives membership away, and
            attacks on models that memorize nothing come out worse than chance. Of 2
            models none is left, and samples are compared with other samples: where none
            is memorized, that comes out below 0.5, the more so the fewer the samples
            (of 1,000 at 0.47, or 0.49 with a prior).

        gamma : float, default=1.0
            For "rmia".

        n_bootstrap : int, default=500
            How often models and samples are drawn with replacement, for the
            intervals.

        Returns
        -------
        table : table
            A row each for `auc` (0.5 is chance) and the true-positive rates at
            false-positive rates of 0.1 % and 1 %: `measure`, `value`, and `low` and
            `high`, an interval of 95 % or more by bootstrap over models and samples.

        Raises
        ------
        InvalidInputError
            If there is no such score, or a number is out of its range.
        """
        check_is_fitted(self)
        if score not in ("lira", "rmia") or n_bootstrap < 1:
            raise InvalidInputError(
                'score must be "lira" or "rmia", and n_bootstrap 1 or more; got '
                f"{score!r} and {n_bootstrap!r}."
            )
        rng = np.random.default_rng([self._seed, 2])
        value, low, high = self._answers.attack(score, gamma, n_bootstrap, rng)
        columns = {"measure": MEASURES, "value": value, "low": low, "high": high}
        return AttackTable(columns)

    def to_table(self, *, texts=None, ids=None):
        """Put what was found in a table, one row a sample.

        Parameters
        ----------
        texts : sequence of str, default=None
            Text of each sample.

        ids : sequence, default=None
            Names of the samples; None numbers them from 0.

        Returns
        -------
        table : table
            `id`, `label`, `text` (if given), `lira`, `lira_std`, `counterfactual`,
            `counterfactual_std`, `memorized`, `audited` and `rank`, 1 for the highest
            `lira`; those that are not audited are last. To
            be shown, cut, given to pandas, polars or Arrow, or written, as a RiskTable.

        Raises
        ------
        InvalidInputError
            If texts or ids are not one a sample.
        """
        check_is_fitted(self)
        n_samples = len(self.labels_)
        columns = {"id": np.arange(n_samples) if ids is None else as_series(ids, "ids")}
        columns["label"] = self.labels_
        if texts is not None:
            columns["text"] = check_texts(texts)
        for name, values in columns.items():
            if len(values) != n_samples:
                raise InvalidInputError(
                    f"{name}s must be one for each of the {n_samples} samples; got "
                    f"{len(values)}."
                )
        for name in _COLUMNS:
            columns[name] = getattr(self, f"{name}_")
        return AuditTable(columns | {"rank": self._ranks()})

    @property
    def _answers(self):
        state = self.shadow_in_, self.statistic_, self.log_proba_, self.correct_
        more = {"seconds": self._seconds, "prior": self.prior_scores_}
        return ShadowAnswers(*state, **more)

    def _run(self, X, labels, params, seed):
        """The training of shadow models that the parameters ask for."""
        settings = self.get_params(deep=False)
        for name in ("target", "random_state", "prior"):
            del settings[name]
        if routing_enabled():
            params = process_routing(self, "fit", **params).estimator.fit
        return ShadowRun(X, labels, params, seed, **settings)

    def _run_seed(self):
        """Seed of the run; of the run in the folder, where the user names none."""
        if self.checkpoint_folder and self.random_state is None:
            seed = RunFolder(self.checkpoint_folder).seed()
            if seed is not None:
                return seed
        return int(generator_from(self.random_state, "audit").integers(2**31))

    def _ranks(self):
        """Ranks by `lira_`, 1 for the highest; ties by lot, the not audited last."""
        lot = np.random.default_rng([self._seed, 4]).random(len(self.lira_))
        return np.argsort(np.lexsort((lot, -self.lira_, ~self.audited_))) + 1

    def get_metadata_routing(self):
        """Say what the estimator requests.

        Returns
        -------
        routing : MetadataRouter
            What is requested in `fit` is cut with the samples.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self)
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags = deepcopy(get_tags(self.estimator).input_tags)
        return tags


def _prior_scores(prior, X, labels, seed):
    """One finite score a sample, low = at risk, or None without a prior."""
    if prior is None:
        return None
    scores = prior
    if hasattr(prior, "fit"):
        scorer = layers(prior)[-1]
        if not hasattr(scorer, "scores_"):
            prior = clone(prior)
            seed_where_none(prior, seed)
            scorer = scored(prior.fit(X, labels), "prior")
        scores = scorer.scores_
        own = getattr(scorer, "labels_", labels)
        if not np.array_equal(_codes(own), _codes(labels)):
            raise InvalidInputError(
                "prior is fitted to other labels than these, in this order. Give one "
                "that is not fitted: clone(scorer)."
            )
    scores = np.asarray(scores)
    if scores.dtype.kind not in "fiub" or scores.shape != labels.shape:
        raise InvalidInputError(
            f"prior must give one score for each of the {len(labels)} samples; got "
            f"{scores.dtype} of shape {scores.shape}."
        )
    scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        raise InvalidInputError(
            f"Scores of prior must be finite; {np.sum(~np.isfinite(scores))} are not."
        )
    return scores


def _codes(labels):
    return np.unique(labels, return_inverse=True)[1]
