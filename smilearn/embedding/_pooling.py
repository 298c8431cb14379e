"""Pooling: from the hidden states of tokens to one vector a text."""

import torch

from smilearn.exceptions import InvalidInputError


def mean_tokens(hidden, mask):
    """Mean over real tokens, in float32; (B, T, d) and (B, T) to (B, d)."""
    weight = mask[..., None].float()
    return (hidden.float() * weight).sum(1) / weight.sum(1).clamp_min(1)


def first_token(hidden, mask):
    """Take the first real token, CLS where there is one; (B, T, d) to (B, d)."""
    return _tokens_at(hidden, mask.argmax(1))


def last_token(hidden, mask):
    """Take the last real token, on whichever side padding is; (B, T, d) to (B, d)."""
    return _tokens_at(hidden, mask.shape[1] - 1 - mask.flip(1).argmax(1))


def _tokens_at(hidden, places):
    return hidden[torch.arange(len(hidden), device=hidden.device), places]


def mask_of_head(tokens, mask, pad_id):
    """Leave out what the head of a decoder takes for padding: each pad token."""
    if pad_id is None:
        return mask
    kept = mask.bool() & (tokens != pad_id).to(mask.device)
    kept[:, 0] |= ~kept.any(1)
    return kept.to(mask.dtype)


POOLINGS = {"mean": mean_tokens, "cls": first_token, "last": last_token}


def pool(pooling, hidden, mask):
    """Pool hidden states by name or by a callable."""
    mask = mask.to(hidden.device).int()  # a model may be spread over several
    pooled = POOLINGS.get(pooling, pooling)(hidden, mask)
    shape = getattr(pooled, "shape", None)
    if not torch.is_tensor(pooled) or len(shape) != 2 or len(pooled) != len(hidden):
        got = f"shape {tuple(shape)}" if shape is not None else repr(pooled)
        raise InvalidInputError(
            "pooling must turn hidden states (n_texts, n_tokens, n_features) and a "
            f"mask (n_texts, n_tokens) into a tensor (n_texts, n_features); got {got}."
        )
    return pooled.float()
