"""Scores of logits, traces and ranks against loops, scikit-learn and gradients."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from smilearn.baselines import logit_scores, rank_mean, trace_scores
from smilearn.exceptions import InvalidInputError

KINDS = ("loss", "margin", "el2n", "entropy", "grand")
TRACES = ("aum", "cumulative_loss", "forgetting", "loss_iqr")


def drawn(seed, n=40, n_classes=4):
    rng = np.random.default_rng(seed)
    return 3 * rng.normal(size=(n, n_classes)), rng.permutation(np.arange(n) % 4)


def slow(row, code, kind):
    """One sample at a time, from the definitions."""
    p = np.exp(row) / np.exp(row).sum()
    if kind == "loss":
        return np.log(p[code])
    if kind == "margin":
        return row[code] - max(v for c, v in enumerate(row) if c != code)
    if kind == "el2n":
        return -np.linalg.norm(p - np.eye(len(row))[code])
    return sum(v * np.log(v) for v in p)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_each_kind_is_its_definition(kind, seed):
    logits, y = drawn(seed)
    expected = [slow(row, code, kind) for row, code in zip(logits, y, strict=True)]
    np.testing.assert_allclose(logit_scores(logits, y, kind=kind), expected)


def test_grand_is_the_norm_of_the_gradient_of_the_last_layer():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    features, y = rng.normal(size=(12, 5)), np.arange(12) % 3
    layer = torch.nn.Linear(5, 3).double()
    norms = []
    for x, label in zip(torch.as_tensor(features), torch.as_tensor(y), strict=True):
        loss = torch.nn.functional.cross_entropy(layer(x), label)
        gradients = torch.autograd.grad(loss, layer.parameters())
        norms.append(sum((g**2).sum() for g in gradients).sqrt().item())
    logits = layer(torch.as_tensor(features)).detach().numpy()
    scores = logit_scores(logits, y, kind="grand", features=features)
    np.testing.assert_allclose(scores, -np.array(norms))


@pytest.mark.parametrize("kind", KINDS[:4])
def test_one_column_is_that_of_two_classes(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = np.where(X[:, 0] + rng.normal(size=60) > 0, "yes", "no")
    model = LogisticRegression().fit(X, y)
    scores = logit_scores(model.decision_function(X), y, kind=kind)
    both = logit_scores(model.predict_log_proba(X), y, kind=kind)
    np.testing.assert_allclose(scores, both, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_logits_far_apart_neither_overflow_nor_tie(kind):
    logits = np.array([[0.0, 900.0], [0.0, 901.0], [900.0, 0.0], [901.0, 0.0]])
    scores = logit_scores(logits, [0, 0, 0, 0], kind=kind, classes=[0, 1])
    assert np.isfinite(scores).all()
    if kind in ("loss", "margin"):
        assert scores[1] < scores[0] < scores[2:].min()
    near = logit_scores([[40.0, 0.0], [50.0, 0.0]], [0, 0], kind="el2n", classes=[0, 1])
    assert near[0] < near[1] < 0  # confident errors are not rounded away


def test_labels_find_their_columns():
    logits = [[3.0, 0.0, 1.0], [0.0, 1.0, 5.0]]

    def margins(y, classes=None):
        return logit_scores(logits, y, kind="margin", classes=classes).tolist()

    assert margins([2, 2]) == [-2, 4]  # numbers of columns
    assert margins(["c", "c"], ["a", "b", "c"]) == [-2, 4]
    assert margins(["c", "c"], ["c", "b", "a"]) == [2, -5]
    assert margins([10, 10], [30, 20, 10]) == [-2, 4]
    two = [[3.0, 0.0], [0.0, 1.0]]
    assert logit_scores(two, [5, 9], kind="margin").tolist() == [3, 1]


@pytest.mark.parametrize(
    ("y", "classes", "message"),
    [
        (["a", "c"], None, r"no column of the logits: \['a', 'c'\]"),
        ([0, 3], None, r"no column of the logits: \[3\]"),
        ([0, 1], ["a", "b", "c"], "no column"),
        (["a", "b"], ["a", "b"], "each of the 3 columns"),
        (["a", "b"], ["a", "b", "b"], "each of the 3 columns"),
    ],
)
def test_labels_without_a_column_are_refused(y, classes, message):
    with pytest.raises(InvalidInputError, match=message):
        logit_scores(np.zeros((2, 3)), y, classes=classes)


def test_what_is_no_table_of_logits_is_refused():
    with pytest.raises(InvalidInputError, match=r"kind must be one of loss, .*; got x"):
        logit_scores([[0.0, 1.0]], [1], kind="x", classes=[0, 1])
    with pytest.raises(InvalidInputError, match="needs features"):
        logit_scores([[0.0, 1.0]], [1], kind="grand", classes=[0, 1])
    with pytest.raises(InvalidInputError, match="2 classes or more"):
        logit_scores([[0.0], [1.0]], [0, 0])
    with pytest.raises(ValueError, match="NaN"):
        logit_scores([[0.0, np.nan]], [1], classes=[0, 1])
    with pytest.raises(ValueError, match="inconsistent"):
        logit_scores(np.zeros((3, 2)), [0, 1])


THREE = np.array([[5.0, 1.0, 0.0], [0.0, 5.0, 1.0], [1.0, 0.0, 5.0]])


@pytest.mark.parametrize("y", [[1, 2, 3], [2, 0, -1], [1.0, 2.0, 3.0], [1, 2, 7]])
def test_labels_that_can_be_read_both_ways_ask_for_classes(y):
    with pytest.raises(InvalidInputError, match=r"may be column .* Say by classes="):
        logit_scores(THREE, y)
    scores = logit_scores(THREE, y, classes=sorted(y))
    assert (scores == logit_scores(THREE, np.argsort(np.argsort(y)))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_with_gradients_and_in_half_precision(kind):
    torch = pytest.importorskip("torch")
    logits, y = drawn(3)
    features = np.random.default_rng(0).normal(size=(len(y), 3))
    expected = logit_scores(logits, y, kind=kind, features=features)

    def scores(dtype):
        table, inputs = (
            torch.tensor(a, dtype=dtype, requires_grad=True) for a in (logits, features)
        )
        labels, names = torch.tensor(y), torch.arange(4)
        return logit_scores(table, labels, kind=kind, features=inputs, classes=names)

    np.testing.assert_allclose(scores(torch.float64), expected)
    np.testing.assert_allclose(scores(torch.bfloat16), expected, rtol=0.05, atol=0.1)


def run_of(seed, n_epochs=6, n=20, n_classes=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_epochs, n, n_classes)), np.arange(n) % n_classes


def slow_trace(margins, losses, kind):
    """One sample at a time: its margin and loss at each epoch."""
    if kind == "aum":
        return np.mean(margins)
    if kind == "cumulative_loss":
        return -sum(losses)
    if kind == "loss_iqr":
        return np.quantile(losses, 0.25) - np.quantile(losses, 0.75)
    if max(margins) <= 0:
        return -len(margins)
    return -sum(before > 0 >= after for before, after in pairwise(margins))


@pytest.mark.parametrize("kind", TRACES)
def test_each_trace_is_its_definition(kind, seed):
    logits, y = run_of(seed)
    margins = [logit_scores(table, y, kind="margin") for table in logits]
    losses = [-logit_scores(table, y) for table in logits]
    by_sample = zip(np.transpose(margins), np.transpose(losses), strict=True)
    expected = [slow_trace(*sample, kind) for sample in by_sample]
    np.testing.assert_allclose(trace_scores(logits, y, kind=kind), expected)
    recorded = margins if kind in ("aum", "forgetting") else losses
    np.testing.assert_allclose(trace_scores(recorded, kind=kind), expected)


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


def test_rank_mean_by_hand():
    assert rank_mean([5, 1, 3], [0.1, 0.2, 0.2]).tolist() == pytest.approx(
        [4 / 6, 3.5 / 6, 4.5 / 6]
    )
    scores = np.random.default_rng(0).normal(size=50)
    once, twice = rank_mean(scores, scores), rank_mean(scores, np.exp(scores))
    assert (once == twice).all()
    assert (np.argsort(once) == np.argsort(scores)).all()


def test_rank_mean_refuses_one_score_nan_and_other_lengths():
    with pytest.raises(InvalidInputError, match="got 1"):
        rank_mean([1.0, 2.0])
    with pytest.raises(ValueError, match="NaN"):
        rank_mean([1.0, np.nan], [1.0, 2.0])
    with pytest.raises(ValueError, match="inconsistent"):
        rank_mean([1.0, 2.0], [1.0, 2.0, 3.0])
