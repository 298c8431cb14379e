"""Pooling, on numbers that can be read off."""

import pytest
import torch

from smilearn.embedding._pooling import mask_of_head, pool
from smilearn.exceptions import InvalidInputError

HIDDEN = torch.tensor([[[1.0, 9], [3, 5], [8, 8]], [[2, 2], [4, 0], [6, 4]]])
RIGHT = torch.tensor([[1, 1, 0], [1, 1, 1]])
LEFT = torch.tensor([[0, 1, 1], [1, 1, 1]])


@pytest.mark.parametrize(
    ("pooling", "mask", "rows"),
    [
        ("mean", RIGHT, [[2, 7], [4, 2]]),
        ("cls", RIGHT, [[1, 9], [2, 2]]),
        ("last", RIGHT, [[3, 5], [6, 4]]),
        ("last", LEFT, [[8, 8], [6, 4]]),
        (lambda hidden, mask: hidden[:, 1], RIGHT, [[3, 5], [4, 0]]),
    ],
)
def test_rows(pooling, mask, rows):
    assert pool(pooling, HIDDEN, mask).tolist() == rows


def test_means_of_halves_are_taken_in_float32():
    hidden = torch.full((1, 3000, 1), 1.001, dtype=torch.bfloat16)
    hidden[0, 0] = 100
    pooled = pool("mean", hidden, torch.ones(1, 3000))
    assert pooled.dtype == torch.float32
    assert pooled.item() == pytest.approx((2999 + 100) / 3000, rel=1e-6)


@pytest.mark.parametrize("given", [HIDDEN[:1, 0], HIDDEN, None, [[1.0, 2.0]]])
def test_a_callable_gives_one_vector_a_text(given):
    with pytest.raises(InvalidInputError, match=r"into a tensor .n_texts, n_features"):
        pool(lambda hidden, mask: given, HIDDEN, RIGHT)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_head_passes_over_the_pad_token_wherever_it_stands(side):
    tokens = torch.tensor([[5, 9, 6, 9], [9, 9, 9, 9], [5, 6, 7, 8], [5, 6, 7, 9]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    if side == "left":
        tokens[2], mask[2] = tokens[2].roll(1), mask[2].flip(0)
    last = []
    for row, real in zip(tokens, mask, strict=True):
        kept = [i for i in range(4) if real[i] and row[i] != 9]
        last.append(kept[-1] if kept else 0)
    places = torch.arange(4.0).expand(4, 4)[..., None]
    for kind in (torch.int64, torch.bool):
        read = mask_of_head(tokens, mask.to(kind), 9)
        assert read.dtype == kind
        assert pool("last", places, read)[:, 0].tolist() == last
    assert last[:2] == [2, 0]
    assert mask_of_head(tokens, mask, None) is mask


def test_a_text_of_no_token_has_a_mean_that_is_a_number():
    assert pool("mean", torch.ones(1, 3, 2), torch.zeros(1, 3)).tolist() == [[0, 0]]
