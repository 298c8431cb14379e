"""Which samples each shadow model is trained on, in balance."""

from fractions import Fraction

import numpy as np

from smilearn.exceptions import InvalidInputError

_TRADES = 10  # rounds in which each model trades samples with another one


def models_a_sample(n_shadow, share):
    """Count the models that a sample is IN."""
    n_in = round(n_shadow * share)
    if abs(n_in - n_shadow * share) > 1e-9 * n_shadow or not 0 < n_in < n_shadow:
        share = Fraction(share).limit_denominator(100)
        raise InvalidInputError(
            "n_shadow * share must be a whole number from 1 to n_shadow - 1, as each "
            f"sample is IN so many models; got {n_shadow} * {float(share):.4g}. Give "
            f"an n_shadow that is a multiple of {max(share.denominator, 2)}."
        )
    return n_in


def balanced_masks(codes, n_shadow, n_in, rng):
    """Draw who is IN, so that samples, models and classes are in balance."""
    masks = np.zeros((n_shadow, len(codes)), bool)
    part = Fraction(n_in, n_shadow)
    p, q = part.numerator, part.denominator
    for label in rng.permutation(codes.max() + 1):
        members = rng.permutation(np.flatnonzero(codes == label))
        smallest_first = np.lexsort((rng.random(n_shadow), masks.sum(1)))
        block = np.empty(n_shadow, np.int64)
        block[smallest_first] = np.repeat(np.arange(q), n_shadow // q)
        place = block[:, None] - np.arange(len(members)) * p
        masks[:, members] = place % q < p
        masks[:, members] = _traded(masks[:, members], rng)
    return masks


def check_classes_seen(masks, codes, classes):
    """Refuse a design in which a model does not see every class."""
    for code, label in enumerate(classes.tolist()):
        seen = masks[:, codes == code].any(1)
        if not seen.all():
            raise InvalidInputError(
                f"Every shadow model must see every class; class {label!r} has "
                f"{np.sum(codes == code)} samples and {np.sum(~seen)} of {len(masks)} "
                "models see none of them. Merge small classes, leave them out, or "
                "raise share."
            )


def _traded(masks, rng):
    """Trade samples between pairs of models, in rounds; (n_shadow, n_members)."""
    n_shadow = len(masks)
    for _ in range(_TRADES):
        order = rng.permutation(n_shadow)
        half = n_shadow // 2
        for one, other in zip(order[:half], order[half : 2 * half], strict=True):
            differ = np.flatnonzero(masks[one] != masks[other])
            mine = rng.permutation(masks[one, differ])
            masks[one, differ], masks[other, differ] = mine, ~mine
    return masks
