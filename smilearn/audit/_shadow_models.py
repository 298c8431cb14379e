"""What a shadow model says of all samples."""

import hashlib
import os
import warnings
import zipfile
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import joblib
import numpy as np
import scipy.sparse as sp
from joblib.parallel import get_active_backend
from sklearn.base import clone
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from smilearn.baselines._training import log_probabilities
from smilearn.exceptions import CacheWarning, InvalidInputError
from smilearn.utils._files import RunFolder, replacing
from smilearn.utils._indexing import is_aligned, take_samples
from smilearn.utils._validation import is_tensor

_NOT_IN_RESULT = ("random_state", "n_jobs", "verbose")


def params_named(estimator, name):
    """Parameters of one name, of an estimator and of those inside it."""
    params = getattr(estimator, "get_params", dict)()
    found = [key for key in params if key == name or key.endswith(f"__{name}")]
    return {key: params[key] for key in sorted(found)}


def estimator_name(estimator):
    """Name an estimator by its parameters, but for those that change no result."""
    model = clone(estimator)
    for name in _NOT_IN_RESULT:
        model.set_params(**dict.fromkeys(params_named(model, name)))
    try:
        return joblib.hash(model)
    except Exception as error:  # whatever pickle comes upon
        raise InvalidInputError(
            "With checkpoint_folder, estimator must be one that can be pickled, so "
            f"that it is known again: {error}"
        ) from error


def pretrained_files(estimator, apart):
    """Name what the folders and files hold from which an estimator takes its models."""
    models, apart = params_named(estimator, "model"), apart and Path(apart).resolve()
    return {
        name: _files_name(Path(value), apart)
        for name, value in models.items()
        if isinstance(value, (str, os.PathLike)) and _exists(value)
    }


def check_no_folder(estimator):
    """Refuse an estimator that keeps checkpoints: its clones would share a folder."""
    for name, folder in params_named(estimator, "checkpoint_folder").items():
        if folder is not None:
            raise InvalidInputError(
                "Shadow models cannot share a folder of checkpoints: set "
                f"{name}=None in the estimator (it is {str(folder)!r}), and give "
                "checkpoint_folder to the audit."
            )


def _exists(path):
    try:
        return path != "" and Path(path).exists()
    except (OSError, ValueError):  # a text that can be no path
        return False


def _files_name(path, apart):
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    if apart and path.resolve() in apart.parents:
        files = [file for file in files if apart not in file.resolve().parents]
    held = {file.relative_to(path).as_posix(): file for file in files}
    whole = hashlib.sha256()
    for name in sorted(held):
        with held[name].open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        whole.update(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest())
        whole.update(content)
    return whole.hexdigest()[:32]


def shadow_answers(estimator, seed, X, y, kept, params, classes, statistic):
    """Fit a shadow model, and ask it of each sample."""
    model = seeded_clone(estimator, seed)
    cut = {
        name: take_samples(values, kept) if is_aligned(values, len(y)) else values
        for name, values in params.items()
    }
    model.fit(take_samples(X, kept), y[kept], **cut)
    codes = np.searchsorted(classes, y)
    table = log_probabilities(model, X, classes)
    rows = np.arange(len(codes))
    correct = table.argmax(1) == codes
    lowest = table.min(where=np.isfinite(table), initial=0.0)
    own = table[rows, codes]
    table[rows, codes] = -np.inf
    answers = {
        "log_p": own,
        "log_other": table.max(1),
        "correct": correct,
        "lowest": np.array(lowest),
    }
    if callable(statistic):
        answers["told"] = checked_statistic(statistic(model, X, y), len(y))
    return answers


def answer_names(statistic):
    """Names of what :func:`shadow_answers` gives."""
    names = "log_p", "log_other", "correct", "lowest"
    return (*names, "told") if callable(statistic) else names


def comparable_answers(found, n_trained, statistic):
    """Give all models one stand-in for a probability of 0, and form the statistic."""
    of = {name: np.stack([each[name] for each in found]) for name in found[0]}
    own, other = of["log_p"], of["log_other"]
    infinite = np.isneginf(own) | np.isneginf(other)
    stand_in = min(of["lowest"].min(), -np.log(n_trained)) - np.log(2)
    own, other = (np.where(np.isneginf(p), stand_in, p) for p in (own, other))
    if callable(statistic):
        told = of["told"]
    else:
        told = own - other if statistic == "logit_gap" else own
    return {
        "statistic": told,
        "log_p": own,
        "correct": of["correct"],
        "n_infinite": infinite.sum(1),
    }


def seeded_clone(estimator, seed):
    """Clone an estimator, with seeds of its own in each `random_state`."""
    model = clone(estimator)
    names = params_named(model, "random_state")
    seeds = np.random.SeedSequence(seed).generate_state(len(names))
    seeds = (seeds >> 1).tolist()  # some want 31 bits
    return model.set_params(**dict(zip(names, seeds, strict=True)))


def checked_statistic(values, n_samples):
    """Check what a statistic of the user's own gives."""
    values = np.array(values, dtype=np.float64)
    if values.shape != (n_samples,) or not np.isfinite(values).all():
        raise InvalidInputError(
            f"statistic must give one finite number for each of the {n_samples} "
            f"samples; got shape {values.shape}, {np.sum(~np.isfinite(values))} of "
            "the values not finite."
        )
    return values


def run_shadows(job, masks, seeds, folder, n_jobs, verbose):
    """Fit shadow models and gather their answers, in the order of the models."""
    n_shadow, n_samples = masks.shape
    names = answer_names(job["statistic"])
    found = [
        None if folder is None else folder.load(m, names, n_samples)
        for m in range(n_shadow)
    ]
    todo = [m for m in range(n_shadow) if found[m] is None]
    calls = (
        joblib.delayed(_one_model)(
            m, job | {"seed": seeds[m], "kept": np.flatnonzero(masks[m])}, folder
        )
        for m in todo
    )
    n_workers = max(joblib.effective_n_jobs(n_jobs), 1)
    n_threads = max(joblib.cpu_count() // min(n_workers, max(len(todo), 1)), 1)
    bar = tqdm(
        desc="shadow models",
        total=n_shadow,
        initial=n_shadow - len(todo),
        disable=not verbose,
    )
    with bar, at_most_threads(n_threads):
        for m, answers in joblib.Parallel(n_jobs, return_as=_return_as())(calls):
            found[m] = answers
            bar.update()
    return comparable_answers(found, masks.sum(1).max(), job["statistic"])


@contextmanager
def at_most_threads(n_threads):
    """Lower the threads of BLAS and OpenMP in this process; raise those of none."""
    libraries = ThreadpoolController()
    with ExitStack() as limits:
        for each in libraries.info():
            if each["num_threads"] > n_threads:
                one = libraries.select(filepath=each["filepath"])
                limits.enter_context(one.limit(limits=n_threads))
        yield


def _one_model(m, job, folder):
    answers = shadow_answers(**job)
    if folder is not None:
        folder.save(m, answers)
    return m, answers


def _return_as():
    """Results as they come, where the backend can; joblib knows some that cannot."""
    streams = getattr(get_active_backend()[0], "supports_return_generator", False)
    return "generator_unordered" if streams else "list"


_FORMAT = 2


class ShadowFolder(RunFolder):
    """One file for each finished model; whole or not there."""

    def save(self, model, answers):
        """Keep what a model answered."""
        with replacing(self._file(model)) as temporary, temporary.open("wb") as file:
            np.savez(file, **answers)
            file.flush()
            os.fsync(file.fileno())

    def load(self, model, names, n_samples):
        """Give what a model answered, or None where it has not finished."""
        path = self._file(model)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                answers = {name: file[name] for name in names}
            whole = all(each.shape in ((), (n_samples,)) for each in answers.values())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            whole = False
        if whole:
            return answers
        warnings.warn(
            f"{path} is damaged; this shadow model is fitted again.",
            CacheWarning,
            stacklevel=2,
        )
        return None

    def _file(self, model):
        return self.path / f"shadow-{model:05d}.npz"


def run_facts(estimator, X, y, params, settings, folder):
    """What the answers of shadow models depend on."""
    return settings | {
        "format": _FORMAT,
        "estimator": estimator_name(estimator),
        "pretrained_files": pretrained_files(estimator, folder),
        "X": content_name(X),
        "y": content_name(y),
        "fit_params": {key: content_name(params[key]) for key in sorted(params)},
    }


def content_name(values):
    """Name samples by what they hold, in whatever container."""
    if is_tensor(values):
        values = values.detach().cpu().float().numpy()
    if sp.issparse(values):
        rows = values.tocsr()
        parts = [np.array(rows.shape), rows.indptr, rows.indices, rows.data]
        return joblib.hash([np.array(part) for part in parts])
    if hasattr(values, "columns") and hasattr(values, "__getitem__"):
        names = getattr(values, "column_names", values.columns)  # Arrow has the former
        return joblib.hash([(str(n), _plain(values[n])) for n in names])
    if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__len__"):
        return joblib.hash(values)
    return joblib.hash(_plain(values))


def _plain(values):
    array = values if isinstance(values, (list, tuple)) else np.asarray(values)
    if getattr(array, "dtype", None) is not None and array.dtype.kind not in "OSU":
        return np.array(array, order="C")
    return [str(value) if isinstance(value, str) else value for value in array]


_TRADES = 10  # rounds in which each model trades samples with another one


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


def balanced_masks(codes, n_shadow, n_in, rng):
    """Draw who is IN, so that samples, models and classes are in balance."""
    masks = np.zeros((n_shadow, len(codes)), bool)
    part = Fraction(n_in, n_shadow)
    p, q = part.numerator, part.denominator
    for label in rng.permutation(codes.max() + 1):
        members = rng.permutation(np.flatnonzero(codes == label))
        smallest_first = np.lexsort((rng.random(n_shadow), masks.sum(1)))
        block = np.empty(n_shadow, np.int64)
        block[smallest_first] = np.repeat(np.arange(q), n_shadow // q)
        place = block[:, None] - np.arange(len(members)) * p
        masks[:, members] = place % q < p
        masks[:, members] = _traded(masks[:, members], rng)
    return masks


def check_classes_seen(masks, codes, classes):
    """Refuse a design in which a model does not see every class."""
    for code, label in enumerate(classes.tolist()):
        seen = masks[:, codes == code].any(1)
        if not seen.all():
            raise InvalidInputError(
                f"Every shadow model must see every class; class {label!r} has "
                f"{np.sum(codes == code)} samples and {np.sum(~seen)} of {len(masks)} "
                "models see none of them. Merge small classes, leave them out, or "
                "raise share."
            )


def _traded(masks, rng):
    """Trade samples between pairs of models, in rounds; (n_shadow, n_members)."""
    n_shadow = len(masks)
    for _ in range(_TRADES):
        order = rng.permutation(n_shadow)
        half = n_shadow // 2
        for one, other in zip(order[:half], order[half : 2 * half], strict=True):
            differ = np.flatnonzero(masks[one] != masks[other])
            mine = rng.permutation(masks[one, differ])
            masks[one, differ], masks[other, differ] = mine, ~mine
    return masks
