"""Tokenized texts as the training takes them, with stored hidden states."""

import numpy as np

from smilearn.embedding._tokens import own_tokenizer, pad, tokenize, unread
from smilearn.finetuning._freezing import StoredStates
from smilearn.utils._texts import warn_unread

_BATCH = 64


class TextSamples:
    """Texts as tokens, and what frozen layers give for them."""

    def __init__(self, texts, tokenizer, max_length, n_rows=None):
        tokens, longer = tokenize(texts, own_tokenizer(tokenizer), max_length)
        warn_unread(int(unread(texts, tokens, tokenizer, n_rows).sum()), len(texts))
        self.n_truncated = int(longer.sum())
        nothing = [tokenizer.pad_token_id]  # decoders give no token for an empty text
        self.input_ids = [list(ids) or nothing for ids in tokens]
        self.pad_token_id = tokenizer.pad_token_id
        self.lengths = np.array([len(ids) for ids in self.input_ids])
        self.stored = None

    def __len__(self):
        return len(self.input_ids)

    def batch(self, rows):
        """Right-padded tensors of a batch: `input_ids`, `attention_mask`, `hidden`."""
        tokens, mask = pad([self.input_ids[row] for row in rows], self.pad_token_id)
        batch = {"input_ids": tokens, "attention_mask": mask}
        if self.stored is not None:
            batch["hidden"] = self.stored.get(rows, mask.shape[1])
        return batch

    def by_length(self, rows, batch_size):
        """Yield places among the rows, a batch of like length at a time."""
        order = np.argsort(-self.lengths[rows], kind="stable")
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]

    def store(self, network):
        """Compute once what the frozen layers of a network give, and keep it."""
        device = network.head.weight.device
        stored = StoredStates(self.lengths, network.head.in_features)
        for rows in self.by_length(np.arange(len(self)), _BATCH):
            tensors = {name: t.to(device) for name, t in self.batch(rows).items()}
            stored.put(rows, network.lower.states(network.backbone, **tensors))
        self.stored = stored
