"""Who is IN which model: counts in balance, the rest left to chance."""

import numpy as np
import pytest

from smilearn.audit._shadow_models import (
    balanced_masks,
    check_classes_seen,
    models_a_sample,
)
from smilearn.exceptions import InvalidInputError

CODES = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [41, 17, 5]))
DESIGNS = [(2, 1), (4, 2), (8, 4), (64, 32), (5, 2), (9, 3), (8, 6), (7, 1)]


@pytest.mark.parametrize(("n_shadow", "n_in"), DESIGNS)
def test_samples_models_and_classes_are_in_balance(n_shadow, n_in, seed):
    rng = np.random.default_rng(seed)
    masks = balanced_masks(CODES, n_shadow, n_in, rng)
    assert masks.shape == (n_shadow, len(CODES))
    assert (masks.sum(0) == n_in).all()
    assert np.ptp(masks.sum(1)) <= 1
    for code in range(3):
        ideal = (code == CODES).sum() * n_in / n_shadow
        assert np.abs(masks[:, code == CODES].sum(1) - ideal).max() < 1


def test_pairs_of_samples_and_of_models_are_left_to_chance():
    """In a uniform draw two samples share 4 * 3 / 7 of 8 models, on average."""
    rng = np.random.default_rng(0)
    codes = np.zeros(12, int)
    shared, both = np.zeros((12, 12)), np.zeros((8, 8))
    for _ in range(2000):
        masks = balanced_masks(codes, 8, 4, rng).astype(float)
        shared += masks.T @ masks / 2000
        both += masks @ masks.T / 2000
    apart = ~np.eye(12, dtype=bool)
    # all pairs alike: a sample shares 4 * (6 - 1) places with the 11 others
    assert np.abs(shared[apart] - 20 / 11).max() < 0.08
    assert np.abs(both[~np.eye(8, dtype=bool)] - 12 * 3 / 7 / 2).max() < 0.15


def test_the_same_seed_gives_the_same_design():
    one, again, other = (
        balanced_masks(CODES, 8, 4, np.random.default_rng(s)) for s in (0, 0, 1)
    )
    assert (one == again).all()
    assert (one != other).any()


@pytest.mark.parametrize(
    ("n_shadow", "share", "n_in"), [(64, 0.5, 32), (10, 0.3, 3), (3, 1 / 3, 1)]
)
def test_models_a_sample(n_shadow, share, n_in):
    assert models_a_sample(n_shadow, share) == n_in


@pytest.mark.parametrize(
    ("n_shadow", "share", "advice"),
    [(7, 0.5, "of 2"), (8, 0.3, "of 10"), (4, 0.01, "of 100")],
)
def test_models_a_sample_must_be_whole(n_shadow, share, advice):
    with pytest.raises(InvalidInputError, match=f"a multiple {advice}"):
        models_a_sample(n_shadow, share)


def test_a_class_that_some_models_do_not_see():
    codes = np.append(CODES, 3)
    masks = balanced_masks(codes, 8, 4, np.random.default_rng(0))
    names = np.array(["a", "b", "c", "lonely"])
    with pytest.raises(InvalidInputError, match=r"'lonely'.* 1 samples and 4 of 8"):
        check_classes_seen(masks, codes, names)
    check_classes_seen(masks[:, :-1], CODES, names[:3])
