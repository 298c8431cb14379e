"""One layer of several, as a parameter to search over."""

from numbers import Integral
from typing import ClassVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from smilearn.exceptions import InvalidInputError
from smilearn.utils._documentation import Documented
from smilearn.utils._sklearn_compat import fit_context


class LayerSelector(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, Documented, BaseEstimator
):
    """Take one layer of the hidden states of several.

    Behind ``HiddenStateEmbedder(layer="all")`` it makes the layer a parameter that
    ``GridSearchCV`` can search over. In a pipeline the model then runs again for each
    candidate and fold, unless the embedder has a `cache_folder` (the `memory` of a
    pipeline spares only the texts that are fitted). Or embed the texts once and search
    over what comes behind.

    Parameters
    ----------
    layer : int, default=-1
        Index of the layer along axis 1. With every layer there, 0 is the embeddings
        and -1 the last.

    Attributes
    ----------
    n_layers_ : int
        Layers there are.

    n_features_out_ : int
        Length of an embedding.

    Examples
    --------
    >>> import numpy as np
    >>> from smilearn import LayerSelector
    >>> states = np.arange(24.0).reshape(2, 3, 4)  # 2 texts, 3 layers, 4 features
    >>> LayerSelector(layer=0).fit_transform(states)
    array([[ 0.,  1.,  2.,  3.],
           [12., 13., 14., 15.]])
    """

    _parameter_constraints: ClassVar[dict] = {"layer": [Integral]}

    def __init__(self, layer=-1):
        self.layer = layer

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check that there is such a layer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_layers, n_features)
            Hidden states.

        y : object, default=None
            Ignored.

        Returns
        -------
        self : LayerSelector
            The selector.

        Raises
        ------
        InvalidInputError
            If `X` has another number of dimensions, or no such layer.
        """
        _, self.n_layers_, self.n_features_out_ = _checked(X).shape
        self._layer = self.layer
        self._n_features_out = self.n_features_out_
        if not -self.n_layers_ <= self.layer < self.n_layers_:
            raise InvalidInputError(
                f"layer={self.layer} is not to be had: X has {self.n_layers_} layers, "
                f"0 to {self.n_layers_ - 1}, or -1 to {-self.n_layers_}."
            )
        return self

    def transform(self, X):
        """Take the layer.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_layers, n_features)
            Hidden states.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Hidden states of the layer, in memory.

        Raises
        ------
        InvalidInputError
            If `X` has other layers or features than in :meth:`fit`.
        """
        check_is_fitted(self, "n_layers_")
        X = _checked(X)
        if X.shape[1:] != (self.n_layers_, self.n_features_out_):
            raise InvalidInputError(
                f"X must have {self.n_layers_} layers of {self.n_features_out_} "
                f"features, as in fit; got shape {X.shape}."
            )
        return np.array(X[:, self._layer])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags


def _checked(X):
    X = np.asarray(X)
    if X.ndim != 3:
        raise InvalidInputError(
            "X must be of shape (n_samples, n_layers, n_features), as "
            f'HiddenStateEmbedder(layer="all") gives it; got shape {X.shape}.'
        )
    return X
