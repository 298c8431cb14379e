"""Which samples a classifier memorized, by shadow models."""

import os
from copy import deepcopy
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)

from smilearn.audit._audit_answers import AuditAnswers
from smilearn.audit._audit_training import AuditTraining
from smilearn.exceptions import InvalidInputError
from smilearn.utils._containers import check_aligned, class_labels
from smilearn.utils._documentation import Documented
from smilearn.utils._sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    routing_enabled,
)

__all__ = ["ShadowAudit"]


class ShadowAudit(
    AuditAnswers, AuditTraining, Documented, MetaEstimatorMixin, BaseEstimator
):
    """Measure which samples a classifier memorizes, by training it many times.

    Shadow models are trained on random parts of the data. A sample is memorized as far
    as models that were trained on it can be told from models that were not: the truth
    that risk scores are to foretell, at the price of `n_shadow` trainings.

    Parameters
    ----------
    estimator : classifier
        What is trained, with `predict_proba`. May be a pipeline.

    n_shadow : int, default=64
        Models to train. A few give an estimate with wide intervals.

    share : float in (0, 1), default=0.5
        Share of the models that each sample is IN; ``n_shadow * share`` must be whole.

    target : "all" or int, default="all"
        The models whose memory is told of: the mean over all in which a sample was IN,
        or one of them, 0 to ``n_shadow - 1``.

    statistic : {"logit_gap", "loss"} or callable, default="logit_gap"
        What is compared between models, high where a model knows the sample:
        log probability of the own label minus the highest of another one ("logit_gap"),
        the log probability of the own label, minus its loss ("loss"), or
        ``statistic(model, X, y)``, which gives a finite number a sample.

    n_jobs : int, default=None
        Models trained side by side, as in joblib, whose backend is that of
        ``joblib.parallel_config``.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the parts, and of the models: each `random_state` in the estimator is
        replaced by one of its own for each model.

    checkpoint_folder : str or path-like, default=None
        Where answers of finished models are kept. An audit that was killed goes on from
        there when it is run again, and gives the same result. Samples, estimator,
        statistic and the files of a local `model` must be those of the first time.

    verbose : int or bool, default=0
        Whether to show a progress bar over the models, with the time left.

    Attributes
    ----------
    lira_ : ndarray of shape (n_samples,)
        Log likelihood ratio of membership in nats, high = memorized: mean over the
        targets that the sample was IN; with a single target its ratio there.

    lira_std_ : ndarray of shape (n_samples,)
        Its standard error by jackknife over models; infinite where there are too few.

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
        all others. It is taken as half of the lowest one above 0 that any of the models
        gave, or half of 1 / number of training samples of a model, if that is lower:
        the same for all models. Nothing else is clipped.

    classes_, labels_ : ndarray of shape (n_classes,), ndarray of shape (n_samples,)
        Class labels, sorted, and the label of each sample.

    Notes
    -----
    Log probabilities come from `decision_function` where its softmax is
    `predict_proba`, as probabilities near 1 are rounded. Classes are in proportion in
    each part as far as can be, and all parts are of one size but for one sample.

    LiRA [1]_ compares normal densities whose parameters are estimates. Here these have
    a conjugate prior, whose variance is the typical one and weighs as much as 4
    models: what is compared are Student densities, and a few models give small ratios
    rather than wild ones. The relative attack of :meth:`rmia` is that of [3]_.

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
            see it, `target` is no model, the folder holds another run, or the estimator
            has a `checkpoint_folder` of its own.
        """
        params = self._requested(params)
        labels = class_labels(y)
        check_aligned(X, {"y": labels})
        classes, codes = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise InvalidInputError(
                f"y must hold 2 classes or more; got {len(classes)} class."
            )
        target, masks = self._target(), self._design(codes, classes)
        facts = self._facts(X, labels, params)
        answers = self._answers(X, labels, classes, masks, params, facts)
        self.classes_, self.labels_, self.shadow_in_ = classes, labels, masks
        self._fitted_to = facts
        return self._compare(answers, target)

    def _requested(self, params):
        if not routing_enabled():
            return params
        return process_routing(self, "fit", **params).estimator.fit

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
