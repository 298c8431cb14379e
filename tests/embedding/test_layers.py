"""One layer of several."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from smilearn import LayerSelector
from smilearn.exceptions import InvalidInputError

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize("layer", [0, 2, -1, -3])
def test_the_layer_is_taken(layer):
    selector = LayerSelector(layer)
    rows = selector.fit_transform(X)
    np.testing.assert_array_equal(rows, [X[0][layer], X[1][layer]])
    assert rows.dtype == np.float32
    assert (selector.n_layers_, selector.n_features_out_) == (3, 4)
    assert selector.get_feature_names_out().tolist()[-1] == "layerselector3"
    assert selector.transform(X[:0]).shape == (0, 4)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there(layer):
    with pytest.raises(
        InvalidInputError, match=f"layer={layer} .* 0 to 2, or -1 to -3"
    ):
        LayerSelector(layer).fit(X)


def test_other_shapes_are_refused():
    selector = LayerSelector().fit(X)
    with pytest.raises(InvalidInputError, match=r"n_layers, n_features.* \(2, 4\)"):
        selector.fit(X[:, 0])
    with pytest.raises(InvalidInputError, match="must have 3 layers of 4 features"):
        selector.transform(X[:, :2])
    with pytest.raises(NotFittedError):
        clone(selector).transform(X)
    with pytest.raises(ValueError, match="'layer' parameter of LayerSelector"):
        LayerSelector("all").fit(X)
