"""What goes with the samples, where the line is, and where scores come from."""

import pickle

import datasets
import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smilearn import FilteredEstimator, RiskFilter, RiskTable, SlicedMIScorer
from smilearn.exceptions import InvalidInputError

SCORER = SlicedMIScorer(32, slicing="isotropic", random_state=0)


@pytest.fixture
def data(seed):
    """Two classes that overlap, and a few wrong labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(120) % 2
    X = rng.normal(size=(120, 4)) + 1.5 * y[:, None]
    y[:6] = 1 - y[:6]
    return X, y


def test_what_goes_with_the_samples_is_cut_with_them(data):
    X, y = data
    weight = np.arange(120.0)
    ids = pd.Series([f"no. {i}" for i in range(120)], index=range(120, 0, -1))
    cleaner = RiskFilter(SCORER, share=0.25)
    X_kept, y_kept, *others = cleaner.fit_resample(
        X, y, sample_weight=weight, ids=ids, groups=list(range(120))
    )
    kept = cleaner.sample_indices_
    assert len(kept) == len(X_kept) == len(y_kept) == 90
    np.testing.assert_array_equal(others[0], kept)
    assert others[1].index.tolist() == (120 - kept).tolist()
    assert others[2] == kept.tolist()
    plain = RiskFilter(SCORER, share=0.25).fit(X, y)
    np.testing.assert_array_equal(plain.scores_, cleaner.scores_)


def test_what_has_another_length_is_named(data):
    with pytest.raises(InvalidInputError, match="ids must hold one value for each of "):
        RiskFilter(SCORER).fit_resample(*data, ids=[1, 2])


def test_scorer_gets_the_weights_that_it_requests(data):
    X, y = data
    weight = 1.0 + (np.arange(120) % 3)
    with config_context(enable_metadata_routing=True):
        asks = clone(SCORER).set_fit_request(sample_weight=True)
        *_, cut = RiskFilter(asks, n_remove=5).fit_resample(X, y, sample_weight=weight)
        weighted = RiskFilter(asks).fit(X, y, sample_weight=weight)
    assert len(cut) == 115
    expected = clone(SCORER).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(weighted.scores_, expected.scores_)
    assert (weighted.scores_ != clone(SCORER).fit(X, y).scores_).any()


def test_pipelines_of_imblearn_work_with_routing(data):
    X, y = data
    with config_context(enable_metadata_routing=True):
        asks = clone(SCORER).set_fit_request(sample_weight=True)
        last = LogisticRegression().set_fit_request(sample_weight=False)
        pipeline = make_imblearn_pipeline(RiskFilter(asks, share=0.2), last).fit(X, y)
    assert pipeline[0].support_.sum() == 96


def test_alpha_draws_the_line_by_shuffled_labels(data):
    X, y = data
    cleaner = RiskFilter(SCORER, alpha=0.1).fit(X, y)
    expected = clone(SCORER).set_params(contamination="permutation", alpha=0.1)
    expected.fit(X, y)
    np.testing.assert_array_equal(
        cleaner.support_, expected.scores_ >= expected.offset_
    )
    assert cleaner.false_flag_rate_ == expected.false_flag_rate_
    assert cleaner.threshold_.tolist() == [-expected.offset_] * 2
    assert cleaner.support_[:6].mean() < 0.5 < cleaner.support_[6:].mean()
    piped = RiskFilter(make_pipeline(StandardScaler(), SCORER), alpha=0.1).fit(X, y)
    assert piped.scorer_[-1].contamination == "permutation"
    assert SCORER.contamination is None
    assert RiskFilter(SCORER).fit(X, y).false_flag_rate_ is None


def test_alpha_keeps_its_rate_where_labels_are_noise(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(600, 6)), rng.permutation(np.arange(600) % 3)
    removed = [
        1 - RiskFilter(SCORER, alpha=alpha).fit(X, y).support_.mean()
        for alpha in (0.05, 0.3)
    ]
    np.testing.assert_allclose(removed, [0.05, 0.3], atol=0.05)


@pytest.mark.parametrize(
    "scorer",
    [
        RiskTable([0.1, -0.2], ["a", "b"]),
        KernelDensity(),
        FrozenEstimator(SCORER),
        make_pipeline(StandardScaler(), KernelDensity()),
    ],
    ids=["table", "other", "frozen", "pipeline"],
)
def test_alpha_needs_a_scorer_that_shuffles(scorer):
    with pytest.raises(InvalidInputError, match="alpha"):
        RiskFilter(scorer, alpha=0.1).fit([[0.0], [1.0]], ["a", "b"])


def test_scorer_must_have_scores():
    with pytest.raises(InvalidInputError, match="KernelDensity has none"):
        RiskFilter(KernelDensity()).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("inside", [False, True])
def test_a_frozen_scorer_scores_other_samples(data, inside):
    X, y = data
    fitted = make_pipeline(StandardScaler(), SCORER).fit(X[:80], y[:80])
    if inside:
        frozen = make_pipeline(FrozenEstimator(fitted[0]), FrozenEstimator(fitted[1]))
    else:
        frozen = FrozenEstimator(fitted)
    for new in (slice(80, 120), slice(0, 80)):  # as many as it was fitted to, too
        cleaner = RiskFilter(frozen, share=0.1).fit(X[new], y[new])
        scores = fitted[1].score_samples(fitted[0].transform(X[new]), y[new])
        np.testing.assert_allclose(cleaner.scores_, scores, atol=1e-12)


def test_table_has_the_index_and_no_texts(data):
    X, y = data
    frame = pd.DataFrame(X, index=[f"row {i // 2}" for i in range(120)])
    cleaner = RiskFilter(SCORER, share=0.1).fit(frame, pd.Series(y, index=frame.index))
    table = cleaner.risk_table_
    assert table["id"].tolist() == frame.index.tolist()
    np.testing.assert_array_equal(table["psmi"], cleaner.scores_)
    np.testing.assert_array_equal(table["label"], y)
    np.testing.assert_array_equal(table["std"], cleaner.scorer_.scores_std_)
    assert "text" not in table.columns
    assert cleaner.n_features_in_ == 4
    numbered = RiskFilter(SCORER).fit(X, y).risk_table_
    assert numbered["id"].tolist() == [*range(120)]


def test_thresholds_lie_between_what_goes_and_what_stays(data):
    X, y = data
    cleaner = RiskFilter(SCORER, share=0.2, by_class=True).fit(X, y)
    for label, line in zip(cleaner.classes_, cleaner.threshold_, strict=True):
        risk, kept = -cleaner.scores_[y == label], cleaner.support_[y == label]
        assert risk[kept].max() < line < risk[~kept].min()
        assert cleaner.sampling_strategy_[label] == kept.sum()
    assert RiskFilter(SCORER, share=0).fit(X, y).threshold_.tolist() == [np.inf] * 2
    assert RiskFilter(SCORER, threshold=0.3).fit(X, y).threshold_.tolist() == [0.3] * 2


def test_one_table_serves_all_folds(data):
    X, y = data
    ids = [f"id {i}" for i in range(120)]
    table = RiskTable(SCORER.fit(X, y).scores_, y, id=ids)
    order = np.random.default_rng(0).permutation(120)
    frame, labels = pd.DataFrame(X, index=ids).iloc[order], y[order]
    cleaner = RiskFilter(table, n_remove=6, match="index")
    cleaner.fit(frame, labels)
    np.testing.assert_array_equal(cleaner.scores_, table["psmi"][order])
    assert cleaner.risk_table_["id"].tolist() == frame.index.tolist()
    model = FilteredEstimator(LogisticRegression(), cleaner)
    assert cross_val_score(model, frame, labels, error_score="raise").mean() > 0.7


def test_ids_must_tell_the_rows(data):
    X, y = data[0][:4], np.array([0, 1, 0, 1])
    table = RiskTable([0.1, 0.2, 0.3, 0.4], y, id=list("abcd"))
    cleaner = RiskFilter(table, match="index")
    with pytest.raises(InvalidInputError, match="needs X to be a pandas"):
        cleaner.fit(X, y)
    with pytest.raises(InvalidInputError, match=r"1 of 4 rows of X have no row .*'e'"):
        cleaner.fit(pd.DataFrame(X, index=list("abce")), y)
    with pytest.raises(InvalidInputError, match="labels of the risk table are not y"):
        cleaner.fit(pd.DataFrame(X, index=list("abdc")), y)
    twice = RiskTable([0.1, 0.2, 0.3, 0.4], y, id=list("abca"))
    with pytest.raises(InvalidInputError, match="must be unique to be matched"):
        RiskFilter(twice, match="index").fit(pd.DataFrame(X, index=list("abcd")), y)


def test_a_data_set_is_cut(data):
    _, y = data
    texts = [f"text {i}" for i in range(120)]
    dataset = datasets.Dataset.from_dict({"text": texts, "label": y.tolist()})
    table = RiskTable(np.linspace(-1, 1, 120), y)
    kept, labels = RiskFilter(table, n_remove=20).fit_resample(
        dataset, dataset["label"]
    )
    assert kept["text"][:] == texts[20:]
    assert labels == y[20:].tolist()


def test_one_column_a_class_stays_that(data):
    X, y = data
    kept = RiskFilter(SCORER, share=0.1).fit_resample(X, np.eye(2)[y])[1]
    expected = RiskFilter(SCORER, share=0.1).fit_resample(X, y)[1]
    np.testing.assert_array_equal(kept, np.eye(2)[expected])


def test_a_filter_is_pickled_with_what_it_found(data):
    X, y = data
    cleaner = pickle.loads(pickle.dumps(RiskFilter(SCORER, share=0.1).fit(X, y)))
    np.testing.assert_array_equal(cleaner.fit_resample(X, y)[0], X[cleaner.support_])
    assert len(cleaner.risk_table_) == 120
