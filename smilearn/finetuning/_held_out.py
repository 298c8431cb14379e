"""Scores of labelled samples by classifiers that have not seen them."""

import os
from copy import deepcopy
from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.sparse import issparse
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.utils import ClassifierTags, check_consistent_length, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from smilearn.embedding._hidden_states import HiddenStateEmbedder
from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.filtering._pipelines import fit_parameter
from smilearn.finetuning._base import FineTuning, folder_and_seed
from smilearn.finetuning._held_out_runs import (
    Run,
    answers_of,
    deal,
    evidence_of_all,
    first_copies,
    fold_evidence,
)
from smilearn.scoring._base import RiskScorer
from smilearn.scoring._checks import encoded, forget, known_labels
from smilearn.scoring._evidence import evidence, left_out_evidence
from smilearn.scoring._pool import fit_pool
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.scoring._threshold import DEFAULT_OFFSET
from smilearn.utils._indexing import take_samples
from smilearn.utils._labels import check_classes, check_labels
from smilearn.utils._naming import check_no_folder, name_of, pretrained_files
from smilearn.utils._parallel import side_by_side
from smilearn.utils._random import seed_where_none, seeded_clone, subsample
from smilearn.utils._sklearn_compat import HasMethods, Interval, StrOptions, fit_context
from smilearn.utils._validation import as_numpy, read_column, refuse_masked
from smilearn.utils._warnings import warn
from smilearn.utils._weights import checked_weights, enough_weight

_FORMAT = 2  # of the files of a folder
_CELLS = 2**22  # samples times labels on which the pool is fitted


class HeldOutScorer(RiskScorer, BaseEstimator):
    """Score each sample by a classifier that has not seen it; low = at risk.

    The samples are dealt into stratified folds, equal ones into the same, and for each
    fold a classifier is fitted to all other samples. The log probabilities that it
    gives are pooled with what embeddings say, in the model before training and, of a
    :class:`FineTunedClassifier`, in the run that has not seen them, and with the log
    prior, by the weights that make the labels likeliest, as in :class:`SlicedMIScorer`.
    Two short fine-tunes, each on half of the texts, are a good use of it.

    Parameters
    ----------
    estimator : classifier
        Has `predict_proba`: a :class:`FineTunedClassifier` of few epochs on texts, a
        pipeline, or any other classifier of scikit-learn.

    n_folds : int, default=2
        Number of folds, and of runs.

    prior : "embeddings", scorer or None, default="embeddings"
        What the runs are pooled with. "embeddings": :class:`SlicedMIScorer` of three
        layers of the model that is fine-tuned, before any training; with another
        classifier, of `X`, which must be numbers. A SlicedMIScorer, or a pipeline that
        ends in one, is fitted to `X`; its other steps should not read labels. None: the
        runs alone.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the folds and of each run. It takes the place of any `random_state` of
        the classifier, and of one of the prior that is None.

    n_jobs : int, default=None
        Runs side by side, as in joblib. It changes no result.

    checkpoint_folder : str or path-like, default=None
        Where each run leaves what it says once it is finished, and a fine-tune its
        checkpoints until then. A fit that was killed goes on from there
        when it is run again, and gives the same scores.

    verbose : int or bool, default=0
        Whether to show a progress bar over the runs, with the time left.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        Log probability of each training sample's label, in nats, at most 0; low = at
        risk. A sample without others of its class has the log of its share.

    probability_, likely_labels_ : ndarray of shape (n_samples,)
        The same in [0, 1], and the most probable label.

    margin_ : ndarray of shape (n_samples,)
        Log probability of the label minus the largest other one, in nats, by the run
        alone that has not seen the sample (the held-out logit gap).

    held_out_ : ndarray of shape (n_samples, n_classes)
        Log probability of each label by that run. One of 0 is taken as half of the
        least one above 0 that any run gave, or of 1 / n_samples, if that is less.

    folds_ : ndarray of shape (n_samples,)
        Fold of each sample: the run that has not seen it.

    psmi_ : ndarray of shape (n_samples,)
        PSMI by the prior scorer, if there is one.

    labels_, classes_ : ndarray of shape (n_samples,), ndarray of shape (n_classes,)
        Labels of the training samples; those seen, sorted.

    offset_ : float
        Threshold of :meth:`predict`: the log of one half.

    pool_ : dict
        `weights` of the evidence: of the runs ("held_out"), of embeddings by a run that
        has not seen the samples ("held_out_embeddings"), of the prior scorer
        ("prior_scorer") and of the log prior ("prior").

    cost_ : float
        What was spent: passes over the whole data that all runs together made. Two
        runs of 2 epochs, each on half of the data, make 2. A run of a classifier
        without epochs counts as one.

    estimators_ : list
        Classifier of each fold; None where `checkpoint_folder` held what it said.

    prior_scorer_ : estimator
        The fitted prior, if there is one.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where there are any.

    Notes
    -----
    Evidence is a log probability minus the log share of the label: the log prior enters
    the pool once. Folds differ by one sample of a class at most, where no samples are
    equal. A run that has not seen a class gives it the least probability of all.
    Embeddings by a run are scored among those of the same fold, as each run has its own
    space; a class of which the fold has no other sample gets no evidence, 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from smilearn import HeldOutScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["ham", "spam"], 50)
    >>> X = rng.normal(size=(100, 8)) + 2.0 * (y == "spam")[:, None]
    >>> y[0] = "spam"  # a wrong label
    >>> scorer = HeldOutScorer(LogisticRegression(), random_state=0).fit(X, y)
    >>> int(scorer.scores_.argmin()), str(scorer.likely_labels_[0]), scorer.cost_
    (0, 'ham', 1.0)
    """

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "predict_proba"])],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "prior": [StrOptions({"embeddings"}), HasMethods("fit"), None],
        "random_state": ["random_state", np.random.Generator],
        "n_jobs": [Integral, None],
        "checkpoint_folder": [str, os.PathLike, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator,
        *,
        n_folds=2,
        prior="embeddings",
        random_state=None,
        n_jobs=None,
        checkpoint_folder=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.n_folds = n_folds
        self.prior = prior
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.checkpoint_folder = checkpoint_folder
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = deepcopy(get_tags(self.estimator).input_tags)
        if self.prior is not None:
            tags.input_tags.allow_nan = False
        tags.target_tags.required = True
        tags.classifier_tags = ClassifierTags()  # predict_proba
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Fit a classifier for each fold, and score the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            What the classifier takes.

        y : array-like of shape (n_samples,)
            Class labels, 2 classes or more.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, 0 or more, for the classifier, the prior and the
            pool.

        Returns
        -------
        self : HeldOutScorer
            The fitted scorer.

        Raises
        ------
        ValueError
            If samples and labels do not fit together, a run would see one class only,
            a class has no weight, the classifier takes no weights, "embeddings" has
            none, or `checkpoint_folder` holds another run.

        Warns
        -----
        LowSupportWarning
            If a class has one sample, which no other one speaks for.
        """
        forget(self)
        X, y = self._checked(X, y, reset=True)
        weight = None
        if sample_weight is not None:
            weight = checked_weights(sample_weight, np.empty((len(y), 1)))
            enough_weight(weight, y)
            fit_parameter(self.estimator)  # refuses those that take none
        check_no_folder(self.estimator, "checkpoint_folder to the scorer")
        self.classes_, codes = np.unique(y, return_inverse=True)
        fitted = np.ones(len(y), bool) if weight is None else weight > 0
        count = np.bincount(codes, weight)
        log_prior = np.log(np.maximum(count / count.sum(), 1e-300))
        folder, seed = folder_and_seed(self, "held-out")
        copies, rng = first_copies(X), np.random.default_rng([seed, 0])
        self.folds_ = deal(2 * codes + fitted, copies, self.n_folds, rng)
        alone = self._check_folds(codes, copies, fitted)
        if folder:
            folder.claim(self._facts(X, y, weight, seed))
        tables = {"prior_scorer": self._fit_prior(X, y, weight, seed)}
        states = self._run(X, y, weight, seed, folder)
        tables |= self._fit_states(states, y, weight, seed)
        self._fit_pool(tables, codes, weight, log_prior, alone)
        self.labels_, self.offset_ = y, DEFAULT_OFFSET[True]
        return self

    def score_samples(self, X, y=None):
        """Score new samples; low = at risk.

        The runs answer by their mean probability. Training samples are *not* held out
        here: their own scores are in `scores_`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            Samples.

        y : array-like of shape (n_samples,), default=None
            Labels, among `classes_`. None takes the label that fits each sample best.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            Log probability of the label, in nats.

        Raises
        ------
        ValueError
            If `y` holds a label that was not seen in :meth:`fit`, or a run is not at
            hand since `checkpoint_folder` held what it said.
        """
        check_is_fitted(self)
        if y is None:
            return self._log_probability(X).max(1)
        X, y = self._checked(X, y)
        codes = encoded(self.classes_, y)
        return self._log_probability(X)[np.arange(len(codes)), codes]

    def score(self, X, y, sample_weight=None):
        """Mean log probability of the labels, in nats; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or sequence of str
            Samples that were not fitted.

        y : array-like of shape (n_samples,)
            Their labels, among `classes_`.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample; None weighs all alike.

        Returns
        -------
        score : float
            At most 0.

        Raises
        ------
        ValueError
            If no sample has a label that was seen in :meth:`fit`.

        Warns
        -----
        LowSupportWarning
            If some samples have labels that were not seen; they are left out.
        """
        check_is_fitted(self)
        X, y = self._checked(X, y)
        known = np.flatnonzero(known_labels(self.classes_, y))
        weight = checked_weights(sample_weight, np.empty((len(y), 1)))
        weight = np.ones(len(known)) if weight is None else weight[known]
        if not weight.any():
            raise InvalidInputError(
                "No sample of a label that was seen in fit has weight above 0."
            )
        own = self.score_samples(take_samples(X, known), y[known])
        return float(np.average(own, weights=weight))

    @property
    def pool_(self):
        """Weights of the evidence, see Attributes."""
        return {"weights": self._pool.weights | {"prior": self._pool.prior_weight}}

    def _checked(self, X, y, *, reset=False):
        """Samples in their container, and labels as an array."""
        y = check_labels(y, type(self).__name__)
        if reset:
            check_classes(y)
        X = _samples(X)
        check_consistent_length(X, y)
        if reset:
            validate_data(self, X, reset=True, skip_check_array=True)
        return X, y

    def _check_folds(self, codes, copies, fitted):
        """Samples that no other one speaks for; refuses folds that fit no classifier"""
        if not len(codes):
            raise InvalidInputError("X and y hold no samples; 2 or more are needed.")
        if len(self.classes_) < 2:
            raise InvalidInputError(
                "y must hold 2 classes or more, as the score compares labels; "
                f"got 1 class: {self.classes_.tolist()[0]!r} for all {len(codes)} "
                "samples."
            )
        distinct = np.unique([copies[fitted], codes[fitted]], axis=1)
        sizes = np.bincount(distinct[1], minlength=len(self.classes_))
        for fold in range(self.n_folds):
            if len(np.unique(codes[fitted & (self.folds_ != fold)])) < 2:
                raise InvalidInputError(
                    f"n_folds={self.n_folds} leaves samples of 1 class to a run, and 2 "
                    f"are needed; classes have {sizes[:10].tolist()} samples that "
                    "differ and have weight. Give two classes or more 2 each."
                )
        n_distinct = len(np.unique(copies))
        if n_distinct < self.n_folds:
            raise InvalidInputError(
                f"n_folds must be at most the {n_distinct} samples that differ; got "
                f"{self.n_folds}."
            )
        if (sizes < 2).any():
            few = self.classes_[sizes < 2]
            warn(
                f"{len(few)} classes have one sample, or copies of one, and score the "
                f"log of their share: {few[:5].tolist()}.",
                LowSupportWarning,
            )
        return fitted & (sizes[codes] < 2)

    def _facts(self, X, y, weight, seed):
        """What the log probabilities depend on."""
        return {
            "format": _FORMAT,
            "n_folds": int(self.n_folds),
            "estimator": name_of(self.estimator),
            "pretrained_files": pretrained_files(
                self.estimator, self.checkpoint_folder
            ),
            "X": name_of(X),
            "y": name_of(y),
            "sample_weight": name_of(weight),
            "seed": seed,
        }

    def _fit_prior(self, X, y, weight, seed):
        """Fit the prior scorer; what it says of each sample, left out, or None."""
        self._prior = None
        if self.prior is None:
            return None
        named = isinstance(self.prior, str)
        prior = self._embeddings(X) if named else clone(self.prior)
        seed_where_none(prior, seed)
        steps = getattr(prior, "steps", [("", prior)])
        if not isinstance(steps[-1][1], SlicedMIScorer):
            raise InvalidInputError(
                "prior must be a SlicedMIScorer or a pipeline that ends in one, as it "
                "says of each label what the other samples make of it; got "
                f"{type(prior).__name__}."
            )
        before, scorer = prior[:-1] if len(steps) > 1 else None, steps[-1][1]
        X = X if before is None else before.fit_transform(X, y)
        scorer.fit(X, y, weight)
        self._prior, self.prior_scorer_ = (before, scorer), prior
        self.psmi_ = scorer.psmi_
        return left_out_evidence(scorer, X, y, weight)

    def _embeddings(self, X):
        """The scorer that "embeddings" stands for."""
        scorer = SlicedMIScorer()
        params = self.estimator.get_params()
        for each in (self.estimator, *params.values()):
            if isinstance(each, FineTuning):
                options = {"max_length": each.max_length, "device": each.device}
                model = HiddenStateEmbedder(each.model, layer="spread", **options)
                return make_pipeline(model, scorer)
        if _holds_texts(X):
            raise InvalidInputError(
                'prior="embeddings" reads numbers, or texts where the estimator is a '
                "FineTunedClassifier. Give a pipeline of an embedder and a "
                "SlicedMIScorer, or prior=None."
            )
        return scorer

    def _run(self, X, y, weight, seed, folder):
        """Fit the classifier of each fold that is not done, and ask it."""
        seeds = np.random.default_rng([seed, 1]).integers(2**31, size=self.n_folds)
        runs = [
            Run(fold, seeded_clone(self.estimator, each), self.folds_ == fold, folder)
            for fold, each in enumerate(seeds.tolist())
        ]
        answers = [run.load(len(self.classes_)) for run in runs]
        if isinstance(X, list) and _holds_texts(X):  # an array is sent to Dask once
            X = np.array(X, object)
        calls = [
            (run, X, y, weight, self.classes_)
            for run, known in zip(runs, answers, strict=True)
            if known is None
        ]
        options = {"title": "held-out runs", "total": len(runs)}
        options["verbose"] = self.verbose
        for fold, known in side_by_side(Run.fit, calls, self.n_jobs, **options):
            answers[fold] = known
        self.estimators_ = [answer.model for answer in answers]
        table = np.empty((len(y), len(self.classes_)))
        for fold, answer in enumerate(answers):
            table[self.folds_ == fold] = answer.table
        trained = 1 - np.bincount(self.folds_) / len(y)
        self.cost_ = float(trained @ [answer.epochs for answer in answers])
        finite = table.min(where=np.isfinite(table), initial=0.0)
        self._least = min(finite, -np.log(len(y))) - np.log(2)
        self.held_out_ = np.maximum(table, self._least)
        return [answer.states for answer in answers]

    def _fit_states(self, states, y, weight, seed):
        """Score the states of each fold by the run that has not seen it, left out."""
        self._state_scorers = []
        if states[0] is None:
            return {}
        table = np.zeros(self.held_out_.shape)
        weight = np.ones(len(y)) if weight is None else weight
        for fold, X in enumerate(states):
            rows = np.flatnonzero(self.folds_ == fold)
            scorer, own = fold_evidence(X, y[rows], weight[rows], self.classes_, seed)
            self._state_scorers.append(scorer)
            table[rows] = own
        return {"held_out_embeddings": table}

    def _fit_pool(self, tables, codes, weight, log_prior, alone):
        """Weigh the runs, the embeddings and the log prior, and score the samples."""
        tables = _members(self.held_out_, log_prior, tables)
        rows = np.flatnonzero(~alone if weight is None else ~alone & (weight > 0))
        most = max(2048, _CELLS // len(self.classes_))
        if len(rows):
            rows = rows[subsample(codes[rows], most, np.random.default_rng(0))]
        else:  # classes of one sample each
            rows = np.arange(len(codes))
        some = {name: table[rows] for name, table in tables.items()}
        weight = None if weight is None else weight[rows]
        self._pool, _ = fit_pool(some, codes[rows], log_prior, weight)
        table = self._pool.log_posterior(tables)
        table[alone] = log_prior
        own = np.arange(len(codes)), codes
        self.scores_ = table[own]
        self.probability_ = np.exp(self.scores_)
        self.likely_labels_ = self.classes_[table.argmax(1)]
        others = self.held_out_.copy()
        others[own] = -np.inf
        self.margin_ = self.held_out_[own] - others.max(1)

    def _log_probability(self, X):
        X = _samples(X)
        if None in self.estimators_:
            raise InvalidInputError(
                "The runs of this scorer were read from checkpoint_folder, which holds "
                "what they said of the training samples and not the models. For new "
                "samples, fit without it or in a new one."
            )
        answers = [answers_of(model, X, self.classes_) for model in self.estimators_]
        held_out = [np.maximum(table, self._least) for table, _ in answers]
        held_out = logsumexp(held_out, axis=0) - np.log(len(answers))
        tables = {"prior_scorer": None}
        if self._prior is not None:
            before, scorer = self._prior
            tables["prior_scorer"] = evidence(
                scorer, X if before is None else before.transform(X)
            )
        if self._state_scorers:
            total = np.zeros(held_out.shape)
            for scorer, (_, states) in zip(self._state_scorers, answers, strict=True):
                total += evidence_of_all(scorer, states, self.classes_)
            tables["held_out_embeddings"] = total / len(answers)
        tables = _members(held_out, self._pool.log_prior, tables)
        return self._pool.log_posterior(tables)


def _samples(X):
    """Samples in a container whose rows can be taken."""
    refuse_masked(X, "X")
    return as_numpy(read_column(X))


def _members(held_out, log_prior, tables):
    """Evidence that is there, by name; that of the runs without the log prior."""
    tables = {"held_out": held_out - log_prior, **tables}
    return {name: table for name, table in tables.items() if table is not None}


def _holds_texts(X):
    first = [] if issparse(X) else np.asarray(take_samples(X, [0])).ravel().tolist()
    return bool(first) and isinstance(first[0], str)
