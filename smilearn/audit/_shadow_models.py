"""Shadow models: who is IN which, how they are trained, what they answer, on disk."""

import time
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from smilearn.audit._shadow_answers import ShadowAnswers
from smilearn.exceptions import CacheWarning, InvalidInputError
from smilearn.utils._answers import log_probabilities
from smilearn.utils._files import RunFolder, digest, load_arrays, save_arrays
from smilearn.utils._indexing import is_aligned, take_samples
from smilearn.utils._naming import check_no_folder, name_of, pretrained_files
from smilearn.utils._parallel import side_by_side
from smilearn.utils._random import seeded_clone
from smilearn.utils._warnings import warn

_NAMES = ("log_own", "log_other", "correct", "lowest", "seconds")  # of answers
_FORMAT = 5  # of the files; a folder of another format is another run
_SUM = 1.001  # of the probabilities of two labels, rounded
_TRADES = 10  # rounds in which each model trades samples with another one


@dataclass
class ShadowRun:
    """Shadow models of one estimator on one set of samples."""

    X: object
    y: np.ndarray
    params: dict  # of the fit of the estimator
    seed: int
    estimator: object
    n_shadow: int
    share: float
    statistic: object
    n_jobs: int | None
    checkpoint_folder: object
    verbose: int

    def __post_init__(self):
        self.classes, self.codes = np.unique(self.y, return_inverse=True)
        if len(self.classes) < 2:
            raise InvalidInputError(
                f"y must hold 2 classes or more; got {len(self.classes)} class."
            )

    @cached_property
    def facts(self):
        """What the answers depend on, but the seed; None where it has no name."""
        try:
            return {
                "format": _FORMAT,
                "n_shadow": int(self.n_shadow),
                "share": float(self.share),
                "statistic": name_of(self.statistic),
                "estimator": name_of(self.estimator),
                "pretrained_files": pretrained_files(
                    self.estimator, self.checkpoint_folder
                ),
                "X": name_of(self.X),
                "y": name_of(self.y),
                "fit_params": {k: name_of(self.params[k]) for k in sorted(self.params)},
            }
        except Exception:  # whatever a container of the user's own raises
            if self.checkpoint_folder:
                raise
            return None

    def of(self, estimator):
        """The same run of another estimator, in a folder of its own."""
        run = replace(self, estimator=estimator)
        if self.checkpoint_folder:
            name = f"protected-{digest(run.facts['estimator'])}"
            run.checkpoint_folder = Path(self.checkpoint_folder) / name
        return run

    def members(self):
        """Draw who is IN which model, (n_shadow, n_samples)."""
        n_in = models_a_sample(self.n_shadow, self.share)
        rng = np.random.default_rng([self.seed, 0])
        if 2 * n_in == self.n_shadow:
            members = paired_members(self.codes, self.n_shadow, rng)
        else:
            members = balanced_members(self.codes, self.n_shadow, n_in, rng)
        check_classes_seen(members, self.codes, self.classes)
        return members

    def answers(self, members, withheld=None):
        """Train the models, less samples that are withheld, and ask them of all."""
        check_no_folder(self.estimator, "checkpoint_folder to the audit")
        trained = members if withheld is None else members & ~withheld
        seeds = np.random.default_rng([self.seed, 1]).integers(2**31, size=len(members))
        jobs = list(zip(seeds.tolist(), trained, strict=True))
        folder, names = self._folder(withheld), _NAMES
        if callable(self.statistic):
            names = (*names, "statistic")
        results = [
            folder and folder.load(m, trained[m], names) for m in range(len(jobs))
        ]
        todo = [m for m, answers in enumerate(results) if answers is None]
        calls = [(self, m, *jobs[m], folder) for m in todo]
        options = {"title": "shadow models", "total": len(jobs)}
        options["verbose"] = self.verbose
        train = type(self)._train
        for m, answers in side_by_side(train, calls, self.n_jobs, **options):
            results[m] = answers
        whole = comparable_answers(results, trained.sum(1).max(), self.statistic)
        return ShadowAnswers(members, **whole, withheld=withheld)

    def _folder(self, withheld):
        """Folder of the run, claimed for it; None without one."""
        if not self.checkpoint_folder:
            return None
        path, facts = Path(self.checkpoint_folder), self.facts | {"seed": self.seed}
        if facts["share"] == 0.5:  # pairs, of which a longer run only adds some
            del facts["n_shadow"]
        if withheld is not None:
            facts["withheld"] = digest(withheld)
            path = path / f"without-{facts['withheld']}"
        folder = ShadowFolder(path)
        folder.claim(facts)
        return folder

    def __sizeof__(self):
        """Large, so that joblib on Dask sends it once, not with each call."""
        return 2**20

    def _train(self, m, seed, members, folder):
        answers = shadow_answers(
            seeded_clone(self.estimator, seed),
            self.X,
            self.y,
            np.flatnonzero(members),
            self.params,
            self.classes,
            self.statistic,
        )
        if folder is not None:
            folder.save(m, members, answers)
        return m, answers


def shadow_answers(model, X, y, rows, params, classes, statistic):
    """Fit a shadow model to some rows, and ask it of each sample."""
    cut = {
        name: take_samples(values, rows) if is_aligned(values, len(y)) else values
        for name, values in params.items()
    }
    start = time.perf_counter()
    model.fit(take_samples(X, rows), y[rows], **cut)
    seconds = time.perf_counter() - start
    codes = np.searchsorted(classes, y)
    table = log_probabilities(model, X, classes)
    every = np.arange(len(codes))
    correct = table.argmax(1) == codes
    lowest = table.min(where=np.isfinite(table), initial=0.0)
    own = table[every, codes]
    table[every, codes] = -np.inf
    answers = {
        "log_own": own,
        "log_other": table.max(1),
        "correct": correct,
        "lowest": np.array(lowest),
        "seconds": np.array(seconds),
    }
    if callable(statistic):
        values = np.array(statistic(model, X, y), dtype=np.float64)
        if values.shape != codes.shape or not np.isfinite(values).all():
            raise InvalidInputError(
                f"statistic must give one finite number for each of the {len(codes)} "
                f"samples; got shape {values.shape}, {np.sum(~np.isfinite(values))} "
                "of the values not finite."
            )
        answers["statistic"] = values
    return answers


def comparable_answers(results, n_trained, statistic):
    """Give all models one stand-in for a probability of 0, and form the statistic."""
    stacked = {name: np.stack([each[name] for each in results]) for name in results[0]}
    own, other = stacked["log_own"], stacked["log_other"]
    infinite = np.isneginf(own) | np.isneginf(other)
    stand_in = min(stacked["lowest"].min(), -np.log(n_trained)) - np.log(2)
    own, other = (np.where(np.isneginf(p), stand_in, p) for p in (own, other))
    if not callable(statistic):
        stacked["statistic"] = own - other if statistic == "logit_gap" else own
    return {
        "statistic": stacked["statistic"],
        "log_proba": own,
        "correct": stacked["correct"],
        "n_infinite": infinite.sum(1),
        "seconds": stacked["seconds"],
    }


def models_a_sample(n_shadow, share):
    """Count the models that a sample is IN."""
    n_in = round(n_shadow * share)
    if abs(n_in - n_shadow * share) > 1e-9 * n_shadow or not 0 < n_in < n_shadow:
        share = Fraction(share).limit_denominator(100)
        raise InvalidInputError(
            "n_shadow * share must be a whole number from 1 to n_shadow - 1, as each "
            f"sample is IN so many models; got {n_shadow} * {float(share):.4g}. Give "
            f"an n_shadow that is a multiple of {max(share.denominator, 2)}."
        )
    return n_in


def paired_members(codes, n_shadow, rng):
    """Draw pairs of complementary halves; the first of a longer draw are the same."""
    members = np.zeros((n_shadow, len(codes)), bool)
    for pair in range(0, n_shadow, 2):
        longer = 0  # halves of an odd class differ by one; the longer goes in turn
        for label in rng.permutation(codes.max() + 1):
            rows = rng.permutation(np.flatnonzero(codes == label))
            n_first = (len(rows) + 1 - longer) // 2
            longer ^= len(rows) % 2
            members[pair, rows[:n_first]] = True
            members[pair + 1, rows[n_first:]] = True
    return members


def balanced_members(codes, n_shadow, n_in, rng):
    """Draw who is IN, so that samples, models and classes are in balance."""
    members = np.zeros((n_shadow, len(codes)), bool)
    part = Fraction(n_in, n_shadow)
    p, q = part.numerator, part.denominator
    for label in rng.permutation(codes.max() + 1):
        rows = rng.permutation(np.flatnonzero(codes == label))
        smallest_first = np.lexsort((rng.random(n_shadow), members.sum(1)))
        block = np.empty(n_shadow, np.int64)
        block[smallest_first] = np.repeat(np.arange(q), n_shadow // q)
        place = block[:, None] - np.arange(len(rows)) * p
        members[:, rows] = _traded(place % q < p, rng)
    return members


def _traded(members, rng):
    """Trade samples between pairs of models, in rounds; (n_shadow, n_samples)."""
    n_shadow, half = len(members), len(members) // 2
    for _ in range(_TRADES):
        order = rng.permutation(n_shadow)
        for first, second in zip(order[:half], order[half : 2 * half], strict=True):
            differ = np.flatnonzero(members[first] != members[second])
            dealt = rng.permutation(members[first, differ])
            members[first, differ], members[second, differ] = dealt, ~dealt
    return members


def check_classes_seen(members, codes, classes):
    """Refuse a design in which a model does not see every class."""
    for code, label in enumerate(classes.tolist()):
        seen = members[:, codes == code].any(1)
        if not seen.all():
            raise InvalidInputError(
                f"Every shadow model must see every class; class {label!r} has "
                f"{np.sum(codes == code)} samples and {np.sum(~seen)} of "
                f"{len(members)} models see none of them. Merge small classes, leave "
                "them out, or raise share."
            )


class ShadowFolder(RunFolder):
    """One npz file for each finished model; whole or not there."""

    def save(self, model, members, answers):
        """Keep what a model answered, and which samples it was trained on."""
        save_arrays(self._file(model), members=members, **answers)

    def load(self, model, members, names):
        """What a model answered, or None where it is to be trained (again)."""
        path = self._file(model)
        if not path.is_file():
            return None
        try:
            answers = load_arrays(path, (*names, "members"))
            sound = _are_sound(answers, members)
        except Exception:  # whatever a damaged archive makes NumPy raise
            sound = False
        if sound:
            del answers["members"]
            return answers
        warn(
            f"{path} is damaged or of another run; this shadow model is fitted again.",
            CacheWarning,
        )
        return None

    def _file(self, model):
        return self.path / f"shadow-{model:05d}.npz"


def _are_sound(answers, members):
    """Whether a file may hold the answers of a model that saw these samples."""
    for name, values in answers.items():
        dtype = np.bool_ if name in ("correct", "members") else np.float64
        shape = () if name in ("lowest", "seconds") else members.shape
        if values.dtype != dtype or values.shape != shape:
            return False
    if (answers["members"] != members).any():
        return False
    with np.errstate(over="ignore"):
        total = np.exp(answers["log_own"]) + np.exp(answers["log_other"])
    is_best = answers["log_own"] >= answers["log_other"]
    if (answers["correct"] > is_best).any():  # of equal ones another may be chosen
        return False
    finite = (answers[name] for name in ("lowest", "statistic") if name in answers)
    possible = (total <= _SUM).all() and (total > 0).all() and answers["lowest"] <= 0
    return bool(possible) and all(np.isfinite(v).all() for v in finite)
