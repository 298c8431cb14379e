"""A language model, one vector a text, and a linear head."""

import copy
from contextlib import nullcontext

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from smilearn.embedding._batches import read_in_batches
from smilearn.embedding._pooling import pool
from smilearn.exceptions import InvalidInputError
from smilearn.finetuning._frozen_layers import run


class PooledClassifier(nn.Module):
    """A backbone, one hidden state a text, a linear head on it."""

    _keys_to_ignore_on_save = None  # the Trainer asks where a checkpoint has no weight

    def __init__(self, backbone, n_classes, is_decoder=False, frozen=None):
        super().__init__()
        config = backbone.config
        self.width, self.n_classes = config.hidden_size, n_classes
        names = ("hidden_dropout_prob", "dropout", "resid_pdrop", "hidden_dropout")
        rates = [getattr(config, name) for name in names if hasattr(config, name)]
        self.backbone, self.is_decoder, self.frozen = backbone, is_decoder, frozen
        self.dropout = nn.Dropout(rates[0] if rates else 0.0 if is_decoder else 0.1)
        self.head = nn.Linear(config.hidden_size, n_classes)

    @property
    def device(self):
        """Where the weights are."""
        return next(self.parameters()).device

    def train(self, mode=True):
        """Set the mode of all but the frozen layers, which stay in eval mode."""
        super().train(mode)
        if self.frozen is not None:
            self.frozen.set_eval()
        return self

    def state_dict(self, *args, **kwargs):
        """Give what training changes: frozen weights are those of the model on disk."""
        state = super().state_dict(*args, **kwargs)
        fixed = {name for name, p in self.named_parameters() if not p.requires_grad}
        return {name: value for name, value in state.items() if name not in fixed}

    def answers(self, input_ids, attention_mask, hidden=None):
        """One vector a text, (B, d), and logits."""
        with nullcontext() if hidden is None else self.frozen.replaced_by(hidden):
            output = run(self.backbone, input_ids, attention_mask)
        pooled = self.pool(output.last_hidden_state, attention_mask)
        return pooled, self.head(self.dropout(pooled))

    def pool(self, states, mask):
        """Mean over real tokens, or of a decoder the state of the last one."""
        return pool("last" if self.is_decoder else "mean", states, mask)

    def forward(self, input_ids, attention_mask, labels, weights, hidden=None):
        """Mean weighted loss, and logits, by the names that a Trainer reads."""
        _, logits = self.answers(input_ids, attention_mask, hidden)
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        return {"loss": (weights * losses).mean(), "logits": logits}


class StandardClassifier(PooledClassifier):
    """A model for sequence classification, as transformers has it for its kind."""

    def __init__(self, backbone, n_classes, is_decoder, frozen, trust_remote_code):
        nn.Module.__init__(self)
        config = copy.deepcopy(backbone.config)
        config.num_labels = n_classes
        config.problem_type = "single_label_classification"
        try:
            model = AutoModelForSequenceClassification.from_config(
                config, trust_remote_code=trust_remote_code
            )
        except ValueError as error:
            raise InvalidInputError(
                f"transformers has no classifier of texts for {config.model_type!r}. "
                'Take head="linear".'
            ) from error
        if getattr(model.base_model, "pooler", None) is None:
            backbone.pooler = None  # no weight of it is asked for
        setattr(model, model.base_model_prefix, backbone)
        self.model, self.is_decoder, self.frozen = model.float(), is_decoder, frozen
        self.width, self.n_classes = config.hidden_size, n_classes

    @property
    def backbone(self):
        """The model below its head."""
        return self.model.base_model

    def answers(self, input_ids, attention_mask, hidden=None):
        """One vector a text, (B, d), and logits."""
        outputs = []
        hook = self.backbone.register_forward_hook(
            lambda module, args, output: outputs.append(output.last_hidden_state)
        )
        with nullcontext() if hidden is None else self.frozen.replaced_by(hidden), hook:
            logits = run(self.model, input_ids, attention_mask).logits
        return self.pool(outputs[0], attention_mask), logits


def read(network, texts, rows=None, *, batch_size=64):
    """Pooled states (n, d) and logits (n, n_classes) of texts, in eval mode."""
    rows = np.arange(len(texts)) if rows is None else rows

    def forward(places):
        return network.answers(**texts.batch(rows[places], network.device))

    training = network.training
    network.eval()
    lengths, device = texts.lengths[rows], network.device
    batches = read_in_batches(lengths, forward, batch_size=batch_size, device=device)
    results = collect(len(rows), batches)
    network.train(training)
    return results


@torch.no_grad()
def collect(n_rows, batches):
    """Arrays of all rows, of the places and tensors of each batch; float32."""
    results = None
    for places, tensors in batches:
        outputs = [tensor.float().cpu().numpy() for tensor in tensors]
        if results is None:
            results = [np.empty((n_rows, *x.shape[1:]), np.float32) for x in outputs]
        for result, output in zip(results, outputs, strict=True):
            result[places] = output
    return results


def losses_and_correct(logits, codes):
    """Loss in nats of each sample, and whether it is classified as labelled."""
    logs = torch.log_softmax(torch.from_numpy(logits).double(), 1)
    losses = -logs[torch.arange(len(codes)), torch.as_tensor(codes)].numpy()
    return losses, logits.argmax(1) == codes
