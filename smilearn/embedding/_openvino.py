"""Forward passes compiled by openvino; what it cannot run is left to torch."""

import copy
import sys
import warnings
from threading import Lock
from typing import ClassVar

import torch

from smilearn.exceptions import BackendWarning
from smilearn.utils._optional import require
from smilearn.utils._warnings import warn

# what openvino computes in, and how far it may be from torch, of the norm of states
_PRECISIONS = {torch.float32: ("f32", 1e-4), torch.bfloat16: ("bf16", 0.1)}


def forward_by(backend, states, network):
    """Function from named tensors to a tuple of hidden states, run by a backend."""
    return (_ByOpenVINO if backend == "openvino" else _ByTorch)(states, network)


def warn_torch(reason):
    warn(f"{reason}; torch is used.", BackendWarning)


class _ByTorch:
    key: ClassVar[dict] = {}  # what a row depends on

    def __init__(self, states, network):
        self._states, self._network = states, network

    def __call__(self, **tensors):
        return self._states(self._network, **tensors)


class _ByOpenVINO(_ByTorch):
    """Compiled when it is first called, for all shapes; torch where that fails."""

    def __init__(self, states, network):
        super().__init__(states, network)
        # its usage statistics, sent when it is imported, are left out
        sys.modules.setdefault("openvino_telemetry", None)
        self._openvino = require(
            "openvino", extra="openvino", caller='backend="openvino"'
        )
        self._lock, self._compiled, self._works = Lock(), None, True
        if network.device.type != "cpu":
            self._give_up(f"The model is on {str(network.device)!r}, not on the CPU")
        elif network.dtype not in _PRECISIONS:
            self._give_up(f"The weights are {network.dtype}, not float32 or bfloat16")
        elif network.dtype != torch.float32:
            self.key = {"backend": "openvino"}  # else rows are torch's to 1e-5

    def __call__(self, **tensors):
        with self._lock:  # one request at a time
            if self._works:
                try:
                    if self._compiled is None:
                        self._compile(tensors)
                    return self._infer(tensors)
                except Exception as error:  # of many kinds, by model
                    self._give_up(
                        f"The model cannot be run by openvino ({error!r:.200})"
                    )
        return super().__call__(**tensors)

    def _give_up(self, reason):
        self._works, self._compiled = False, None
        warn_torch(reason)

    def _infer(self, tensors):
        outputs = self._compiled([tensors[name].numpy() for name in tensors])
        return tuple(torch.from_numpy(outputs[i]) for i in range(len(outputs)))

    def _compile(self, tensors):
        """Trace, convert, compile; an error if the states are not those of torch."""
        network, (precision, most) = self._network, _PRECISIONS[self._network.dtype]
        if network.dtype != torch.float32:  # no other weights are converted rightly
            network = copy.deepcopy(network).float()
        example = _example(tensors)
        with warnings.catch_warnings(action="ignore"):
            traced = torch.jit.trace(
                _Traced(self._states, network, tensors),
                tuple(example.values()),
                check_trace=False,
                strict=False,
            )
            model = self._openvino.convert_model(traced)
        self._compiled = self._openvino.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            },
        )
        real = tensors["attention_mask"].bool()
        wanted = self._states(network, **tensors)
        for got, want in zip(self._infer(tensors), wanted, strict=True):
            gap, norm = (got - want)[real].norm(), want[real].norm()
            if not gap <= most * norm:
                raise ValueError(f"states differ by {gap / norm:.1e} of their norm")


class _Traced(torch.nn.Module):
    """Hidden states as a module of positional tensors, as it is traced."""

    def __init__(self, states, network, names):
        super().__init__()
        self.network, self._states, self._names = network, states, [*names]

    def forward(self, *tensors):
        return self._states(
            self.network, **dict(zip(self._names, tensors, strict=True))
        )


def _example(tensors):
    """Two texts of a batch, one of them padded, of another length than the batch."""
    length = max(2, tensors["attention_mask"].shape[1] - 1)
    few = {name: each.repeat(2, 2)[:2, :length] for name, each in tensors.items()}
    few["attention_mask"][1, -1] = 0
    return few
