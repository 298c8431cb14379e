"""Folds that depend on what a sample is, not on where it stands."""

import numpy as np
import torch
from scipy.sparse import issparse

from smilearn.utils._indexing import row_blocks
from smilearn.utils._threads import in_threads


def row_keys(X, rng):
    """Place each row on a random line: equal rows at one place."""
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
    """Deal the samples of each class out to folds, evenly; equal samples together."""
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
