"""One file of rows, and digests that may hold any byte."""

import hashlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smilearn.embedding import _segments
from smilearn.embedding._segments import (
    DIGEST,
    common_digests,
    open_segment,
    text_digests,
    write_segment,
)

# few bytes, zeros at the end among them, so that digests are often equal or nearly so
digest = st.lists(st.sampled_from(b"\0\1\x20\xff"), min_size=16, max_size=16).map(bytes)
digests = st.sets(st.one_of(digest, st.binary(min_size=16, max_size=16)), max_size=30)


def as_array(some):
    return np.frombuffer(b"".join(sorted(some)), DIGEST)


@given(digests, digests)
def test_common_digests_are_those_of_sets(one, other):
    in_one, in_other = common_digests(as_array(one), as_array(other))
    common = sorted(one & other)
    assert [sorted(one)[place] for place in in_one] == common
    assert [sorted(other)[place] for place in in_other] == common


def test_digests_are_of_the_bytes_of_a_text():
    texts = ["", "a", "é", "a\0", "\udc80"]
    raw = [b"", b"a", "é".encode(), b"a\0", b"\xed\xb2\x80"]
    found = text_digests(texts).tobytes()
    whole = [hashlib.blake2b(each, digest_size=16).digest() for each in raw]
    assert found == b"".join(whole)
    assert text_digests([]).shape == (0,)


@pytest.mark.parametrize("window", [1, 30, 10_000])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_rows_are_read_as_they_were_written(tmp_path, monkeypatch, window, data):
    monkeypatch.setattr(_segments, "_WINDOW", window)
    some = data.draw(digests.filter(len))
    shuffled = data.draw(st.permutations(sorted(some)))
    raw = np.frombuffer(b"".join(shuffled), DIGEST)
    rows = np.random.default_rng(0).normal(size=(len(raw), 2)).astype(np.float32)
    path = write_segment(tmp_path, raw, rows).path
    segment = open_segment(path, 8)
    assert segment.digests.tobytes() == b"".join(sorted(some))
    assert path.stat().st_size == segment.n_bytes
    wanted = data.draw(st.sets(st.integers(0, len(raw) - 1), min_size=1))
    wanted = np.array(sorted(wanted))
    places = np.array(data.draw(st.permutations(range(len(wanted)))))
    out = np.zeros((len(wanted), 2), np.float32)
    assert segment.read(wanted, out, places).all()
    by_digest = dict(zip(shuffled, rows, strict=True))
    for its, place in zip(wanted, places, strict=True):
        np.testing.assert_array_equal(out[place], by_digest[sorted(some)[its]])


def test_rows_of_another_size_are_no_rows(tmp_path):
    path = write_segment(tmp_path, as_array([b"1" * 16]), np.ones((1, 3))).path
    assert open_segment(path, 24) is not None
    assert open_segment(path, 12) is None
