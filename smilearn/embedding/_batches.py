"""Forward passes over many texts: equal texts once, in batches that fit in memory."""

import numpy as np
from tqdm import tqdm

from smilearn.embedding._tokens import EqualTexts
from smilearn.exceptions import DeviceMemoryError
from smilearn.utils._devices import empty_cache, is_out_of_memory
from smilearn.utils._validation import warn_unread

# in a forward pass, by device; the states of more tokens leave the cache of a CPU
_TOKENS = {"cpu": 1024}
_CHUNK = 8192  # texts held as tokens at once


class Batches:
    """Batches of like length, as large as memory has allowed so far."""

    def __init__(self, batch_size, device):
        self.by_tokens, self.device = batch_size == "auto", device
        usual = _TOKENS.get(device.type, 32_768)
        self.most = usual if self.by_tokens else batch_size

    def run(self, lengths, work):
        """Yield the indices of each batch, longest first, and what work gives."""
        order, start = np.argsort(-np.asarray(lengths), kind="stable"), 0
        while start < len(order):
            longest = int(lengths[order[start]])
            most = self.most // max(1, longest) if self.by_tokens else self.most
            batch = order[start : start + max(1, most)]
            try:
                results = work(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if len(batch) == 1:
                    raise DeviceMemoryError(
                        f"device={str(self.device)!r} has no memory left for one text "
                        f"of {longest} tokens. Take a smaller max_length, "
                        'dtype="bfloat16", fewer layers, a smaller model, or '
                        'device="cpu".'
                    ) from error
            else:
                yield batch, results
                start += len(batch)
                continue
            # the error is gone by now, and with it the tensors its traceback held
            self.most = len(batch) * (longest if self.by_tokens else 1) // 2
            empty_cache(self.device)


def read_in_batches(lengths, work, *, batch_size, device):
    """Yield indices and results of batches, as :meth:`Batches.run` does, for once."""
    return Batches(batch_size, device).run(lengths, work)


def read_texts(texts, tokenize, work, batches, *, verbose):
    """Yield indices of texts and their rows, batch by batch, with a progress bar."""
    # tokenize: texts to tokens, and whether each text is mostly unknown tokens
    # work: texts and their tokens to rows
    groups, n_unread = EqualTexts(texts), 0
    n_unique = len(groups.unique)
    with tqdm(total=n_unique, unit="text", disable=None if verbose else True) as bar:
        for start in range(0, n_unique, _CHUNK):
            chunk = groups.unique[start : start + _CHUNK]
            tokens, is_unread = tokenize(chunk)

            def rows_of(batch, chunk=chunk, tokens=tokens):
                return work([chunk[i] for i in batch], [tokens[i] for i in batch])

            lengths = np.array([len(each) for each in tokens])
            for batch, rows in batches.run(lengths, rows_of):
                indices, repeats = groups.members(start + batch)
                n_unread += int(np.dot(repeats, is_unread[batch]))
                bar.update(len(batch))
                yield indices, np.repeat(rows, repeats, axis=0)
    warn_unread(n_unread, len(texts))
