"""What audits of filters refuse, and what they say of it."""

import numpy as np
import pytest
from shadow_models import Lookup, X, Y
from test_filter_audit import PLANTED, effect_of

from smilearn import ShadowAudit, audit_filter
from smilearn.exceptions import InvalidInputError


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"estimator__noise": 0.1}, "estimator"),
        ({"statistic": "loss"}, "statistic"),
        ({"n_shadow": 8}, "n_shadow"),
    ],
)
def test_an_audit_that_was_changed_since_its_fit_is_refused(change, name):
    audit = ShadowAudit(Lookup(), n_shadow=4, random_state=0).fit(X, Y)
    with pytest.raises(InvalidInputError, match=f"fitted with other {name}"):
        audit_filter(audit.set_params(**change), [0], X, Y)


class Pretrained(Lookup):
    """Has a parameter that names a folder, as fine-tuned classifiers have."""

    def __init__(self, model="", n_planted=0, noise=0.3, random_state=None):
        super().__init__(n_planted, noise, random_state)
        self.model = model


def test_other_files_of_a_pretrained_model_are_noticed_without_a_folder(tmp_path):
    (tmp_path / "weights").write_text("1")
    model = Pretrained(str(tmp_path))
    audit = ShadowAudit(model, n_shadow=4, random_state=0).fit(X, Y)
    assert audit_filter(audit, [0], X, Y, n_bootstrap=5).audit is audit
    (tmp_path / "weights").write_text("2")
    with pytest.raises(InvalidInputError, match="fitted with other pretrained_files"):
        audit_filter(audit, [0], X, Y)


def test_what_cannot_be_pickled_is_audited_all_the_same():
    class Here(Lookup):
        """A local class, which pickle does not find."""

    model = Here(n_planted=6)
    model.set_params(noise=0.2)
    audit = ShadowAudit(model, n_shadow=4, random_state=0).fit(X, Y)
    assert len(audit_filter(audit, [0], X, Y, n_bootstrap=5)) == 48


def test_an_audit_of_other_samples_with_the_same_labels_is_refused():
    audit = ShadowAudit(Lookup(), n_shadow=4, random_state=0).fit(X, Y)
    with pytest.raises(InvalidInputError, match="fitted with other X"):
        audit_filter(audit, [0], X + 60, Y)
    with pytest.raises(InvalidInputError, match="fitted with other fit_params"):
        audit_filter(audit, [0], X, Y, sample_weight=np.ones(60))


def test_what_cannot_be_removed_is_said_before_any_training():
    fits = []

    class Counting(Lookup):
        def fit(self, X, y, sample_weight=None):
            fits.append(len(y))
            return super().fit(X, y)

    audit = ShadowAudit(Counting(), n_shadow=4, random_state=0).fit(X, Y)
    before = len(fits)
    with pytest.raises(InvalidInputError, match="class 'yes' has 0"):
        audit_filter(audit, Y == "yes", X, Y)
    assert len(fits) == before


@pytest.mark.parametrize(
    ("removed", "settings", "message"),
    [
        (np.zeros(60, bool), {}, "Some samples must go and some stay; 0 of 60 go"),
        (np.ones(60, bool), {}, "60 of 60 go"),
        ([], {}, "0 of 60 go"),
        (np.ones(50, bool), {}, r"each of the 60 samples .* got shape \(50,\)"),
        ([60, -1], {}, r"indices from 0 to 59; got \[60, -1\]"),
        ((np.arange(60) < 6) * 1, {}, "name each sample once; .* as booleans"),
        ([0.5], {}, "a mask or indices of samples, or a fitted filter"),
        (Y == "yes", {}, r"After the removal \(filtered\): .*class 'yes' has 0"),
        (PLANTED, {"n_shadow": 2}, "IN 2 or more"),
        (PLANTED, {"share": 1.0}, "share must be between 0 and 1"),
        (PLANTED, {"group": "x"}, "unexpected keyword"),
    ],
)
def test_mistakes(removed, settings, message):
    with pytest.raises((InvalidInputError, TypeError), match=message):
        effect_of(removed, **settings)


def test_an_audit_of_others_is_refused():
    audit = ShadowAudit(Lookup(), n_shadow=4, random_state=0).fit(X, Y)
    with pytest.raises(InvalidInputError, match="fitted to other samples: 60 labels"):
        audit_filter(audit, [0], X[:50], Y[:50])
    with pytest.raises(InvalidInputError, match="in this order"):
        audit_filter(audit, [0], X, Y[::-1])


def test_a_classifier_is_no_audit():
    with pytest.raises(InvalidInputError, match=r"by ShadowAudit\(Lookup\(...\)\)"):
        audit_filter(Lookup(), [0], X, Y)
