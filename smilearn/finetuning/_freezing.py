"""Frozen lower layers, computed once and reused in every epoch."""

import tempfile
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from smilearn.exceptions import InvalidInputError

_MOST_IN_MEMORY = 2**30  # bytes of stored states; more of them go to a file


class LowerLayers:
    """The embeddings and the lowest layers of a model: frozen, in eval mode for good"""

    def __init__(self, backbone, n_layers):
        layers = layers_of(backbone)
        if n_layers > len(layers):
            raise InvalidInputError(
                f"freeze_layers={n_layers} is more than the {len(layers)} layers of "
                f"the {type(backbone).__name__}. Take {len(layers)} or fewer."
            )
        self.layers, self.upper = layers[:n_layers], layers[n_layers:]
        before, after, self.n_outputs = self._used(backbone)
        backbone.requires_grad_(False)
        for module in (*self.upper.modules(), *(after - before)):
            module.requires_grad_(True)
        self.modules = list(before)
        self.set_eval()

    def set_eval(self):
        """Switch the dropout of these layers off."""
        for module in (*self.layers, *self.modules):
            module.eval()

    @torch.inference_mode()
    def states(self, backbone, input_ids, attention_mask):
        """Output of the last frozen layer, (B, T, d); upper layers do not run."""
        found = []
        handle = self.layers[-1].register_forward_hook(
            lambda module, args, output: found.append(_tensor(output))
        )
        try:
            with _bypassed(self.upper, self.n_outputs):
                _run(backbone, input_ids, attention_mask)
        finally:
            handle.remove()
        return found[0]

    @contextmanager
    def replaced_by(self, hidden):
        """Within this, the model takes stored states for the output of these layers."""
        with _bypassed(self.layers, self.n_outputs, hidden):
            yield

    def _used(self, backbone):
        """Modules that run up to the last frozen layer, those after it, and its output."""
        before, after, passed = set(), set(), []

        def end(module, args, output):
            passed.append(len(output) if isinstance(output, tuple) else 0)
            if _tensor(output).shape[:2] != token.shape:
                raise InvalidInputError(
                    f"The layers of the {type(backbone).__name__} do not hand on one "
                    "state a token, text by text; none can be frozen. Set "
                    "freeze_layers=0."
                )

        def note(module, *_):
            (after if passed else before).add(module)

        leaves = [each for each in backbone.modules() if not any(each.children())]
        handles = [leaf.register_forward_pre_hook(note) for leaf in leaves]
        handles.append(self.layers[-1].register_forward_hook(end))
        training = backbone.training
        backbone.eval()
        token = torch.zeros(1, 2, dtype=torch.long, device=backbone.device)
        try:
            with torch.inference_mode():
                _run(backbone, token, torch.ones_like(token))
        finally:
            for handle in handles:
                handle.remove()
            backbone.train(training)
        return before, after, passed[0]


def layers_of(backbone):
    """The list of layers of an encoder or decoder."""
    n_layers = backbone.config.num_hidden_layers
    for module in backbone.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise InvalidInputError(
        f"The {type(backbone).__name__} has no list of {n_layers} layers of its own, "
        "so none can be frozen. Set freeze_layers=0."
    )


def check_trainable(backbone, n_frozen):
    """Refuse a model of which nothing would be trained below its new head."""
    if any(weight.requires_grad for weight in backbone.parameters()):
        return
    if n_frozen and n_frozen >= backbone.config.num_hidden_layers:
        return
    raise InvalidInputError(
        f"No weight of the {type(backbone).__name__} can be trained: they are frozen, "
        "or quantized, as they are loaded. Give a model in floating point, or lora=."
    )


class StoredStates:
    """Hidden states of texts, token after token without padding."""

    def __init__(self, lengths, n_features):
        self.ends = np.cumsum(lengths)
        self.begins = self.ends - lengths
        shape = (int(self.ends[-1]), n_features)
        if 4 * shape[0] * n_features <= _MOST_IN_MEMORY:
            self.values = np.empty(shape, np.float32)
        else:
            file = tempfile.TemporaryFile()  # noqa: SIM115  goes with the map
            self.values = np.memmap(file, np.float32, "w+", shape=shape)

    def put(self, rows, hidden):
        """Keep the states of some texts, (B, T, d), right-padded."""
        for row, states in zip(rows, hidden.float().cpu().numpy(), strict=True):
            begin, end = self.begins[row], self.ends[row]
            self.values[begin:end] = states[: end - begin]

    def get(self, rows, width):
        """Give the states of some texts, padded with 0 to a width: (B, width, d)."""
        padded = torch.zeros(len(rows), width, self.values.shape[1])
        for place, row in enumerate(rows):
            begin, end = self.begins[row], self.ends[row]
            padded[place, : end - begin] = torch.from_numpy(self.values[begin:end])
        return padded


def _run(backbone, input_ids, attention_mask):
    options = {"use_cache": False} if hasattr(backbone.config, "use_cache") else {}
    return backbone(input_ids=input_ids, attention_mask=attention_mask, **options)


def _tensor(output):
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def _bypassed(layers, n_outputs, hidden=None):
    """Let layers hand on what they are given; the last one hands on `hidden`."""

    def reply(states):
        return (states, *[None] * (n_outputs - 1)) if n_outputs else states

    def hand_on(*args, **kwargs):
        return reply(args[0] if args else kwargs["hidden_states"])

    for layer in layers:
        layer.forward = hand_on
    if hidden is not None:
        layers[-1].forward = lambda *args, **kwargs: reply(hidden)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
