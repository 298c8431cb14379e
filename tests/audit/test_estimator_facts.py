"""What of an estimator makes another run, and what does not."""

import pytest
from shadow_models import X, Y
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from smilearn import ShadowAudit
from smilearn.audit._shadow_models import (
    check_no_folder,
    estimator_name,
    params_named,
    pretrained_files,
)
from smilearn.exceptions import InvalidInputError


class Loading(KNeighborsClassifier):
    def __init__(self, model="base", n_neighbors=5, checkpoint_folder=None):
        super().__init__(n_neighbors)
        self.model = model
        self.checkpoint_folder = checkpoint_folder


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    (folder / "head").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "head" / "model.bin").write_bytes(b"\x00\x01")
    return folder


def test_params_are_found_inside():
    model = make_pipeline(RandomForestClassifier(n_jobs=3))
    assert params_named(model, "n_jobs") == {"randomforestclassifier__n_jobs": 3}
    assert params_named(Loading(), "model") == {"model": "base"}
    assert params_named(object(), "model") == {}


def test_what_changes_no_result_does_not_count():
    def forest(**params):
        return make_pipeline(RandomForestClassifier(3, **params))

    name = estimator_name(forest())
    other = forest(random_state=5, n_jobs=2, verbose=1).fit(X, Y)
    assert estimator_name(other) == name
    assert other.get_params()["randomforestclassifier__n_jobs"] == 2
    assert hasattr(other[-1], "estimators_")
    assert estimator_name(forest(max_depth=2)) != name


def test_the_files_of_a_model_count(weights, tmp_path):
    def told(apart="elsewhere"):
        return pretrained_files(make_pipeline(Loading(weights)), apart)[
            "loading__model"
        ]

    names = [told()]
    assert pretrained_files(Loading(str(weights)), "x") == {"model": names[0]}
    (weights / "head" / "model.bin").write_bytes(b"\x00\x02")
    names.append(told())
    (weights / "head" / "model.bin").rename(weights / "model.bin")
    names.append(told())
    (weights / "config.json").unlink()
    names.append(told())
    assert len(set(names)) == 4
    (weights / "run").mkdir()
    (weights / "run" / "run.json").write_text("{")
    assert told(weights / "run") == names[-1] != told()


def test_a_model_may_be_a_single_file_or_none_that_is_here(weights):
    file = weights / "config.json"
    one = pretrained_files(Loading(file), "x")
    file.write_text("[]")
    assert one != pretrained_files(Loading(file), "x")
    for model in ("no/such-model", "", "x" * 5000, "nul\0", None, 3):
        assert pretrained_files(Loading(model), "x") == {}


def test_other_weights_in_the_same_folder_are_another_run(weights, tmp_path):
    def run():
        audit = ShadowAudit(
            Loading(weights), n_shadow=2, checkpoint_folder=tmp_path / "run"
        )
        return audit.fit(X, Y)

    run()
    run()
    (weights / "head" / "model.bin").write_bytes(b"\x00\x02")
    with pytest.raises(InvalidInputError, match="a run with other pretrained_files"):
        run()


def test_shadow_models_share_no_folder_of_checkpoints(tmp_path):
    kept = make_pipeline(Loading(checkpoint_folder=tmp_path / "mine"))
    check_no_folder(make_pipeline(Loading()))
    match = "set loading__checkpoint_folder=None in the estimator .*to the audit"
    for folder in (None, tmp_path / "run"):
        audit = ShadowAudit(kept, n_shadow=2, checkpoint_folder=folder)
        with pytest.raises(InvalidInputError, match=match):
            audit.fit(X, Y)
    assert [*tmp_path.iterdir()] == []


def test_an_estimator_without_params_is_told_of_as_sklearn_does():
    class Bare:
        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return X

    check_no_folder(Bare())
    with pytest.raises(TypeError, match="Cannot clone"):
        ShadowAudit(Bare(), n_shadow=2).fit(X, Y)


def test_what_cannot_be_pickled():
    class Local(BaseEstimator):
        pass

    with pytest.raises(InvalidInputError, match="one that can be pickled"):
        estimator_name(Local())
