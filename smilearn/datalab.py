"""Memorization in the reports of cleanlab's Datalab."""

from functools import cache

from smilearn.utils._optional import require

__all__ = ["register_memorization"]


@cache
def register_memorization():
    """Add the issue type "memorization" to cleanlab's Datalab, in this process.

    For classification. Afterwards ``lab.find_issues(features=X,
    issue_types={"memorization": {...}})`` gives each sample

    - `memorization_score`, the probability of its label by all others, in [0, 1]; low =
      at risk (the logistic function of the score, of a scorer without probabilities);
    - `memorization_risk`, minus the score, in nats; high = at risk;
    - `is_memorization_issue`, whether the score is below the `offset_` of the scorer.

    The dict holds either `scorer`, a :class:`~smilearn.SlicedMIScorer`, or parameters
    of one. cleanlab drops parameters that are None: hand over a scorer for
    ``outliers=None``. ``lab.get_info("memorization")`` has the likeliest label of each
    sample (None without probabilities), risk, standard errors and the fitted scorer.
    Registering again changes nothing.

    Returns
    -------
    manager : type
        The registered subclass of ``cleanlab.IssueManager``.

    Raises
    ------
    MissingDependencyError
        If cleanlab or what its Datalab needs is not installed (extra ``datalab``).

    Examples
    --------
    >>> import numpy as np
    >>> from cleanlab import Datalab
    >>> from smilearn.datalab import register_memorization
    >>> manager = register_memorization()
    >>> rng = np.random.default_rng(0)
    >>> label = np.repeat(["ham", "spam"], 100)
    >>> X = rng.normal(size=(200, 8)) + 2.0 * (label == "spam")[:, None]
    >>> label[0] = "spam"  # a wrong label
    >>> lab = Datalab({"label": label.tolist()}, label_name="label", verbosity=0)
    >>> settings = {"n_slices": 64, "random_state": 0}
    >>> lab.find_issues(features=X, issue_types={"memorization": settings})
    >>> issues = lab.get_issues("memorization")
    >>> int(issues["memorization_score"].argmin())
    0
    >>> str(lab.get_info("memorization")["most_likely_label"][0])
    'ham'
    """
    for module in ("cleanlab", "datasets", "pandas"):
        require(module, extra="datalab", caller="register_memorization")
    from cleanlab.datalab.internal import issue_finder
    from cleanlab.datalab.internal.issue_manager_factory import register

    from smilearn._issue_manager import MemorizationIssueManager

    # what find_issues hands on of its arguments; cleanlab has no public way to say so
    arguments = getattr(issue_finder, "_CLASSIFICATION_ARGS_DICT", {})
    arguments[MemorizationIssueManager.issue_name] = ["features"]
    return register(MemorizationIssueManager)
