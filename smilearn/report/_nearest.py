"""Nearest samples of the given and of the likelier class, by cosine."""

import numpy as np

_BLOCK = 2**24  # similarities held at once


def nearest_rows(X, codes, likely, rows):
    """Nearest other row of the given and of the likelier class; -1 for none."""
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-30)
    unit = unit.astype(np.float32)
    near = np.full((len(rows), 2), -1)
    step = max(1, _BLOCK // len(X))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        likeness = unit[block] @ unit.T
        likeness[np.arange(len(block)), block] = -np.inf
        for side, labels in enumerate((codes, likely)):
            if side and labels is codes:
                continue
            wanted = np.where(codes == labels[block, None], likeness, -np.inf)
            best = wanted.argmax(axis=1)
            found = np.isfinite(wanted[np.arange(len(block)), best])
            if side:
                found &= labels[block] != codes[block]
            near[start : start + step, side] = np.where(found, best, -1)
    return near
