"""What the checkpoints of a Trainer keep of an early point."""

import numpy as np

_DECIDING = ("rule", "loss_drop", "stop_epoch", "layer", "pooling", "share")


class TrainerRecord:
    """Losses and findings, in the state that a Trainer writes into each checkpoint."""

    def __init__(self, callback, state):
        given = [f"{name}={getattr(callback, name)!r}" for name in _DECIDING]
        self.name = f"{type(callback).__name__}({', '.join(given)})"
        self.states = state.stateful_callbacks
        found = self.states.get(self.name) if state.global_step else None
        same = found is not None and found["n_samples"] == len(callback._samples)
        self.found = found if same else None
        self.n_samples = len(callback._samples)

    def keep(self, point, callback=None):
        """Write down how far things are."""
        base_loss = point.base_loss
        if base_loss is None and point.history:
            base_loss = point.history[0]["median_loss"]
        record = {
            "n_samples": self.n_samples,
            "base_loss": base_loss,
            "history": list(point.history),
        }
        if callback is not None and point.reached:
            kept = callback.kept_indices_
            left_out = np.setdiff1d(np.arange(self.n_samples), kept).tolist()
            record["scored"] = {
                "reached": callback.reached_,
                "early_step": int(callback.early_step_),
                "file": str(callback.file_),
                "left_out": left_out,
            }
        self.states[self.name] = record
