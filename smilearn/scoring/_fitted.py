"""How a fitted scorer gets from samples to scores."""

import warnings

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data

from smilearn.exceptions import InvalidInputError, LowSupportWarning
from smilearn.scoring._engine import score_new
from smilearn.scoring._maps import joint_table
from smilearn.scoring._mixture import mixed, mixed_errors
from smilearn.scoring._moments import ClassMoments
from smilearn.scoring._reader import Settings
from smilearn.scoring._reliability import SliceTally
from smilearn.scoring._samples import SparsePoints
from smilearn.scoring._standardize import standardize
from smilearn.utils._devices import resolve_device, working_on
from smilearn.utils._indexing import as_tensor
from smilearn.utils._validation import (
    checked_labels,
    checked_tensor,
    is_tensor,
    read_column,
    with_number_type,
)
from smilearn.utils._weights import checked_weights


class FittedSlices:
    """The workings of a scorer whose slices are fitted; expects its attributes."""

    def _settings(self):
        size = None if self.block_size == "auto" else self.block_size
        device = resolve_device(self.device)
        dtype = "float32" if device.type == "mps" else self.dtype_
        return Settings(self.density, device, dtype, size)

    def _validated(self, X, *y, reset=False, least=None, sparse=True):
        """Check X, or X and y, by scikit-learn's rules; X floating."""
        X, *y = map(read_column, (X, *y))
        least = least or (2 if reset else 1)
        if is_tensor(X):
            X = checked_tensor(self, X, reset=reset, least=least)
            return (X, checked_labels(*y, X)) if y else X
        if hasattr(X, "iloc") and hasattr(X, "sparse"):
            X = X.sparse.to_dense()  # few columns: no family need be left out
        X, dtype = with_number_type(X)
        options = {"dtype": dtype, "ensure_min_samples": least}
        sparse = "csr" if sparse else False
        y = [labels.cpu() if is_tensor(labels) else labels for labels in y]
        checked = validate_data(
            self, X, *y, reset=reset, accept_sparse=sparse, **options
        )
        X = checked[0] if y else checked
        if issparse(X) and not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        return (X, checked[1]) if y else X

    def _encode(self, y):
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        unknown = np.unique(y[self.classes_[codes] != y])
        if len(unknown):
            raise InvalidInputError(
                f"y holds labels that were not seen in fit: {unknown[:5].tolist()}. "
                f"Known labels: {self.classes_[:10].tolist()}."
            )
        return codes

    def _to_compare(self, X, y, sample_weight=None):
        """Samples of known labels, their codes and weights; warn of the others."""
        X, y = self._validated(X, y)
        weight = checked_weights(sample_weight, X)
        known = np.isin(y, self.classes_)
        if known.any() and not known.all():
            warnings.warn(
                f"{(~known).sum()} of {len(y)} samples have labels that were not seen "
                "in fit; they are left out of the label contrast.",
                LowSupportWarning,
                stacklevel=3,
            )
            X, y = X[known], y[known]
            weight = weight if weight is None else weight[known]
        return X, self._encode(y), weight

    def _score(self, X, columns, left_out=False):
        settings = self._settings()
        with working_on(settings.device):
            points = self._points(X, settings)
            return self._score_points(points, columns, settings, left_out=left_out)

    def _points(self, X, settings):
        """Standardize samples, (n, d), where the work is done."""
        if issparse(X):
            self._check_takes_sparse()
            return SparsePoints.of(X, self.centre_, self.inverse_scale_, settings)
        points = as_tensor(X, settings.device)
        scale = self.centre_, self.inverse_scale_
        points = standardize(points, *scale, settings.torch_dtype)
        return points.to(settings.device)

    def _scores_and_errors(self, X, codes):
        """Scores of samples that were not fitted, and their standard errors."""
        settings = self._settings()
        with working_on(settings.device):
            return self._measured(self._points(X, settings), codes, settings)

    def _measured(self, points, codes, settings):
        if self.slicing == "adaptive":
            both = {
                name: member._measured(points, codes, settings)
                for name, member in self.members_.items()
            }
            scores, errors = ({n: b[i] for n, b in both.items()} for i in range(2))
            shares = self.weights_, self.member_places_
            return mixed(scores, *shares), mixed_errors(errors, *shares)
        tally = SliceTally(len(points), 1)
        scores = self._score_points(points, [codes], settings, tally)[:, 0]
        if self.slicing == "joint":  # no slices, no error
            return scores, np.zeros(len(scores))
        return scores, tally.standard_error

    def _score_points(self, points, columns, settings, tally=None, left_out=False):
        """Score standardized samples (n, d) under some labels: (n, n_columns)."""
        if self.slicing == "adaptive":
            scores = {
                name: self.members_[name]._score_points(points, columns, settings)
                for name, weight in self.weights_.items()
                if weight > 0
            }
            return mixed(scores, self.weights_, self.member_places_)
        if self.slicing == "joint":
            table = joint_table(self.coef_, self.intercept_, self.class_prior_, points)
            return np.take_along_axis(table, np.stack(columns, 1), 1)
        fitted = *self._slices(), settings
        points = self._mapped(points, settings)
        return score_new(points, columns, *fitted, tally, left_out)

    def _check_takes_sparse(self):
        dense = {"whitened", "discriminant", "joint"}
        if self.slicing in dense or dense & getattr(self, "members_", {}).keys():
            raise InvalidInputError(
                "This scorer was fitted to dense embeddings, whose covariance it uses; "
                "give it X.toarray(), or fit it to a sparse matrix."
            )

    def _mapped(self, points, settings):
        """Standardized samples in the space of the slices."""
        if self.components_ is None:
            return points
        if isinstance(points, SparsePoints):
            return points.mapped(self.components_)
        return points @ settings.tensor(self.components_).T

    def _slices(self):
        """Fitted slices, their moments and their grid sizes."""
        total, n_classes = self.class_count_.sum(), len(self.classes_)
        if total < n_classes:  # only a stream can tell no sooner
            raise InvalidInputError(
                "sample_weight counts copies of a sample, so it must add up to at "
                f"least one a class before samples are scored; got {total:.3g} for "
                f"{n_classes} classes so far. Go on with partial_fit; or multiply "
                "weights that sum to 1 by the number of samples."
            )
        moments = ClassMoments(
            self.class_count_,
            self.slice_means_,
            self.slice_variances_,
            self.slice_reach_,
            *self.slice_range_,
        )
        return self.directions_, moments, self.slice_nodes_
