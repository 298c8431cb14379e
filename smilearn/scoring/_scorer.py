"""Pointwise sliced mutual information of labelled embeddings."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator

from smilearn.scoring._families import FAMILIES
from smilearn.scoring._learning import SliceLearning
from smilearn.scoring._scoring import SliceScoring
from smilearn.scoring._streaming import StreamLearning
from smilearn.utils._documentation import Documented
from smilearn.utils._sklearn_compat import Interval, StrOptions

_POSITIVE = Interval(Integral, 1, None, closed="left")
_SHARE = Interval(Real, 0, 0.5, closed="right")
_AUTO = StrOptions({"auto"})


class SlicedMIScorer(
    SliceLearning, StreamLearning, SliceScoring, Documented, BaseEstimator
):
    """Score how much a sample's embedding tells of its own label; low = at risk.

    The score is the pointwise sliced mutual information (PSMI), in nats: the mean over
    random unit directions (*slices*) of ``log p(z | label) - log p(z)``, z being the
    projection of the sample. A sample whose embedding does not speak for its label can
    only be learnt by heart: the lower the score, the likelier a fine-tuned model
    memorizes the sample.

    Parameters
    ----------
    n_slices : int or "auto", default="auto"
        Number of random directions. "auto" doubles it from 256 until the ranking of
        the samples settles: until `reliability_` reaches 0.95, or at `max_slices`. Maps
        made from labels, and members of the mixture, take 64 to 320.

    density : {"student", "gaussian"}, default="student"
        Class-conditional density of a projection. "gaussian" is the plug-in normal of
        the paper [1]_. "student" is the posterior predictive of the same model, with
        little prior weight on the pooled variance: the same for large classes,
        sober for small ones. See Notes for why it is the default.

    leave_one_out : bool, default=True
        Whether a training sample is left out of the moments of its class when it is
        scored itself (`scores_`), by isotropic and principal slices; for the other
        families see `cross_fit`. New samples are scored with all moments. See Notes.

    slicing : str, default="adaptive"
        Where the slices point. "isotropic": anywhere alike, as in the paper [1]_.
        "principal": alike in the whitened span of the leading `n_components` principal
        directions. "whitened": alike after within-class whitening. "discriminant":
        alike in the span of the class means after within-class whitening. "joint": one
        slice of full dimension, linear discriminant analysis. "adaptive": a mixture of
        16 and 64 principal, discriminant, joint and isotropic slices, each weighted by
        its label contrast. See Notes; streams take isotropic slices only.

    n_components : int, default=16
        Principal directions for ``slicing="principal"``.

    cross_fit : int, default=10
        Folds. Maps that are made from labels ("whitened", "discriminant", "joint")
        score each training sample in a fold that they have not seen; `contrast_` is
        measured in folds too. Equal samples are held out together. Which samples make
        a fold follows from the embeddings alone, not from `random_state`.

    far : float or None, default=5.0
        Training samples this many times as far from the middle of their class as usual
        (the median distance in the class, or in the typical class where that is larger)
        are not learnt from by :meth:`fit`, as they would become the safest of their
        class and hide the others. They are scored as new ones and score at most 0.
        None learns from all.

    orthogonal : bool, default=True
        Whether directions come in orthonormal blocks, each block a random rotation: the
        same mean with 2 to 5 times less variance once there are as many slices as
        features. False draws each direction independently.

    contamination : float in (0, 0.5], "permutation" or None, default=None
        Where :meth:`predict` draws the line: None at 0 nats, the rule of the paper; a
        float flags that share of the training samples; "permutation" flags samples that
        score below all but a share `alpha` of samples whose labels were shuffled.

    alpha : float, default=0.05
        For "permutation": the share flagged where labels have nothing to do with `X`,
        up to the chance of a few shuffles; see `false_flag_rate_`.

    max_slices : int, default=4096
        Most slices that ``n_slices="auto"`` may use.

    device : str, default="auto"
        Torch device of products and look-ups; "auto" takes cuda, mps or cpu. Where
        its memory runs out, slices are worked on in smaller blocks.

    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of products and tables; directions, means and sums over slices are
        float64 in any case. "auto": float64 where `X` is small (a million numbers).

    block_size : int or "auto", default="auto"
        Slices whose projections are held at once, beside a copy of X; "auto": 30 to
        45 MB.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the directions. Pass an int for the same scores at each call.

    verbose : int or bool, default=0
        Whether to show a progress bar over the slices.

    Attributes
    ----------
    scores_ : ndarray of shape (n_samples,)
        PSMI of each training sample with its own label, in nats; low = at risk. At most
        ``-log(share of its class)``. Of a mixture: the weighted mean of its members,
        standardized, in their average unit and without that bound.

    scores_std_ : ndarray of shape (n_samples,)
        Monte-Carlo standard error of `scores_`, in nats, as for independent slices;
        with orthogonal ones the true error is smaller.

    reliability_ : float
        Expected rank correlation of `scores_` with those of as many other slices, from
        two halves of the slices, in [0, 1]; higher is better.

    offset_, false_flag_rate_ : float
        Samples that score below the offset, in nats, are flagged by :meth:`predict`; of
        "permutation", the share that it flags after a shuffle of its own.

    label_scorers_, label_scores_ : list, ndarray of shape (n_samples, n_labels)
        Where samples have several labels: the scorer of each label (None for one that
        all samples or none have), and what each sample scores by it.

    far_ : ndarray of shape (n_samples,)
        Whether each training sample was too far from its class to be learnt from.

    labels_ : ndarray of shape (n_samples,)
        Labels of the training samples.

    classes_ : ndarray of shape (n_classes,)
        Labels seen in :meth:`fit`, sorted.

    class_count_ : ndarray of shape (n_classes,)
        Training samples of each class, or their weight.

    class_prior_ : ndarray of shape (n_classes,)
        Share of each class.

    whole_weights_ : bool
        Whether all weights were whole numbers, so that one copy could be left out.

    n_slices_, dtype_ : int, str
        Slices used, and the precision in which they were fitted.

    components_ : ndarray of shape (n_components, n_features) or None
        Map from standardized features into the space of the slices; None: identity.

    directions_ : ndarray of shape (n_slices, n_components)
        The slices, unit vectors, one a row.

    coef_, intercept_ : ndarray of shape (n_classes, n_features), (n_classes,)
        Linear discriminant functions of standardized features, of "joint" alone.

    members_, contrast_, weights_, member_places_ : dict
        Of "adaptive" alone, by member: its scorer; its label contrast on samples it has
        not seen; its weight; median of its scores, and how far below it 5 % lie.

    slice_means_, slice_variances_ : ndarray of shape (n_slices, n_classes)
        Moments of each class after standardizing; of "discriminant" pooled variances.

    slice_reach_, slice_range_ : ndarray of shape (n_slices, n_classes), (2, n_slices)
        Largest distance from the mean of the class, and range of the projections; of
        "discriminant" 0, and 5 spreads beyond the class means.

    slice_nodes_ : ndarray of shape (n_slices,)
        Nodes of the table of each slice; 0: computed exactly.

    centre_, inverse_scale_ : ndarray of shape (n_features,)
        What is subtracted from a feature, and what it is multiplied by, before slicing.
        The factor is 0 for constant features and the same for all others.

    feature_extent_ : ndarray of shape (2, n_features)
        Spread (root mean square around the centre) and largest value of each feature.

    stream_, stream_classes_ : dict, ndarray or None
        Of :meth:`partial_fit` alone: its sums, and the labels that were announced.

    n_features_in_, feature_names_in_ : int, ndarray of shape (n_features,)
        Features seen in :meth:`fit`, and their names, where all are strings.

    Notes
    -----
    The defaults were chosen on two real fine-tunes with LiRA ground truth (``python
    benchmarks/detection.py``, ``docs/detection.md``).
    Leaving the sample out ranks memorized samples as well with 2 classes and better
    with 6. With the sample left out, both densities rank alike where classes are large;
    the plug-in normal is slightly ahead where a class has 18 samples, half of them
    memorized, because it pushes small classes down whatever their features: on pure
    noise it gives a class of two -9,000 nats, where "student" gives -0.2. A number that
    is read one sample at a time must not do that, so "student" is the default.

    On the same data "adaptive" has a quarter to three quarters of the false
    positives of "isotropic" before training and in the first half epoch, and more
    than it once memorization has set in. It was then confirmed on eight data sets
    that it had not been made with (``python benchmarks/flips.py``): on none of them
    does it find planted wrong labels worse, up to chance. `fit` takes 2 to 4 times
    as long (``docs/performance.md``). Its weights fall from 1 for the member with
    the best contrast to 0 for those 0.05 below it. How much more a covariance is
    shrunk than after Ledoit and Wolf (1 to 16 times) is chosen by the label
    contrast as well.

    References
    ----------
    .. [1] J. Dentan, D. Buscaldi, A. Shabou, S. Vanier, "Predicting memorization
       within Large Language Models fine-tuned for classification",
       arXiv:2409.18858, 2024.
    .. [2] S. Wongso, R. Ghosh, M. Motani, "Pointwise sliced mutual information for
       neural network explainability", IEEE ISIT, 2023, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn import SlicedMIScorer
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["ham", "spam"], 100)
    >>> X = rng.normal(size=(200, 8)) + 2.0 * (y == "spam")[:, None]
    >>> y[0] = "spam"  # a wrong label
    >>> scorer = SlicedMIScorer(n_slices=64, random_state=0).fit(X, y)
    >>> int(scorer.scores_.argmin())
    0
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_slices": [_POSITIVE, _AUTO],
        "density": [StrOptions({"student", "gaussian"})],
        "leave_one_out": ["boolean"],
        "slicing": [StrOptions(FAMILIES)],
        "n_components": [_POSITIVE],
        "cross_fit": [Interval(Integral, 2, None, closed="left")],
        "far": [Interval(Real, 1, None, closed="left"), None],
        "orthogonal": ["boolean"],
        "contamination": [_SHARE, StrOptions({"permutation"}), None],
        "alpha": [_SHARE],
        "max_slices": [_POSITIVE],
        "device": [str],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "block_size": [_POSITIVE, _AUTO],
        "random_state": ["random_state", np.random.Generator],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_slices="auto",
        *,
        density="student",
        leave_one_out=True,
        slicing="adaptive",
        n_components=16,
        cross_fit=10,
        far=5.0,
        orthogonal=True,
        contamination=None,
        alpha=0.05,
        max_slices=4096,
        device="auto",
        dtype="auto",
        block_size="auto",
        random_state=None,
        verbose=0,
    ):
        self.n_slices = n_slices
        self.density = density
        self.leave_one_out = leave_one_out
        self.slicing = slicing
        self.n_components = n_components
        self.cross_fit = cross_fit
        self.far = far
        self.orthogonal = orthogonal
        self.contamination = contamination
        self.alpha = alpha
        self.max_slices = max_slices
        self.device = device
        self.dtype = dtype
        self.block_size = block_size
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        dense = {"whitened", "discriminant", "joint"}
        tags.input_tags.sparse = self.slicing not in dense
        return tags
