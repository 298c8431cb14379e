"""A language model, one vector a text, and a linear head."""

import contextlib

import numpy as np
import torch
from torch import nn

from smilearn.embedding._pooling import pool


class PooledClassifier(nn.Module):
    """A backbone, one hidden state a text, a linear head."""

    _keys_to_ignore_on_save = None  # the Trainer asks where a checkpoint has no weight

    def __init__(self, backbone, n_classes, *, is_decoder=False, lower=None):
        super().__init__()
        config = backbone.config
        names = ("hidden_dropout_prob", "dropout", "resid_pdrop", "hidden_dropout")
        rates = [getattr(config, name) for name in names if hasattr(config, name)]
        self.backbone, self.is_decoder, self.lower = backbone, is_decoder, lower
        self.dropout = nn.Dropout(rates[0] if rates else 0.0 if is_decoder else 0.1)
        self.head = nn.Linear(config.hidden_size, n_classes)

    def train(self, mode=True):
        """Set the mode of all but the frozen layers, which stay in eval mode."""
        super().train(mode)
        if self.lower is not None:
            self.lower.set_eval()
        return self

    def state_dict(self, *args, **kwargs):
        """Give what training changes: frozen weights are those of the model on disk."""
        state = super().state_dict(*args, **kwargs)
        frozen = {name for name, p in self.named_parameters() if not p.requires_grad}
        return {name: value for name, value in state.items() if name not in frozen}

    def pooled(self, input_ids, attention_mask, hidden=None):
        """One vector a text, (B, d)."""
        known = contextlib.nullcontext()
        if hidden is not None:
            known = self.lower.replaced_by(hidden)
        options = {}
        if hasattr(self.backbone.config, "use_cache"):
            options["use_cache"] = False
        with known:
            states = self.backbone(
                input_ids=input_ids, attention_mask=attention_mask, **options
            ).last_hidden_state  # (B, T, d)
        return pool("last" if self.is_decoder else "mean", states, attention_mask)

    def forward(self, input_ids, attention_mask, labels, weights, hidden=None):
        """Mean weighted loss, and logits, as the Trainer expects them."""
        pooled = self.pooled(input_ids, attention_mask, hidden)
        logits = self.head(self.dropout(pooled))
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        return {"loss": (weights * losses).mean(), "logits": logits}


@torch.inference_mode()
def read(network, texts, rows=None, *, batch_size=64):
    """Pooled hidden states and logits of texts, network in eval mode."""
    rows = np.arange(len(texts)) if rows is None else rows
    training, device = network.training, network.head.weight.device
    network.eval()
    pooled = np.empty((len(rows), network.head.in_features), np.float32)
    logits = np.empty((len(rows), network.head.out_features), np.float32)
    for places in texts.by_length(rows, batch_size):
        batch = texts.batch(rows[places])
        hidden = network.pooled(**{name: v.to(device) for name, v in batch.items()})
        pooled[places] = hidden.float().cpu().numpy()
        logits[places] = network.head(hidden).float().cpu().numpy()
    network.train(training)
    return pooled, logits


def losses_and_correct(logits, codes):
    """Loss of each sample, and whether it is classified as labelled."""
    logs = torch.log_softmax(torch.from_numpy(logits).double(), 1)
    losses = -logs[torch.arange(len(codes)), torch.as_tensor(codes)].numpy()
    return losses, logits.argmax(1) == codes
