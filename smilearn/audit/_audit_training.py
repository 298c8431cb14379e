"""How an audit trains its models, of all samples or without some."""

from pathlib import Path

import numpy as np

from smilearn.audit._callable_names import callable_name
from smilearn.audit._estimator_facts import check_no_folder
from smilearn.audit._shadow_design import (
    balanced_masks,
    check_classes_seen,
    models_a_sample,
)
from smilearn.audit._shadow_folder import ShadowFolder, run_facts
from smilearn.audit._shadow_runs import run_shadows
from smilearn.utils._random import generator_from
from smilearn.utils._run_folder import digest


class AuditTraining:
    """Expects the parameters of `ShadowAudit`; keeps the seed of the run."""

    def _design(self, codes, classes):
        """Draw the seed of the run and who is IN which model, (n_shadow, n_samples)."""
        n_in = models_a_sample(self.n_shadow, self.share)
        self._seed = self._run_seed()
        rng = np.random.default_rng([self._seed, 0])
        masks = balanced_masks(codes, self.n_shadow, n_in, rng)
        check_classes_seen(masks, codes, classes)
        return masks

    def _answers(self, X, y, classes, masks, params, facts, withheld=None):
        """Train the models and ask them of all samples."""
        check_no_folder(self.estimator)
        folder, told = self.checkpoint_folder, {"seed": self._seed}
        if withheld is not None:
            masks = masks & ~withheld
            told["withheld"] = digest(withheld)
            folder = folder and Path(folder) / f"without-{told['withheld']}"
        folder = ShadowFolder(folder) if folder else None
        if folder:
            folder.claim(facts | told)
        job = {
            "estimator": self.estimator,
            "X": X,
            "y": y,
            "params": params,
            "classes": classes,
            "statistic": self.statistic,
        }
        seeds = np.random.default_rng([self._seed, 1]).integers(2**31, size=len(masks))
        return run_shadows(
            job, masks, seeds.tolist(), folder, self.n_jobs, self.verbose
        )

    def _facts(self, X, y, params):
        """What the answers of the models depend on."""
        root = self.checkpoint_folder
        try:
            return run_facts(self.estimator, X, y, params, self._settings(), root)
        except Exception:  # whatever pickle comes upon, in X too
            if root:
                raise
            return None

    def _run_seed(self):
        """Seed of the run; of the run in the folder, where the user names none."""
        if self.checkpoint_folder and self.random_state is None:
            kept = ShadowFolder(self.checkpoint_folder).seed()
            if kept is not None:
                return kept
        return int(generator_from(self.random_state, "audit").integers(2**31))

    def _settings(self):
        """What of the parameters the answers of the models depend on."""
        told = self.statistic
        return {
            "n_shadow": int(self.n_shadow),
            "share": float(self.share),
            "statistic": callable_name(told) if callable(told) else told,
        }
