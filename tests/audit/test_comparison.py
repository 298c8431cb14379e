"""Tables of scorers compared with the truth of an audit."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn import RiskTable, SlicedMIScorer, compare_scorers, metrics
from smilearn.baselines import LDAScorer
from smilearn.exceptions import InvalidInputError

KINDS = ["auc", "fpr_at_tpr_0.75", "tpr_at_fpr_0.01", "precision_in_top_0.1"]


def audit(seed, n=400):
    """A truth, and scores that follow it more and less closely."""
    rng = np.random.default_rng(seed)
    lira = rng.normal(size=n)
    noise = rng.normal(size=(3, n))
    scores = {
        "loss": -lira + 1.5 * noise[0],
        "near": -lira + 0.3 * noise[1],
        "random": noise[2],
    }
    return scores, lira


def cells(table, scorer, *columns):
    rows = table["scorer"] == scorer
    return [table[column][rows] for column in columns]


def test_values_are_the_metrics():
    scores, lira = audit(0)
    memorized = lira >= np.sort(lira)[-40]
    table = compare_scorers(scores, lira=lira, n_bootstrap=5, random_state=0)
    assert len(table) == 15
    for name, given in scores.items():
        (found,) = cells(table, name, "value")
        assert found.tolist() == [
            metrics.auc(memorized, -given),
            metrics.fpr_at_tpr(memorized, -given, 0.75),
            metrics.tpr_at_fpr(memorized, -given, 0.01),
            metrics.precision_at_k(memorized, -given, 40),
            metrics.rank_correlation(lira, -given),
        ]


def test_what_is_better_and_worse_is_marked(seed):
    scores, lira = audit(seed)
    table = compare_scorers(scores, lira=lira, random_state=0)
    (near,) = cells(table, "near", "verdict")
    (noise,) = cells(table, "random", "verdict")
    assert near.tolist() == ["better"] * 5
    assert noise[[0, 1, 4]].tolist() == ["worse"] * 3
    better = table["metric"] == "fpr_at_tpr_0.75"
    assert table["difference"][better & (table["scorer"] == "near")] < 0


def test_differences_are_paired():
    scores, lira = audit(2)
    loss = scores["loss"]
    scores = {"loss": loss, "again": loss.copy(), "close": loss + 1e-6 * lira}
    table = compare_scorers(scores, lira=lira, random_state=0)
    for name in ("difference", "difference_low", "difference_high"):
        assert (cells(table, "again", name)[0] == 0).all()
    assert set(cells(table, "again", "verdict")[0]) == {"even"}
    low, high, own_low, own_high = cells(
        table, "close", "difference_low", "difference_high", "low", "high"
    )
    assert high[0] - low[0] < 0.01 * (own_high[0] - own_low[0])


def test_intervals_cover_the_truth_as_often_as_they_say():
    apart, hits, n_runs = 1.0, 0, 100
    truth = norm.cdf(apart / np.sqrt(2))
    rng = np.random.default_rng(0)
    memorized = np.arange(300) < 40
    for run in range(n_runs):
        scores = {"loss": -rng.normal(size=300) - apart * memorized}
        table = compare_scorers(scores, memorized, n_bootstrap=200, random_state=run)
        hits += table["low"][0] <= truth <= table["high"][0]
    assert 0.89 <= hits / n_runs <= 0.99


def test_the_seed_makes_the_table_and_blocks_do_not(monkeypatch):
    scores, lira = audit(4)
    one = compare_scorers(scores, lira=lira, n_bootstrap=50, random_state=3)
    again = compare_scorers(scores, lira=lira, n_bootstrap=50, random_state=3)
    other = compare_scorers(scores, lira=lira, n_bootstrap=50, random_state=4)
    assert (one["low"] == again["low"]).all()
    assert (one["low"] != other["low"]).any()
    monkeypatch.setattr("smilearn.audit._bootstrap._CELLS", 1000)
    small = compare_scorers(scores, lira=lira, n_bootstrap=500, random_state=3)
    whole = compare_scorers(scores, lira=lira, n_bootstrap=500, random_state=5)
    np.testing.assert_allclose(small["low"], whole["low"], atol=0.05)


def test_scorers_in_every_form():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 60)
    X = rng.normal(size=(120, 4)) + 2 * y[:, None]
    wrong = np.arange(120) % 20 == 0
    y = np.where(wrong, 1 - y, y)
    fitted = SlicedMIScorer(32, pooled=False, random_state=0).fit(X, y)
    expected = fitted.scores_
    scorers = {
        "array": expected,
        "list": expected.tolist(),
        "fitted": fitted,
        "table": fitted.to_table(X),
        "call": lambda X, y: SlicedMIScorer(**fitted.get_params()).fit(X, y).scores_,
        "unfitted": SlicedMIScorer(**fitted.get_params()),
        "pipeline": make_pipeline(StandardScaler(with_std=False), fitted),
        "other": LDAScorer(),
    }
    table = compare_scorers(scorers, wrong, X=X, y=y, reference="array", n_bootstrap=20)
    for name in list(scorers)[1:-2]:
        assert (cells(table, name, "difference")[0] == 0).all(), name
    assert isinstance(scorers["table"], RiskTable)
    assert not hasattr(scorers["other"], "scores_")  # the user's own stays as it was


def test_it_reads_as_one_row_a_scorer():
    scores, lira = audit(6)
    scores["<b>bold</b>"] = scores["near"]
    scores |= {f"other {k}": scores["random"] for k in range(12)}
    table = compare_scorers(scores, lira=lira, n_bootstrap=100, random_state=0)
    lines = repr(table).splitlines()
    assert len(lines) == len(scores) + 2  # all of them, a header and a legend
    assert lines[0].split() == ["scorer", *KINDS, "rank_correlation"]
    assert lines[2].startswith("near")
    assert lines[2].count("] +") == 5
    assert "better, - worse than loss" in lines[-1]
    html = table._repr_html_()
    assert html.count("<tr>") == len(scores) + 1
    assert "<b>bold</b>" not in html
    assert "&lt;b&gt;bold" in html
    assert "95 % interval over samples" in html


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_and_not_dropped(value):
    scores, lira = audit(8)
    scores["near"][5] = value
    with pytest.raises(InvalidInputError, match="'near' must be finite; 1 of 400"):
        compare_scorers(scores, lira=lira)
    lira = np.append(lira[1:], value)
    with pytest.raises(InvalidInputError, match=r"lira must be finite.*row 399"):
        compare_scorers({"loss": scores["loss"]}, lira=lira)
    with pytest.raises(InvalidInputError, match=r"by truth\(models\) must be finite"):
        compare_scorers(
            {"loss": scores["loss"]},
            lira=np.arange(400),
            truth=lambda models: lira,
            n_models=4,
        )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"memorized": None}, "audit, memorized or lira"),
        ({"memorized": [0, 0, 0, 0]}, "got 0 memorized ones of 4"),
        ({"memorized": [1, 1, 1, 1]}, "got 4 memorized ones of 4"),
        ({"memorized": [2, 0, 0, 1]}, "memorized must be 0 or 1"),
        ({"memorized": [1, 0, 0]}, "one for each of the 3 samples; got 4"),
        ({"lira": [1.0, 2.0]}, "of one length; got 4 and 2"),
        ({"memorized": None, "lira": [1, 2, 3, 4], "share": 1.5}, "share must be"),
        ({"reference": "psmi"}, "must be one of the scorers"),
        ({"n_bootstrap": 0}, "n_bootstrap of 1 or more"),
        ({"truth": lambda models: [1, 2, 3, 4]}, "needs n_models"),
        ({"truth": lambda models: [1, 2, 3, 4], "n_models": 3}, "4 or more"),
        (
            {"lira": [1, 2, 3, 4], "truth": lambda models: [1, 2, 3], "n_models": 4},
            "each of the 4 samples; got 3",
        ),
        ({"scorers": {"loss": LDAScorer()}}, "'loss' has no scores yet"),
        (
            {
                "scorers": {"loss": LogisticRegression()},
                "X": np.eye(4),
                "y": [0, 1, 0, 1],
            },
            "'loss' must have scores_ after fit",
        ),
    ],
)
def test_mistakes_are_told(given, told):
    sound = {"scorers": {"loss": [1.0, 2.0, 3.0, 0.5]}, "memorized": [1, 0, 0, 1]}
    with pytest.raises(InvalidInputError, match=told):
        compare_scorers(**(sound | given))
