"""Texts as tokens in batches, with what their frozen layers give."""

import tempfile

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from smilearn.embedding._batches import read_in_batches
from smilearn.embedding._tokens import own_tokenizer, pad, tokenize, unread
from smilearn.utils._validation import warn_unread

_BATCH = 64
_MOST_IN_MEMORY = 2**30  # bytes of stored states; more of them go to a file


class TextSamples:
    """Texts as tokens; `labels` of a training are its codes, weights and held_out."""

    def __init__(self, texts, tokenizer, max_length, n_rows=None, **labels):
        tokens, longer = tokenize(texts, own_tokenizer(tokenizer), max_length)
        warn_unread(int(unread(texts, tokens, tokenizer, n_rows).sum()), len(texts))
        self.n_truncated = int(longer.sum())
        empty = [tokenizer.pad_token_id]  # decoders give no token for an empty text
        self.input_ids = [list(ids) or empty for ids in tokens]
        self.pad_token_id = tokenizer.pad_token_id
        self.lengths = np.array([len(ids) for ids in self.input_ids])
        self.stored = None  # states of the tokens of each text
        vars(self).update(labels)

    def __len__(self):
        return len(self.input_ids)

    def batch(self, rows, device=None):
        """Right-padded tensors of a batch: `input_ids`, `attention_mask`, `hidden`."""
        tokens, mask = pad([self.input_ids[row] for row in rows], self.pad_token_id)
        batch = {"input_ids": tokens, "attention_mask": mask}
        if self.stored is not None:
            states = [torch.from_numpy(self.stored[row]) for row in rows]
            batch["hidden"] = pad_sequence(states, batch_first=True)
        return {name: tensor.to(device=device) for name, tensor in batch.items()}

    def collate(self, features):
        """Make a training batch of rows; of none, one that weighs nothing."""
        rows = np.array([feature["row"] for feature in features] or [0])
        batch = {
            **self.batch(rows),
            "labels": torch.from_numpy(self.targets[rows]),
            "weights": torch.from_numpy(self.weights[rows] * bool(features)).float(),
        }
        if self.clip is not None:
            batch["clip"] = torch.from_numpy(self.clip[rows]).float()
        return batch

    def store(self, network):
        """Run the frozen layers of a network once, and keep the states of tokens."""
        shape = (int(self.lengths.sum()), network.width)
        if 4 * shape[0] * shape[1] <= _MOST_IN_MEMORY:
            stored = np.empty(shape, np.float32)
        else:
            with tempfile.TemporaryFile() as file:  # the map keeps it
                stored = np.memmap(file, np.float32, "w+", shape=shape)

        def forward(rows):
            batch = self.batch(rows, network.device)
            states = network.frozen.states(network.backbone, **batch)
            return states.float().cpu().numpy()

        stored = np.split(stored, np.cumsum(self.lengths)[:-1])
        options = {"batch_size": _BATCH, "device": network.device}
        for rows, states in read_in_batches(self.lengths, forward, **options):
            for row, text in zip(rows, states, strict=True):
                stored[row][:] = text[: self.lengths[row]]
        self.stored = stored
