"""What the callback leaves behind: a table, an entry in the log, a record to resume."""

from pathlib import Path

import numpy as np

from smilearn.tables._risk_table import RiskTable


class TrainerWriter:
    """Write the table of a run, its summary, and its record in each checkpoint."""

    def __init__(self, folder, file_format, name, n_samples, state):
        self.folder, self.file_format = Path(folder), file_format
        self.name, self.n_samples = name, n_samples
        self.records = state.stateful_callbacks  # written into each checkpoint

    def check(self):
        """Fail now, not at the early point, if no table can be written."""
        probe = self.folder / f".risk-probe.{self.file_format}"
        getattr(RiskTable([0.0], [0]), f"to_{self.file_format}")(probe)
        probe.unlink(missing_ok=True)

    def table(self, table, step, state):
        """Write the table of a step, and return its file."""
        file = self.folder / f"risk-step-{step}.{self.file_format}"
        if state.is_world_process_zero:
            getattr(table, f"to_{self.file_format}")(file)
        return file

    def log(self, summary, step, state, control, trainer=None):
        """Log the summary, with a Trainer to its reporters too."""
        if trainer is None:
            entry = {**summary, "epoch": state.epoch, "step": step}
            state.log_history.append(entry)
            return
        due = control.should_log  # logging takes back the Trainer's own wish to log
        trainer.log(dict(summary))
        control.should_log = due

    def record(self):
        """Record of the checkpoint that a run is resumed from; None without its own."""
        record = self.records.get(self.name)
        same = record is not None and record["n_samples"] == self.n_samples
        return record if same else None

    def keep(self, point, kept_indices=None, **scored):
        """Record losses for the next checkpoint, and scores of an early point."""
        record = {
            "n_samples": self.n_samples,
            "base_loss": point.first_loss,
            "history": list(point.history),
        }
        if scored and point.reached:
            left_out = np.setdiff1d(np.arange(self.n_samples), kept_indices)
            record["scored"] = {**scored, "left_out": left_out.tolist()}
        self.records[self.name] = record
