"""Audits that are cut off, taken up again, or spread over processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import joblib
import numpy as np
import pytest
from shadow_models import Breaking, Certain, Lookup, Slow, X, Y, audited, same
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from smilearn import ShadowAudit
from smilearn.audit import _shadow_models
from smilearn.exceptions import CacheWarning, InvalidInputError


def test_side_by_side_is_one_after_the_other(tmp_path):
    plain = audited()
    with joblib.parallel_config("threading"):
        assert same(plain, audited(n_jobs=2))
    assert same(plain, audited(n_jobs=2, checkpoint_folder=tmp_path / "run"))
    assert len([*tmp_path.glob("run/shadow-*.npz")]) == 8


def test_a_fit_that_failed_goes_on_where_it_was(tmp_path):
    counter, run = tmp_path / "counter", tmp_path / "run"
    whole = audited(Breaking(str(counter), 100, n_planted=6))
    counter.unlink()
    broken = Breaking(str(counter), 5, n_planted=6)
    with pytest.raises(RuntimeError, match="went down"):
        audited(broken, checkpoint_folder=run)
    assert len([*run.glob("shadow-*.npz")]) == 5
    counter.write_text("-100")
    assert same(whole, audited(broken, checkpoint_folder=run))
    assert counter.read_text() == "-97"
    (run / "shadow-00002.npz").write_bytes(b"damaged")
    with pytest.warns(CacheWarning, match="damaged"):
        again = audited(broken, checkpoint_folder=run)
    assert same(whole, again)
    assert counter.read_text() == "-96"


KILLED = """
import sys
sys.path.insert(0, {tests!r})
from shadow_models import Slow, numbered
from smilearn import ShadowAudit
ShadowAudit(Slow(6), n_shadow=8, checkpoint_folder={run!r}).fit(*numbered())
"""


def test_a_killed_run_gives_the_same_numbers(tmp_path):
    run = tmp_path / "run"
    code = KILLED.format(tests=str(Path(__file__).parent), run=str(run))
    slowly = os.environ | {"SECONDS_A_FIT": "0.3"}
    process = subprocess.Popen([sys.executable, "-c", code], env=slowly)
    begin = time.monotonic()
    while len([*run.glob("shadow-*.npz")]) < 4 and time.monotonic() - begin < 60:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {file.name: file.stat().st_mtime_ns for file in run.glob("shadow-*.npz")}
    assert 4 <= len(finished) < 8
    kept = {"n_shadow": 8, "checkpoint_folder": run}
    audit = ShadowAudit(Slow(6), **kept).fit(X, Y)
    for name, moment in finished.items():
        assert (run / name).stat().st_mtime_ns == moment
    for file in run.glob("shadow-*.npz"):
        file.unlink()
    assert same(audit, ShadowAudit(Slow(6), **kept).fit(X, Y))


def test_a_folder_of_another_run_is_refused(tmp_path):
    run, other = {"checkpoint_folder": tmp_path / "run"}, X.copy()
    audited(**run)
    other[3, 1] += 1
    with pytest.raises(InvalidInputError, match="a run with other estimator"):
        audited(Lookup(n_planted=7), **run)
    with pytest.raises(InvalidInputError, match="a run with other X"):
        audited(X=other, **run)
    with pytest.raises(InvalidInputError, match="a run with other y"):
        audited(y=Y[::-1], **run)
    with pytest.raises(InvalidInputError, match="a run with other seed"):
        audited(seed=1, **run)
    with pytest.raises(InvalidInputError, match="a run with other n_shadow"):
        audited(n_shadow=4, **run)
    with pytest.raises(InvalidInputError, match="a run with other statistic"):
        audited(statistic="loss", **run)
    with pytest.raises(InvalidInputError, match="a run with other fit_params"):
        ShadowAudit(Lookup(6), n_shadow=8, random_state=0, **run).fit(
            X, Y, sample_weight=np.ones(60)
        )
    assert same(audited(**run), audited())
    assert same(audited(target=0, **run), audited(target=0))


def test_probabilities_of_0_are_replaced_after_all_are_gathered(tmp_path):
    run = {"checkpoint_folder": tmp_path / "run"}
    audit = audited(Certain(noise=1.0), **run)
    assert set(np.abs(audit.statistic_).ravel().round(9)) == {np.log(60).round(9)}
    with np.load(tmp_path / "run" / "shadow-00000.npz") as file:
        assert np.isneginf(file["log_p"]).any()
        assert set(file) == {"log_p", "log_other", "correct", "lowest"}
    assert same(audit, audited(Certain(noise=1.0), **run))


def test_seeds_and_what_was_fitted_do_not_make_another_run(tmp_path):
    run = {"checkpoint_folder": tmp_path / "run", "n_shadow": 4}
    first = audited(**run)
    begun = {file: file.stat().st_mtime_ns for file in tmp_path.glob("run/*")}
    assert same(first, audited(Lookup(6, random_state=5).fit(X, Y), **run))
    assert begun == {file: file.stat().st_mtime_ns for file in tmp_path.glob("run/*")}


def test_another_statistic_of_ones_own_is_another_run(tmp_path):
    def scaled(by):
        return lambda model, X, y: by * model.predict_proba(X)[:, 1]

    run = {"checkpoint_folder": tmp_path / "run", "n_shadow": 4}
    first = audited(statistic=scaled(2.0), **run)
    assert same(first, audited(statistic=scaled(2.0), **run))
    with pytest.raises(InvalidInputError, match="a run with other statistic"):
        audited(statistic=scaled(3.0), **run)


class Watching(LogisticRegression):
    seen: ClassVar[list] = []

    def fit(self, X, y):
        self.seen.append(n_threads())
        return super().fit(X, y)


def n_threads():
    return max(library["num_threads"] for library in threadpool_info())


@pytest.mark.parametrize(("held", "n_cores", "allowed"), [(1, 4, 1), (3, 2, 2)])
def test_threads_are_only_ever_fewer(monkeypatch, held, n_cores, allowed):
    monkeypatch.setattr(Watching, "seen", [])
    monkeypatch.setattr(joblib, "cpu_count", lambda: n_cores)
    with threadpool_limits(held):
        audited(Watching(), n_shadow=2)
        assert n_threads() == held
    assert Watching.seen == [allowed, allowed]


def test_progress_is_shown_on_request(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr(
        _shadow_models, "tqdm", lambda **told: shown.append(told) or Bar()
    )
    audited(verbose=1)
    audited()
    assert [told["disable"] for told in shown] == [False, True]
    assert shown[0]["total"] == 8


class Bar:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def update(self):
        pass
