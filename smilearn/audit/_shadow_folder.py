"""Finished shadow models on disk, and what a run of them depends on."""

import numpy as np

from smilearn.exceptions import CacheWarning
from smilearn.utils._files import RunFolder, load_arrays, save_arrays
from smilearn.utils._warnings import warn

FORMAT = 5  # of the files; a folder of another format is another run
_DTYPES = {
    "log_own": np.float64,
    "log_other": np.float64,
    "lowest": np.float64,
    "seconds": np.float64,
    "statistic": np.float64,
    "correct": np.bool_,
    "members": np.bool_,
}
_SUM = 1.001  # of the probabilities of two labels, rounded


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
        shape = () if name in ("lowest", "seconds") else members.shape
        if values.dtype != _DTYPES[name] or values.shape != shape:
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
