"""All shadow models, side by side, from where a run was left."""

from contextlib import ExitStack, contextmanager

import joblib
import numpy as np
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController
from tqdm import tqdm

from smilearn.audit._shadow_models import (
    answer_names,
    comparable_answers,
    shadow_answers,
)


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
