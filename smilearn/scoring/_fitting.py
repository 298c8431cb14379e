"""Fitting to samples that are all at hand, or come again and again in blocks.

Samples at hand are projected once: the moments of a block of slices are taken and its
projections looked up while they are there. Blocks of a stream are gone through twice
for each extension of the slices, once for the sums and once for the scores. The
probabilities take one more pass, as the pool is fitted to the sums.
"""

from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property, partial

import numpy as np
import torch
from tqdm.auto import tqdm

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._blocks import Block
from smilearn.scoring._checks import forget, one_kind
from smilearn.scoring._model import fit_model, split_by_left_out
from smilearn.scoring._outliers import find_outliers
from smilearn.scoring._points import rows_of
from smilearn.scoring._reader import SliceReader, SliceSums
from smilearn.scoring._recipe import recipe_of
from smilearn.scoring._slices import own_column
from smilearn.scoring._sums import Sums
from smilearn.scoring._tally import (
    ENOUGH_RELIABILITY,
    FIRST_SLICES,
    SliceTally,
    warn_unreliable,
)
from smilearn.utils._devices import working_on
from smilearn.utils._weights import enough_weight


class Fitting:
    """One fit to samples in blocks."""

    def __init__(self, blocks, recipe, settings):
        self.blocks, self.recipe, self.settings = blocks, recipe, settings
        self.classes, self._codes, self.weight = blocks.labels_and_weights()
        if len(self.classes) < 2:
            raise InvalidInputError(
                "y must hold 2 classes or more, as the score compares labels; "
                f"got 1 class: {self.classes.tolist()[0]!r} for all "
                f"{len(self._codes)} samples."
            )
        if self.weight is not None:
            enough_weight(self.weight, self.labels)
        self.outliers = np.zeros(len(self._codes), bool)
        self._fitted = np.ones(len(self._codes), bool)
        if self.weight is not None:
            self._fitted = self.weight > 0
        self.sums = None

    @property
    def labels(self):
        """Label of each sample, (n,)."""
        return self.classes[self._codes]

    def set_outliers_aside(self, ratio):
        """Find outliers; they are not fitted, and scored as new samples."""
        self.outliers = find_outliers(self.blocks, self._codes, ratio, self.weight)
        self._fitted &= ~self.outliers

    def add_slices(self, directions, n_slices, most, *, verbose=False):
        """Fit so many slices; "auto" doubles them until the ranking is reliable."""
        length = directions.n_features if self.recipe.orthogonal else 1
        self.tally = SliceTally(len(self._codes), length, self.weight)
        if n_slices == "auto":
            n_slices = min(FIRST_SLICES, most)
        else:
            most = n_slices
        if directions.n_features == 1:  # there is one direction only
            n_slices = most = 1
        self._extend(directions.first(n_slices), verbose)
        while n_slices < most and self.tally.reliability < ENOUGH_RELIABILITY:
            n_slices = min(2 * n_slices, most)
            self._extend(directions.first(n_slices), verbose)
        self.recipe = replace(self.recipe, directions=directions.first(n_slices))

    def _extend(self, directions, verbose):
        start = self.tally.n_slices
        fresh = directions[start:]
        groups = self.tally.groups(start + np.arange(len(fresh)))
        with tqdm(desc="slices", total=len(fresh), disable=not verbose) as bar:
            if self.blocks.at_hand:
                sums = self._project_once(fresh, groups, bar)
            else:
                sums = self._stream(fresh, groups)
                bar.update(len(fresh))
        self.sums = sums if self.sums is None else self.sums.with_slices(sums)
        self.tally.count(start, len(directions))

    @property
    def _for_sums(self):
        """What `sums_of` is handed, aligned with the samples."""
        return self._codes, self._fitted, self.weight

    def _asked(self, directions):
        return self.classes, directions, self.recipe.pooled and self.sums is None

    def _project_once(self, directions, groups, bar):
        """Sums and scores from one product: for samples that are all at hand."""
        fitted = np.flatnonzero(self._fitted)

        def read(order, codes, product, moments, block):
            rows = fitted[order]
            codes = torch.as_tensor(codes, device=product.device)
            column = own_column("pmi", codes, self._left_out[rows])
            nodes = self.settings.nodes(moments)
            part = SliceSums(groups[block], 4, product, column)
            reader = SliceReader(self.settings, moments, nodes, in_range=True)
            reader.add_to([part], product, [column])
            (total,), (squares,) = part.values()
            self.tally.add(rows, total, squares)
            bar.update(len(product))

        asked = *self._for_sums, *self._asked(directions), read
        sums = sums_of(self.blocks.block, self.settings, *asked)
        if len(fitted) < len(self._codes):
            others = np.flatnonzero(~self._fitted)
            work = partial(tally_of, rows=others)
            self._tally(self._of_slices(sums, directions), groups, work, others)
        return sums

    def _stream(self, directions, groups):
        """Sums and scores in two passes over the blocks."""
        merge = partial(merged, directions=directions)
        shared = self._asked(directions)
        sums = self.blocks.total(sums_of, merge, self._for_sums, shared)
        model = self._of_slices(sums, directions)
        self._tally(model, groups, tally_of, slice(None))
        return sums

    def _tally(self, model, groups, work, rows):
        """Add the pmi of some samples to the tally."""
        aligned, shared = (self._codes, self._left_out), (model, groups)
        parts = self.blocks.map(work, aligned, shared)
        totals, squares = (
            np.concatenate(each, -1) for each in zip(*parts, strict=True)
        )
        self.tally.add(rows, totals, squares)

    def _of_slices(self, sums, directions):
        """Model of some slices alone."""
        recipe = replace(self.recipe, directions=directions, pooled=False)
        return fit_model(sums, recipe, self.settings)

    def finish(self):
        """Fit the model, and score all samples where it is a pooled one."""
        with working_on(self.settings.device):
            self.model = fit_model(self.sums, self.recipe, self.settings)
        psmi = self.tally.mean
        self.psmi = np.where(self.outliers, np.minimum(psmi, 0), psmi)
        self.errors = self.tally.standard_error
        one_direction = self.recipe.directions.shape[1] == 1
        self.reliability = 1.0 if one_direction else self.tally.reliability
        if not self.recipe.pooled:
            return
        aligned = self._codes, self._left_out
        parts = self.blocks.map(posterior_of, aligned, (self.model,))
        own, self.likely = map(np.concatenate, zip(*parts, strict=True))
        prior = self.model.pool.log_prior[self._codes]
        bounded = np.minimum(own, prior)
        self.log_probability = np.where(self.outliers, bounded, own)

    @cached_property
    def _left_out(self):
        """Copies of each sample that are left out when it is scored, (n,)."""
        if not self.recipe.leave_one_out:
            return np.zeros(len(self._codes))
        if self.weight is None or (self.weight[self._fitted] % 1 == 0).all():
            return self._fitted.astype(float)
        return np.where(self._fitted, self.weight, 0)


def sums_of(
    block, settings, codes, fitted, weight, classes, directions, pooled, read=None
):
    """Sums of the fitted samples of a block; None where there are none."""
    rows = np.flatnonzero(fitted)
    if not len(rows):
        return None
    keys = block.keys(rows) if pooled else None
    weight = None if weight is None else weight[rows]
    X, labels = rows_of(block.features, rows), classes[codes[rows]]
    asked = {"pooled": pooled, "keys": keys, "read": read}
    return Sums.of(X, labels, weight, directions, settings, **asked)


def merged(one, two, directions):
    """Sums of two sets of samples, of which either may be None."""
    if one is None or two is None:
        return two if one is None else one
    one_kind(two.labels, one.labels)
    return one.merged(two, directions)


def tally_of(block, settings, codes, left_out, model, groups, rows=None):
    """Sums of the pmi of samples over the slices of each group, and of its squares."""
    rows = np.arange(len(block)) if rows is None else rows
    totals, squares = np.zeros((4, len(rows))), np.zeros(len(rows))
    for part in split_by_left_out(left_out[rows]):
        points, labels = model.labelled(block.features, codes, rows[part], settings)
        own = left_out[rows[part]]
        known = {"groups": groups, "in_range": bool(own.any())}
        columns = [own_column("pmi", labels, own)]
        for _, ((total, square),) in model.slices.sums(
            points, columns, settings, **known
        ):
            totals[:, part] += total[0]
            squares[part] += square[0]
    return totals, squares


def posterior_of(block, settings, codes, left_out, model):
    """Log probability of the own label, and the likeliest, each sample left out."""
    return model.left_out_posterior(block.features, codes, left_out, settings)


def fit_scorer(scorer, make_blocks, size=np.inf):
    """Fit a scorer to the blocks that `make_blocks(recipe, settings)` gives."""
    forget(scorer)
    recipe, directions = recipe_of(scorer, scorer.n_features_in_, size)
    settings = scorer._settings(recipe)
    blocks = make_blocks(recipe, settings)
    # other blocks are made by the user's code, with the user's threads
    with working_on(settings.device) if blocks.at_hand else nullcontext():
        fitting = Fitting(blocks, recipe, settings)
        if scorer.outliers is not None:
            fitting.set_outliers_aside(scorer.outliers)
        asked = scorer.n_slices, scorer.max_slices
        fitting.add_slices(directions, *asked, verbose=bool(scorer.verbose))
        fitting.finish()
    scorer._keep(fitting.sums, fitting.recipe, fitting.model)
    scorer.labels_, scorer.outliers_ = fitting.labels, fitting.outliers
    scorer.psmi_ = scorer.scores_ = fitting.psmi
    scorer.scores_std_, scorer.reliability_ = fitting.errors, fitting.reliability
    if recipe.pooled:
        scorer.scores_ = fitting.log_probability
        scorer.probability_ = np.exp(scorer.scores_)
        scorer.likely_labels_ = scorer.classes_[fitting.likely]
    if scorer.n_slices == "auto":
        warn_unreliable(scorer.reliability_, scorer.n_slices_, scorer.max_slices)
    return fitting.weight


def with_batch(sums, X, y, weight, recipe, settings):
    """Sums so far (or None) and those of one more batch."""
    fitted = np.ones(len(y), bool) if weight is None else weight > 0
    classes, codes = np.unique(y, return_inverse=True)
    with working_on(settings.device):
        block = Block(X, recipe.projection, settings.device)
        asked = fitted, weight, classes, recipe.directions, recipe.pooled
        fresh = sums_of(block, settings, codes, *asked)
        return merged(sums, fresh, recipe.directions)
