"""Scores from a training history against loops, and on traces made by hand."""

from itertools import pairwise

import numpy as np
import pytest

from smilearn.baselines import logit_scores, trace_scores
from smilearn.exceptions import InvalidInputError


def run_of(seed, n_epochs=6, n=20, n_classes=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_epochs, n, n_classes)), np.arange(n) % n_classes


def slow(logits, y, kind):
    epochs = [
        (logit_scores(table, y, kind="margin"), -logit_scores(table, y))
        for table in logits
    ]
    scores = []
    for i in range(len(y)):
        margins, losses = (
            [epoch[k][i] for epoch in epochs] for k in (0, 1)
        )  # one a epoch
        if kind == "aum":
            scores.append(np.mean(margins))
        elif kind == "cumulative_loss":
            scores.append(-sum(losses))
        elif kind == "forgetting":
            pairs = list(pairwise(margins))
            events = sum(before > 0 >= after for before, after in pairs)
            never = max(margins) <= 0
            scores.append(-(len(margins) if never else events))
        else:
            scores.append(np.quantile(losses, 0.25) - np.quantile(losses, 0.75))
    return scores


@pytest.mark.parametrize("kind", ["aum", "cumulative_loss", "forgetting", "loss_iqr"])
def test_each_kind_is_its_definition(kind, seed):
    logits, y = run_of(seed)
    scores = trace_scores(logits, y, kind=kind)
    np.testing.assert_allclose(scores, slow(logits, y, kind))


@pytest.mark.parametrize("kind", ["cumulative_loss", "loss_iqr"])
def test_losses_stand_for_logits(kind):
    logits, y = run_of(1)
    losses = [-logit_scores(table, y) for table in logits]
    expected = trace_scores(logits, y, kind=kind)
    np.testing.assert_allclose(trace_scores(losses, kind=kind), expected)


@pytest.mark.parametrize("kind", ["aum", "forgetting"])
def test_margins_stand_for_logits(kind):
    logits, y = run_of(2)
    margins = [logit_scores(table, y, kind="margin") for table in logits]
    expected = trace_scores(logits, y, kind=kind)
    np.testing.assert_allclose(trace_scores(margins, kind=kind), expected)


def test_forgetting_by_hand():
    right = np.array([[1, 0, 0, 1], [1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0]], bool)
    assert trace_scores(right, kind="forgetting").tolist() == [0, -1, -4, -2]


def test_labels_find_their_columns():
    logits, y = run_of(3)
    names = np.array(["x", "y", "z"])
    scores = trace_scores(logits, names[y])
    assert (scores == trace_scores(logits, y)).all()
    flipped = trace_scores(logits[..., ::-1], names[y], classes=["z", "y", "x"])
    assert (flipped == scores).all()


def test_what_is_no_history_is_refused():
    with pytest.raises(InvalidInputError, match="kind must be one of aum"):
        trace_scores([[1.0]], kind="loss")
    with pytest.raises(InvalidInputError, match=r"together with y; got \(2, 3, 4\)"):
        trace_scores(np.zeros((2, 3, 4)))
    with pytest.raises(InvalidInputError, match="3 dimensions"):
        trace_scores(np.zeros(3), [0, 1, 1])
    with pytest.raises(ValueError, match="NaN"):
        trace_scores([[np.nan, 1.0]])
    with pytest.raises(ValueError, match="inconsistent"):
        trace_scores(np.zeros((2, 3, 2)), [0, 1])


@pytest.mark.parametrize("kind", ["aum", "cumulative_loss", "forgetting", "loss_iqr"])
def test_two_dimensions_and_labels_are_refused(kind):
    losses, y = np.random.default_rng(0).exponential(size=(5, 6)), [0, 1, 0, 1, 0, 1]
    with pytest.raises(InvalidInputError, match=r"leave out y.*np\.stack.*-1"):
        trace_scores(losses, y, kind=kind)
    both = np.stack([np.zeros_like(losses), losses], -1)  # as the error says
    scores = [logit_scores(z, y, kind="margin") for z in losses]
    if kind == "aum":
        np.testing.assert_allclose(trace_scores(both, y), np.mean(scores, axis=0))


def test_an_epoch_may_be_a_tensor_with_a_gradient():
    torch = pytest.importorskip("torch")
    logits, y = run_of(4)
    epochs = [torch.tensor(table, requires_grad=True) for table in logits]
    assert (trace_scores(epochs, torch.tensor(y)) == trace_scores(logits, y)).all()
    halves = [torch.tensor([0.5, 2.0], dtype=torch.bfloat16, requires_grad=True)]
    assert trace_scores(halves, kind="cumulative_loss").tolist() == [-0.5, -2.0]
