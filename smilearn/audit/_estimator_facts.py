"""What is known of an estimator before it is fitted many times."""

import hashlib
import os
from pathlib import Path

import joblib
from sklearn.base import clone

from smilearn.exceptions import InvalidInputError

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
