"""Texts as tokens: cut, counted, padded on the right, equal ones once."""

import copy
import os
from collections import Counter
from itertools import chain

import numpy as np
import torch

from smilearn.exceptions import InvalidInputError, ModelUnavailableError

FIELD = "{text}"
_AT_ONCE = 4096  # texts whose tokens are counted together
_ROLES = ("bos", "eos", "unk", "sep", "pad", "cls")  # put into texts unasked


class EqualTexts:
    """Equal texts together, and each group once, long texts first."""

    def __init__(self, texts):
        places = {}
        for place, text in enumerate(texts):
            places.setdefault(text, []).append(place)
        self.unique = sorted(places, key=len, reverse=True)
        self._places = [places[text] for text in self.unique]

    def members(self, groups):
        """Indices of the texts of some groups, and how many each has."""
        parts = [self._places[group] for group in groups]
        return np.concatenate(parts), np.array([len(part) for part in parts])


def own_tokenizer(tokenizer):
    """Copy a tokenizer, so that what is set on it stays ours; it pads on the right."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.padding_side = "right"
    return tokenizer


def check_words(tokenizer, name):
    """Refuse a tokenizer of special tokens only, as is made up where there is none."""
    special = set(tokenizer.all_special_tokens)
    words = (token for token in tokenizer.get_vocab() if token not in special)
    if not any(any(map(str.isalnum, token)) for token in words):
        raise ModelUnavailableError(no_tokenizer(name))


def no_tokenizer(name):
    return (
        f"{os.fspath(name)!r} has no tokenizer of its own, or one of special tokens "
        "only. Save that of the model into the folder with tokenizer.save_pretrained, "
        "or pass it to HiddenStateEmbedder as tokenizer=."
    )


def embedding_rows(network):
    """Count the tokens that a model has embeddings of; None if that cannot be told."""
    try:
        table = network.get_input_embeddings()
    except NotImplementedError:  # such as of characters
        return None
    return getattr(getattr(table, "base_layer", table), "num_embeddings", None)


def check_rows(tokenizer, network, name):
    """Refuse a tokenizer with more tokens than the model has embeddings."""
    n_rows = embedding_rows(network)
    ids = set(tokenizer.get_vocab().values())
    if n_rows is None or max(ids) < n_rows:
        return
    # special tokens that only a text can name, as of images, are looked for in texts
    added = tokenizer.added_tokens_decoder
    ids -= {token for token in added if added[token].special} - {
        getattr(tokenizer, f"{role}_token_id") for role in _ROLES
    }
    _check_ids(max(ids), n_rows, tokenizer, name)


def _check_ids(most, n_rows, tokenizer, name):
    if most >= n_rows:
        raise InvalidInputError(
            f"The tokenizer of {name!r} has tokens up to {most}, such as "
            f"{tokenizer.convert_ids_to_tokens(int(most))!r}, and the model has "
            f"{n_rows} rows of embeddings. Resize it with "
            "resize_token_embeddings(len(tokenizer)), train and save it, or take its "
            "own tokenizer."
        )


def unread(texts, input_ids, tokenizer, n_rows=None, template=FIELD):
    """Tell which texts are mostly unknown tokens, or hold no ordinary one."""
    flat = np.fromiter(chain.from_iterable(input_ids), np.int64)
    if n_rows is not None and len(flat):
        _check_ids(flat.max(), n_rows, tokenizer, "this model")
    around = 0
    if template != FIELD:
        [ids] = _encode(tokenizer, [template.replace(FIELD, "")])
        around = np.isin(ids, tokenizer.all_special_ids, invert=True).sum()
    space = tokenizer.convert_tokens_to_ids("▁")  # of sentencepiece, before any word
    text_of = np.repeat(np.arange(len(texts)), [len(ids) for ids in input_ids])
    known = text_of[~np.isin(flat, [*tokenizer.all_special_ids, space])]
    unknown = text_of[flat == tokenizer.unk_token_id]
    n_known = np.bincount(known, minlength=len(texts)) - around
    n_unknown = np.bincount(unknown, minlength=len(texts))
    return (n_unknown > n_known) | (n_known <= 0)


def tokenize(texts, tokenizer, max_length, template=FIELD):
    before, _, after = template.partition(FIELD)
    input_ids = _encode(tokenizer, [before + text + after for text in texts])
    longer = np.array([len(tokens) > max_length for tokens in input_ids], bool)
    rows = np.flatnonzero(longer)
    chosen = [texts[row] for row in rows]
    if chosen and template == FIELD:
        cut = tokenizer(chosen, truncation=True, max_length=max_length)["input_ids"]
    else:
        around = (before, after, max_length)
        cut = [_cut_inside(tokenizer, text, *around) for text in chosen]
    for row, tokens in zip(rows, cut, strict=True):
        input_ids[row] = tokens
    return input_ids, longer


def count_longer(texts, tokenizer, max_length, template=FIELD):
    before, _, after = template.partition(FIELD)
    special = len(_encode(tokenizer, [before + after])[0])
    around = special + len(before) + len(after) + 1  # a mark of the start
    copies, most = Counter(texts), max_length - around
    # a token has a character at least
    unsure = [text for text in copies if not text.isascii() or len(text) > most]
    n_longer = 0
    for start in range(0, len(unsure), _AT_ONCE):
        chunk = unsure[start : start + _AT_ONCE]
        tokens = _encode(tokenizer, [before + text + after for text in chunk])
        for text, ids in zip(chunk, tokens, strict=True):
            n_longer += copies[text] * (len(ids) > max_length)
    return n_longer


def pad(input_ids, pad_id):
    """Tokens and mask as tensors padded on the right."""
    lengths = np.array([len(tokens) for tokens in input_ids])
    mask = np.arange(lengths.max()) < lengths[:, None]  # (B, T)
    tokens = np.full(mask.shape, pad_id, np.int64)
    tokens[mask] = np.concatenate(input_ids)
    return torch.from_numpy(tokens), torch.from_numpy(mask.astype(np.int64))


def _encode(tokenizer, texts):
    if not texts:
        return []
    return list(tokenizer(texts, truncation=False, verbose=False)["input_ids"])


def _cut_inside(tokenizer, text, before, after, max_length):
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
