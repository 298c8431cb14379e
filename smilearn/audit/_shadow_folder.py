"""Answers of finished shadow models on disk, and whose they are."""

import os
import warnings
import zipfile

import joblib
import numpy as np
import scipy.sparse as sp

from smilearn.audit._estimator_facts import estimator_name, pretrained_files
from smilearn.exceptions import CacheWarning
from smilearn.utils._files import replacing
from smilearn.utils._inputs import is_tensor
from smilearn.utils._run_folder import RunFolder

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
