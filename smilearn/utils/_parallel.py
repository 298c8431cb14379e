"""Models fitted side by side, with one progress bar for all."""

import joblib
from joblib.parallel import get_active_backend
from tqdm import tqdm

from smilearn.utils._dask import cluster_errors
from smilearn.utils._threads import at_most_threads


def side_by_side(work, calls, n_jobs, *, title, total, verbose):
    """Call `work` with each tuple of arguments; give what comes, as it comes."""
    n_workers = max(joblib.effective_n_jobs(n_jobs), 1)
    n_threads = max(joblib.cpu_count() // min(n_workers, max(len(calls), 1)), 1)
    done = total - len(calls)
    bar = tqdm(desc=title, total=total, initial=done, disable=not verbose)
    # as they come, where the backend can; joblib knows some that cannot
    streams = getattr(get_active_backend()[0], "supports_return_generator", False)
    parallel = joblib.Parallel(
        n_jobs, return_as="generator_unordered" if streams else "list"
    )
    with bar, at_most_threads(n_threads), cluster_errors():
        for result in parallel(joblib.delayed(work)(*each) for each in calls):
            yield result
            bar.update()
