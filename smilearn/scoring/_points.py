"""Embeddings in the form that sums are made from: dense, few features, centred."""

import numpy as np
import torch
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import issparse
from sklearn.random_projection import SparseRandomProjection

from smilearn.exceptions import InvalidInputError
from smilearn.utils._indexing import as_tensor, row_blocks
from smilearn.utils._random import generator_from
from smilearn.utils._threads import in_threads

MOST_FEATURES = 1536  # beyond, slices and LDA lie in a random subspace of so many
_VERY_MANY = 10  # times as many, and a sparse projection is nearly orthogonal
# A sample farther out than this many root-mean-squares is moved in to it: in float32
# its square would overflow, and nothing in the score tells such distances apart.
_FARTHEST = 1e6
_RANGE = 1e-100, 1e100  # of the largest number, so that squares stay in range


def projection_for(n_features, seed):
    """Map (MOST_FEATURES, n_features) onto a random subspace; None if not needed."""
    if n_features <= MOST_FEATURES:
        return None
    rng = generator_from(seed, "projection")
    if n_features > _VERY_MANY * MOST_FEATURES:
        maker = SparseRandomProjection(MOST_FEATURES, random_state=rng.integers(2**31))
        return maker.fit(np.zeros((1, n_features), np.float32)).components_
    axes = rng.standard_normal((MOST_FEATURES, n_features))
    return solve_triangular(cholesky(axes @ axes.T, lower=True), axes, lower=True)


def features_of(X, projection, device):
    """Rows of X as a dense tensor of MOST_FEATURES columns or fewer."""
    if issparse(X):
        X = X if projection is None else X @ projection.T
        X = X.toarray() if issparse(X) else np.asarray(X)
    elif projection is not None:
        X = as_tensor(X, device)
        axes = projection.toarray() if issparse(projection) else projection
        X = X @ torch.as_tensor(axes).to(X).T
    X = as_tensor(X, device)
    return X if X.is_floating_point() and X.itemsize >= 4 else X.double()


def rows_of(X, rows):
    """Some rows of a tensor, in order; without a copy where they are side by side."""
    if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
        return X[rows[0] : rows[-1] + 1]
    return X[torch.as_tensor(rows, device=X.device)]


def refuse_out_of_range(largest):
    """Refuse features whose squares no number can hold."""
    most = float(np.max(largest, initial=0.0))
    if most and not _RANGE[0] < most < _RANGE[1]:
        raise InvalidInputError(
            f"The largest number in X is {most:.3g}; it must lie between 1e-100 and "
            "1e100, so that variances can be computed. Rescale X."
        )


def class_means(X, codes, n_classes, weight=None):
    """Count, mean (K, d) and total squares (d,) of classes, and largest features."""
    device = X.device
    index = torch.as_tensor(codes, device=device)
    if weight is not None:
        weight = torch.as_tensor(weight, device=device, dtype=torch.float64)[:, None]
    middle = next(row_blocks(X)).double().mean(0)  # some point near all of them

    def work(begin, end):
        sums = middle.new_zeros((n_classes, X.shape[1]))
        squares, largest = torch.zeros_like(middle), torch.zeros_like(middle)
        for rows in row_blocks(X[begin:end]):
            piece = slice(begin, begin + len(rows))
            torch.maximum(
                largest, torch.maximum(rows.amax(0), -rows.amin(0)), out=largest
            )
            apart = rows.double() - middle
            if weight is None:
                sums.index_add_(0, index[piece], apart)
                squares += apart.square_().sum(0)
            else:
                sums.index_add_(0, index[piece], apart * weight[piece])
                squares += (apart.square_() * weight[piece]).sum(0)
            begin += len(rows)
        return sums, squares, largest

    sums, squares, largest = zip(*in_threads(work, len(X), X.numel()), strict=True)
    count = np.bincount(
        codes, None if weight is None else weight[:, 0].cpu(), n_classes
    )
    sums, squares = sum(sums).cpu().numpy(), sum(squares).cpu().numpy()
    largest = torch.stack(largest).amax(0).cpu().numpy()
    refuse_out_of_range(largest)
    means = sums / np.where(count > 0, count, 1)[:, None]
    squares = squares - count.sum() * (sums.sum(0) / count.sum()) ** 2
    return count, means + middle.cpu().numpy(), squares.clip(0), largest


def inverse_scale_of(spread, largest, eps):
    """One over the root mean square of all features; 0 for those that are constant."""
    informative = spread > 10 * eps * largest
    inverse = np.zeros(len(spread))
    if informative.any():
        mean_square = np.square(spread[informative]).sum() / len(spread)
        inverse[informative] = 1 / np.sqrt(mean_square)
    return inverse


def residuals(X, centres, inverse_scale, dtype, codes=None, order=None):
    """Rows (in some order) minus their centre, scaled; the farthest moved in."""
    n_rows = len(X) if order is None else len(order)
    result = torch.empty((n_rows, X.shape[1]), dtype=dtype, device=X.device)
    centres = np.atleast_2d(centres)
    # in the precision of X, what is near all rows is subtracted without rounding
    near = torch.as_tensor(centres.mean(0), device=X.device).to(X.dtype)
    apart = (centres - near.double().cpu().numpy()) * inverse_scale
    codes = torch.zeros(n_rows, dtype=torch.long) if codes is None else codes
    codes = torch.as_tensor(codes, device=X.device)

    def centred(rows, own, dtype):
        near_, scale, apart_ = (
            torch.as_tensor(values, device=X.device).to(dtype)
            for values in (near, inverse_scale, apart)
        )
        block = torch.sub(rows.to(dtype), near_).mul_(scale)
        block -= apart_ if len(apart) == 1 else apart_.index_select(0, own)
        return block, torch.maximum(block.amax(0), -block.amin(0)).amax()

    def fill(begin, end):
        rows_of = None if order is None else order[begin:end]
        for rows in row_blocks(X[begin:end] if order is None else X, rows_of):
            stop = begin + len(rows)
            block, extent = centred(rows, codes[begin:stop], X.dtype)
            if not extent.isfinite():
                block, extent = centred(rows, codes[begin:stop], torch.float64)
            if extent > _FARTHEST:
                farthest = torch.maximum(block.amax(1), -block.amin(1)) / _FARTHEST
                block /= farthest.clamp_min_(1)[:, None]
            result[begin:stop] = block
            begin = stop

    in_threads(fill, n_rows, result.numel())
    return result


def project(directions, X, out):
    """Project on some slices, ``directions @ X.T`` of shape (S, n), in given memory."""
    on_host = X.device.type == "cpu"
    if on_host:
        left, right, result = directions.numpy(), X.numpy(), out.numpy()

    def work(begin, end):
        if on_host:
            np.matmul(left, right[begin:end].T, out=result[:, begin:end])
        else:
            torch.mm(directions, X[begin:end].T, out=out[:, begin:end])

    in_threads(work, len(X), len(directions) * X.numel())
    return out


def content_keys(X):
    """A pseudo-random number for each row, by its bits alone: nothing is rounded."""
    factors = np.random.default_rng(0).integers(2**62, size=X.shape[1]) * 2 + 1
    if issparse(X):  # zeros count for nothing
        values = _mixed(torch.from_numpy(X.data.astype(float))).numpy()
        ends = np.append(0, np.cumsum(values * factors[X.indices]))
        keys = ends[X.indptr[1:]] - ends[X.indptr[:-1]]
    else:
        X = as_tensor(X)
        factors = torch.as_tensor(factors, device=X.device)

        def work(begin, end):
            blocks = row_blocks(X[begin:end])
            return torch.cat([(_mixed(rows) * factors).sum(1) for rows in blocks])

        keys = torch.cat(in_threads(work, len(X), X.numel())).cpu().numpy()
    keys = keys.view(np.uint64)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _mixed(values):
    bits = (values.double() + 0.0).contiguous().view(torch.int64)  # no minus 0
    return bits ^ (bits >> 32)
