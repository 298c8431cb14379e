"""The issue type of cleanlab: columns, units, labels, parameters, errors."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import logit

from smilearn import SlicedMIScorer
from smilearn.datalab import register_memorization
from smilearn.exceptions import InvalidInputError, MissingDependencyError

cleanlab = pytest.importorskip("cleanlab")
SETTINGS = {"n_slices": 64, "random_state": 0}
WRONG = [3, 50, 130]


@pytest.fixture(scope="module")
def planted():
    """Embeddings of two classes, and labels of which three are wrong."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["spam", "ham"], [120, 80])  # not in the order of the alphabet
    X = rng.normal(size=(200, 8)) + 2.5 * (labels == "spam")[:, None]
    labels[WRONG] = np.where(labels[WRONG] == "ham", "spam", "ham")
    return X, labels


@pytest.fixture
def lab_of(planted):
    """Make a Datalab of the planted data, issues found."""
    register_memorization()

    def make(settings=SETTINGS, data=None, **options):
        data = {"label": planted[1].tolist()} if data is None else data
        lab = cleanlab.Datalab(data, label_name="label", verbosity=0, **options)
        found = {"memorization": dict(settings)}
        lab.find_issues(features=planted[0], issue_types=found)
        return lab

    return make


def test_planted_wrong_labels_are_the_worst(lab_of):
    issues = lab_of().get_issues("memorization")
    worst = issues.sort_values("memorization_score").index[: len(WRONG)]
    assert sorted(worst) == WRONG
    assert issues["is_memorization_issue"][WRONG].all()
    assert issues["is_memorization_issue"].sum() < 20


def test_columns_are_the_scores_of_the_scorer(planted, lab_of):
    X, labels = planted
    scorer = SlicedMIScorer(**SETTINGS).fit(X, labels)
    issues = lab_of().get_issues("memorization")
    assert list(issues.columns) == [
        "is_memorization_issue",
        "memorization_score",
        "memorization_risk",
    ]
    assert np.allclose(issues["memorization_risk"], -scorer.scores_)
    score = issues["memorization_score"]
    assert score.between(0, 1).all()
    assert np.allclose(score, scorer.probability_)
    assert (issues["is_memorization_issue"] == (scorer.probability_ < 0.5)).all()


def test_score_is_the_probability_where_the_scorer_has_it(planted, lab_of):
    class Likely(SlicedMIScorer):
        """Has a probability and a PSMI of each sample."""

        def fit(self, X, y):
            super().fit(X, y)
            self.probability_, self.psmi_ = np.linspace(0, 1, len(y)), self.scores_
            return self

    lab = lab_of({"scorer": Likely(**SETTINGS)})
    issues, info = lab.get_issues("memorization"), lab.get_info("memorization")
    likely = np.linspace(0, 1, len(issues))
    np.testing.assert_array_equal(issues["memorization_score"], likely)
    np.testing.assert_array_equal(info["probability"], likely)
    np.testing.assert_array_equal(info["psmi"], -info["risk"])


def test_summary_and_report(lab_of, capsys):
    lab = lab_of()
    issues = lab.get_issues("memorization")
    summary = lab.get_issue_summary("memorization").iloc[0]
    assert summary["score"] == pytest.approx(issues["memorization_score"].mean())
    assert summary["num_issues"] == issues["is_memorization_issue"].sum()
    lab.report(num_examples=3, verbosity=2)
    shown = capsys.readouterr().out
    assert "memorization issues" in shown
    assert "learn by heart" in shown
    assert "reliability: " in shown
    table = shown.partition("most severe instances")[2].splitlines()[2:5]
    assert sorted(int(line.split()[0]) for line in table) == WRONG


def test_info_speaks_of_the_labels_of_the_user(planted, lab_of):
    X, labels = planted
    info = lab_of().get_info("memorization")
    scorer = SlicedMIScorer(**SETTINGS).fit(X, labels)
    assert np.allclose(info["risk"], -scorer.scores_)
    assert np.allclose(info["standard_error"], scorer.scores_std_)
    assert info["given_label"].tolist() == labels.tolist()
    most_likely = scorer.to_table(X)["most_likely_label"].tolist()
    assert info["most_likely_label"].tolist() == most_likely
    assert (info["most_likely_label"] != labels)[WRONG].all()
    assert (info["offset"], info["reliability"]) == (np.log(0.5), scorer.reliability_)
    assert np.allclose(info["scorer"].predict_proba(X), scorer.predict_proba(X))


def test_a_scorer_without_probabilities(planted, lab_of, capsys):
    scorer = SlicedMIScorer(pooled=False, **SETTINGS).fit(*planted)
    lab = lab_of({"pooled": False, **SETTINGS})
    issues, info = lab.get_issues("memorization"), lab.get_info("memorization")
    assert np.allclose(logit(issues["memorization_score"]), scorer.scores_)
    assert (issues["is_memorization_issue"] == (scorer.scores_ < 0)).all()
    assert "probability" not in info
    assert info["most_likely_label"] is None
    lab.report(verbosity=3)
    assert "memorization" in capsys.readouterr().out


def test_class_labels_of_a_data_set_keep_their_names(planted, lab_of):
    datasets = pytest.importorskip("datasets")
    names = ["spam", "eggs", "ham"]  # one is not in use, none in alphabetical order
    features = datasets.Features({"label": datasets.ClassLabel(names=names)})
    codes = [names.index(label) for label in planted[1]]
    data = datasets.Dataset.from_dict({"label": codes}, features=features)
    info = lab_of(data=data).get_info("memorization")
    assert info["given_label"].tolist() == planted[1].tolist()
    assert info["most_likely_label"][WRONG[0]] == "spam"


def test_registering_again_changes_nothing(capsys):
    assert register_memorization() is register_memorization()
    assert capsys.readouterr().out == ""  # cleanlab prints where it overwrites


def test_a_saved_lab_is_loaded(lab_of, tmp_path):
    lab = lab_of()
    lab.save(str(tmp_path / "lab"))
    again = cleanlab.Datalab.load(str(tmp_path / "lab"))
    told = again.get_info("memorization")["risk"]
    assert (told == lab.get_info("memorization")["risk"]).all()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"n_slice": 64}, r"parameters of SlicedMIScorer.*got \['n_slice'\]"),
        ({"scorer": "isotropic"}, "must be a SlicedMIScorer.*got 'isotropic'"),
        ({"scorer": SlicedMIScorer(), "n_slices": 64}, "either a scorer or"),
    ],
)
def test_wrong_parameters_are_named(lab_of, settings, told):
    with pytest.raises(InvalidInputError, match=told):
        lab_of(settings)


def test_without_embeddings_or_labels_it_says_so(planted):
    register_memorization()
    X, labels = planted
    lab = cleanlab.Datalab({"label": labels.tolist()}, label_name="label", verbosity=0)
    with pytest.raises(InvalidInputError, match="needs embeddings"):
        lab.find_issues(issue_types={"memorization": dict(SETTINGS)})
    lab = cleanlab.Datalab({"text": ["a"] * 200}, verbosity=0)
    with pytest.raises(InvalidInputError, match="needs labels"):
        lab.find_issues(features=X, issue_types={"memorization": {}})


@pytest.mark.parametrize("missing", ["cleanlab", "datasets"])
def test_a_missing_package_is_named(missing):
    code = (
        "import sys\n"
        f"sys.modules[{missing!r}] = None\n"
        "from smilearn.datalab import register_memorization\n"
        "try:\n"
        "    register_memorization()\n"
        "except ImportError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert MissingDependencyError.__name__ in done.stdout
    assert "register_memorization needs the package" in done.stdout
    assert f"'{missing}'" in done.stdout
    assert 'pip install "smilearn[datalab]"' in done.stdout


def test_the_module_is_light():
    code = (
        "import sys, smilearn.datalab\n"
        "print('torch' in sys.modules, 'cleanlab' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
