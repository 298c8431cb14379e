"""Devices: which one, checked before its first use, and in full float32."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import embeddings
from smilearn.scoring._device_check import TOLERANCE, check_device, computed_on

import smilearn
from smilearn import SlicedMIScorer
from smilearn.exceptions import InvalidInputError
from smilearn.scoring import _device_check, _fitted
from smilearn.scoring._reader import Settings
from smilearn.utils._devices import full_float32, resolve_device, working_on
from smilearn.utils._indexing import row_blocks

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def device_off(monkeypatch):
    """Let a device that is not there compute what the CPU does, plus an error."""
    asked = []

    def off_by(projection=0.0, look_up=0.0, wait=lambda: None):
        def computed(device, dtype):
            found = computed_on(CPU, dtype)
            if device.type == "cpu":
                return found
            asked.append((device, dtype))
            wait()
            return found[0] + projection, found[1] + look_up

        monkeypatch.setattr(_device_check, "computed_on", computed)
        monkeypatch.setattr(_device_check, "_trusted", set())
        return asked

    return off_by


def settings_of(dtype="float32", device=CUDA):
    return Settings("student", device, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("what", ["projection", "look_up"])
def test_a_device_that_is_off_is_refused(device_off, dtype, what):
    device_off(**{what: 2 * TOLERANCE[dtype]})
    expected = rf"device='cuda' .*{what.replace('_', '-')} in {dtype} is off by 2\.0e"
    for _ in range(2):  # nor is it trusted the second time
        with pytest.raises(InvalidInputError, match=expected) as caught:
            check_device(settings_of(dtype))
    assert 'device="cpu"' in str(caught.value)


def test_nan_is_refused(device_off):
    device_off(projection=np.nan)
    with pytest.raises(InvalidInputError, match="off by nan"):
        check_device(settings_of())


def test_a_device_is_checked_once_for_each_precision(device_off):
    asked = device_off(projection=0.4 * TOLERANCE["float64"])
    for dtype in ("float32", "float64", "float32", "float64"):
        check_device(settings_of(dtype))
        check_device(settings_of(dtype, CPU))  # is what the others are held against
    assert asked == [(CUDA, "float32"), (CUDA, "float64")]


def test_threads_wait_for_one_check(device_off):
    other = threading.Event()
    asked = device_off(wait=lambda: other.wait(0.2))
    threads = [
        threading.Thread(target=check_device, args=(settings_of(),)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [(CUDA, "float32")]


@pytest.mark.parametrize("kind", [RuntimeError, NotImplementedError, TypeError])
def test_a_device_that_fails_is_refused(device_off, kind):
    def fail():
        raise kind("no kernel image is available")

    device_off(wait=fail)
    with pytest.raises(InvalidInputError, match="failed with no kernel image"):
        check_device(settings_of())


def test_a_full_device_is_not_called_wrong(device_off):
    def fail():
        raise torch.OutOfMemoryError("CUDA out of memory.")

    device_off(wait=fail)
    with pytest.raises(torch.OutOfMemoryError):
        check_device(settings_of())


def test_factors_rounded_to_tf32_would_be_seen(monkeypatch):
    def rounded(x):
        return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)

    right, _ = computed_on(CPU, "float32")
    project = _device_check.project
    monkeypatch.setattr(
        _device_check, "project", lambda d, X, out: project(rounded(d), rounded(X), out)
    )
    wrong, _ = computed_on(CPU, "float32")
    assert np.abs(wrong - right).max() > 5 * TOLERANCE["float32"]


def test_a_scorer_checks_its_device_before_any_sample_goes_there(
    device_off, monkeypatch
):
    device_off(projection=1.0)
    monkeypatch.setattr(_fitted, "resolve_device", lambda device: CUDA)
    with pytest.raises(InvalidInputError, match="does not compute what the CPU does"):
        SlicedMIScorer(4, far=None).fit(*embeddings(0))


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(InvalidInputError, match="device='nowhere' is not to be had"):
        resolve_device("nowhere")
    assert resolve_device("cpu") == CPU


def precision():
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return matmul.fp32_precision
    return torch.get_float32_matmul_precision()


def turn_on(how):
    matmul = torch.backends.cuda.matmul
    if how == "fp32_precision" and not hasattr(matmul, how):
        # it came with torch 2.9; older ones are served by the switch for all devices
        pytest.skip("this torch has no switch for CUDA alone")
    if how == "set_float32_matmul_precision":
        torch.set_float32_matmul_precision("high")
    else:
        setattr(matmul, how, "tf32" if how == "fp32_precision" else True)
    return precision()


@pytest.fixture
def restored():
    """Put the switches back to where a fresh process has them."""
    yield
    torch.set_float32_matmul_precision("highest")
    for backend in (torch.backends.cuda, torch.backends.mkldnn):
        if hasattr(backend.matmul, "fp32_precision"):
            backend.matmul.fp32_precision = "none"


SWITCHES = ["allow_tf32", "fp32_precision", "set_float32_matmul_precision"]


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("how", SWITCHES)
def test_products_on_cuda_are_in_full_float32(how):
    on = turn_on(how)
    with pytest.raises(KeyError), working_on(CUDA):
        assert precision() in ("ieee", "highest") != on
        raise KeyError
    assert precision() == on
    with working_on(CPU):  # where nothing is to change
        assert precision() == on


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("how", SWITCHES)
def test_the_last_one_to_go_puts_the_switch_back(how):
    on = turn_on(how)
    first, second = full_float32(), full_float32()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert precision() != on
    second.__exit__(None, None, None)
    assert precision() == on


def test_pieces_on_a_gpu_are_large_enough_to_keep_it_busy():
    n_samples = 10**6
    (first, *_) = settings_of().blocks(0, 3000, n_samples)
    assert 2**29 < 4 * n_samples * (first.stop - first.start) <= 2**30
    rows = torch.empty((n_samples, 1024), device="meta")  # without memory
    assert len([*row_blocks(rows)]) == 16
    assert len([*row_blocks(torch.empty((512, 1024)))]) == 2


def test_nobody_computes_without_the_guard():
    """Threads of our own are to be had through `working_on` only."""
    folder = Path(smilearn.__file__).parent
    users = {
        path.stem
        for path in folder.glob("*.py")
        if re.search(r"\bown_threads\(", path.read_text(encoding="utf-8"))
    }
    assert users == {"_devices", "_threads"}
