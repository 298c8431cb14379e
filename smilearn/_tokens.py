"""Texts as tokens, in right-padded batches of like length (floor 1)."""

import numpy as np
from transformers import DataCollatorWithPadding


class TokenBatches:
    """Tokenized texts in batches of like length, and the way back to their order.

    Parameters
    ----------
    texts : list of str
        Texts.

    tokenizer : PreTrainedTokenizerBase
        Pads on the right whatever its own habit.

    max_length : int
        Tokens kept of a text.
    """

    def __init__(self, texts, tokenizer, max_length):
        tokenizer.padding_side = "right"
        whole = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
        self.n_truncated = sum(len(tokens) > max_length for tokens in whole)
        cut = tokenizer(texts, truncation=True, max_length=max_length)
        self.input_ids = cut["input_ids"]
        self.collate = DataCollatorWithPadding(tokenizer)

    def __len__(self):
        return len(self.input_ids)

    def batches(self, batch_size, device):
        """Yield the indices and the padded tensors of each batch."""
        order = np.argsort([-len(tokens) for tokens in self.input_ids], kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = self.collate([{"input_ids": self.input_ids[row]} for row in rows])
            yield (
                rows,
                batch["input_ids"].to(device),
                batch["attention_mask"].to(device),
            )

    def examples(self, codes):
        """Give the samples as the Trainer takes them."""
        return [
            {"input_ids": tokens, "labels": int(code)}
            for tokens, code in zip(self.input_ids, codes, strict=True)
        ]
