"""Texts as tokens: cut, counted, padded on the right, equal ones once."""

import copy

import numpy as np
import torch

from smilearn.exceptions import InvalidInputError

FIELD = "{text}"


class EqualTexts:
    """Equal texts together, and each group once, long texts first.

    Parameters
    ----------
    texts : list of str
        Texts.
    """

    def __init__(self, texts):
        self.unique = sorted(dict.fromkeys(texts), key=len, reverse=True)
        places = {text: place for place, text in enumerate(self.unique)}
        of_text = np.fromiter((places[text] for text in texts), np.int64, len(texts))
        self._by_group = np.argsort(of_text, kind="stable")
        self._starts = np.searchsorted(
            of_text[self._by_group], np.arange(len(self.unique) + 1)
        )

    def members(self, groups):
        """Indices of the texts of some groups, and how many each has."""
        starts, stops = self._starts[groups], self._starts[groups + 1]
        parts = [
            self._by_group[start:stop]
            for start, stop in zip(starts, stops, strict=True)
        ]
        return np.concatenate(parts), stops - starts


def own_tokenizer(tokenizer):
    """Copy a tokenizer, so that what is set on it stays ours; it pads on the right."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.padding_side = "right"
    return tokenizer


def longest_first(sequences):
    """Indices of sequences, the longest first; (n,)."""
    return np.argsort([-len(each) for each in sequences], kind="stable")


def tokenize(texts, tokenizer, max_length, template=FIELD):
    """Turn texts into tokens, and cut those that are too long.

    Parameters
    ----------
    texts : list of str
        Texts.

    tokenizer : PreTrainedTokenizerBase
        The tokenizer.

    max_length : int
        Tokens kept of a text, with the template and special tokens.

    template : str, default="{text}"
        What stands around each text; holds the field once. It is never cut.

    Returns
    -------
    input_ids : list of list of int
        Tokens of each text.

    longer : ndarray of shape (n_texts,)
        Whether a text was cut.

    Raises
    ------
    InvalidInputError
        If the template alone is longer than `max_length`.
    """
    if not texts:
        return [], np.zeros(0, bool)
    before, _, after = template.partition(FIELD)
    input_ids = _encode(tokenizer, [before + text + after for text in texts])
    longer = np.array([len(tokens) > max_length for tokens in input_ids])
    rows = np.flatnonzero(longer)
    if len(rows) and template == FIELD:
        cut = tokenizer(
            [texts[row] for row in rows], truncation=True, max_length=max_length
        )["input_ids"]
    else:
        cut = [
            _cut_inside(tokenizer, before, texts[row], after, max_length)
            for row in rows
        ]
    for row, tokens in zip(rows, cut, strict=True):
        input_ids[row] = tokens
    return input_ids, longer


def count_longer(texts, tokenizer, max_length, template=FIELD):
    """Tell which texts have more tokens than are read of them.

    Parameters
    ----------
    texts : list of str
        Texts.

    tokenizer : PreTrainedTokenizerBase
        The tokenizer.

    max_length : int
        Tokens read of a text, with the template and special tokens.

    template : str, default="{text}"
        What stands around each text.

    Returns
    -------
    longer : ndarray of shape (n_texts,)
        Whether a text is longer.
    """
    before, _, after = template.partition(FIELD)
    special = len(_encode(tokenizer, [before + after])[0])
    around = special + len(before) + len(after) + 1  # a mark of the start
    longer = np.zeros(len(texts), bool)
    unsure = [
        row
        for row, text in enumerate(texts)  # a token has a character at least
        if not text.isascii() or len(text) + around > max_length
    ]
    tokens = _encode(tokenizer, [before + texts[row] + after for row in unsure])
    longer[unsure] = [len(each) > max_length for each in tokens]
    return longer


def pad(input_ids, pad_id):
    """Tokens and mask as tensors padded on the right.

    Parameters
    ----------
    input_ids : list of list of int
        Tokens of each text, at least one.

    pad_id : int
        The token to pad with.

    Returns
    -------
    tokens : Tensor of shape (n_texts, n_tokens)
        Tokens.

    mask : Tensor of shape (n_texts, n_tokens)
        1 for tokens of a text, 0 for padding.
    """
    lengths = np.array([len(tokens) for tokens in input_ids])
    mask = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
    tokens = np.full(mask.shape, pad_id, np.int64)
    tokens[mask] = np.concatenate(input_ids)
    return torch.from_numpy(tokens), torch.from_numpy(mask.astype(np.int64))


def _encode(tokenizer, texts):
    if not texts:
        return []
    return list(tokenizer(texts, truncation=False, verbose=False)["input_ids"])


def _cut_inside(tokenizer, before, text, after, max_length):
    """Tokens of a prompt whose text has lost as much of its end as need be."""
    while True:
        [tokens] = _encode(tokenizer, [before + text + after])
        if len(tokens) <= max_length:
            return tokens
        if not text:
            raise InvalidInputError(
                f"The template alone has {len(tokens)} tokens, and max_length="
                f"{max_length} are read. Take a shorter template or a larger "
                "max_length."
            )
        starts = _starts_inside(tokenizer, before, text, after)
        kept = len(starts) - (len(tokens) - max_length)
        text = text[: starts[kept]] if 0 < kept < len(starts) else ""


def _starts_inside(tokenizer, before, text, after):
    """Where in a text its tokens begin, as far as that can be told; at least (1,)."""
    if not tokenizer.is_fast:
        return range(len(text))
    spans = tokenizer(before + text + after, return_offsets_mapping=True, verbose=False)
    low, high = len(before), len(before) + len(text)
    starts = [
        start - low
        for start, stop in spans["offset_mapping"]
        if low < start < high and stop > start
    ]
    return [0, *starts]
