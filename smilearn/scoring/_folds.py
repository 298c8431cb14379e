"""Folds that depend on what a sample is, not on where it stands."""

import numpy as np
import torch
from scipy.sparse import issparse

from smilearn.utils._rows import row_blocks
from smilearn.utils._threads import in_threads


def row_keys(X, rng):
    """Place each row on a random line: equal rows at one place.

    The order along the line depends on nothing but the rows, and stays when all are
    shifted or scaled.

    Parameters
    ----------
    X : Tensor or csr_array of shape (n_samples, n_features)
        Embeddings as they were handed in.

    rng : numpy.random.Generator
        Source of the line.

    Returns
    -------
    keys : ndarray of shape (n_samples,)
        One a row.
    """
    line = rng.standard_normal(X.shape[1])
    line /= 1024 * np.linalg.norm(line)  # so that no sum overflows
    if issparse(X):
        return X.astype(np.float64) @ line
    line = torch.as_tensor(line, device=X.device)
    least = X.amin(0).double()  # the same in any order, and all there is of a constant

    def work(begin, end):
        # sums of a row, not a product: that rounds by where in a block a row stands
        return [
            (rows.double().contiguous() - least).mul_(line).sum(1)
            for rows in row_blocks(X[begin:end])
        ]

    parts = [part for parts in in_threads(work, len(X), X.numel()) for part in parts]
    return torch.cat(parts).cpu().numpy()


def folds_of(codes, keys, n_folds):
    """Deal the samples of each class out to folds, evenly; equal samples together.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Class of each sample.

    keys : ndarray of shape (n_samples,)
        Number of each sample, from :func:`row_keys`: the same for samples that must not
        be parted. Neighbours go to different folds.

    n_folds : int
        Folds; fewer are made where fewer samples differ.

    Returns
    -------
    fold : ndarray of shape (n_samples,)
        Fold of each sample, 0 to n_folds - 1; none is empty. No class has more than one
        distinct sample more in a fold than in another. Neither the order of the samples
        nor the names of the classes matter.
    """
    first = np.full(codes.max() + 1, np.inf)
    np.minimum.at(first, codes, keys)
    place = np.argsort(np.argsort(first))[codes]  # of the class, by its smallest key
    order = np.lexsort((keys, place))
    sorted_keys, sorted_codes = keys[order], codes[order]
    differs = (np.diff(sorted_keys) != 0) | (np.diff(sorted_codes) != 0)
    fold = np.empty(len(codes), np.int64)
    # dealing on from class to class keeps the folds of one size
    fold[order] = np.concatenate([[0], np.cumsum(differs)]) % n_folds
    return fold
