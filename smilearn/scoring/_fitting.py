"""Fitting to samples that are all at hand, or come again and again in batches.

Samples at hand are projected once: the moments of a block of slices are taken and its
projections looked up while they are there. Batches are gone through twice for each
extension of the slices, once for the sums and once for the scores. The probabilities
take one more pass, as the pool is fitted to the sums.
"""

from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from tqdm.auto import tqdm

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._checks import forget
from smilearn.scoring._model import fit_model, split_by_left_out
from smilearn.scoring._outliers import find_outliers
from smilearn.scoring._points import content_keys, features_of, rows_of
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
    """One fit; `batches` makes an iterable of (X, y, weight), checked."""

    def __init__(self, batches, settings, recipe, *, at_hand):
        self._batches, self.settings, self.recipe = batches, settings, recipe
        self._at_hand = None
        if at_hand:
            ((X, self.labels, self.weight),) = batches()
            self._at_hand = features_of(X, recipe.projection, settings.device)
            self._source = X
        else:
            self.labels, self.weight = _labels_and_weights(batches())
        self.classes, self._codes = np.unique(self.labels, return_inverse=True)
        if len(self.classes) < 2:
            raise InvalidInputError(
                "y must hold 2 classes or more, as the score compares labels; "
                f"got 1 class: {self.classes.tolist()[0]!r} for all "
                f"{len(self.labels)} samples."
            )
        enough_weight(self.weight, self.labels)
        self.outliers = np.zeros(len(self.labels), bool)
        self._fitted = np.ones(len(self.labels), bool)
        if self.weight is not None:
            self._fitted = self.weight > 0
        self.sums = None

    def set_outliers_aside(self, ratio):
        """Find outliers; they are not fitted, and scored as new samples."""

        def blocks():
            return ((rows.start, X) for rows, X in self._blocks())

        self.outliers = find_outliers(blocks, self._codes, ratio, self.weight)
        self._fitted &= ~self.outliers

    def add_slices(self, directions, n_slices, most, *, verbose=False):
        """Fit so many slices; "auto" doubles them until the ranking is reliable."""
        length = directions.n_features if self.recipe.orthogonal else 1
        self.tally = SliceTally(len(self.labels), length, self.weight)
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
        with tqdm(desc="slices", total=len(fresh), disable=not verbose) as bar:
            if self._at_hand is None:
                sums = self._stream(fresh, start)
                bar.update(len(fresh))
            else:
                sums = self._project_once(fresh, start, bar)
        self.sums = sums if self.sums is None else self.sums.with_slices(sums)
        self.tally.count(start, len(directions))

    def _sums_of(self, X, rows, directions, read=None):
        """Sums of the fitted samples among some rows; None where there are none."""
        fitted = np.flatnonzero(self._fitted[rows])
        if not len(fitted):
            return None
        asked = {"pooled": self.recipe.pooled and self.sums is None, "read": read}
        if asked["pooled"] and self.recipe.projection is not None:
            asked["keys"] = content_keys(self._source)[fitted]
        X = rows_of(X, fitted)
        fitted = fitted + rows.start
        weight = None if self.weight is None else self.weight[fitted]
        labels = self.labels[fitted]
        return Sums.of(X, labels, weight, directions, self.settings, **asked)

    def _project_once(self, directions, start, bar):
        """Sums and scores from one product: for samples that are all at hand."""
        fitted = np.flatnonzero(self._fitted)
        groups = self.tally.groups(start + np.arange(len(directions)))

        def read(product, moments, order, codes, block):
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

        everything = slice(0, len(self.labels))
        sums = self._sums_of(self._at_hand, everything, directions, read)
        if len(fitted) < len(self.labels):
            model = self._of_slices(sums, directions)
            others = np.flatnonzero(~self._fitted)
            self._tally(model, 0, self._at_hand, groups, others)
        return sums

    def _stream(self, directions, start):
        """Sums and scores in two passes over the batches."""
        sums = None
        for rows, X in self._blocks():
            with working_on(self.settings.device):
                fresh = self._sums_of(X, rows, directions)
            if fresh is not None:
                sums = fresh if sums is None else sums.merged(fresh, directions)
        model = self._of_slices(sums, directions)
        groups = self.tally.groups(start + np.arange(len(directions)))
        for rows, X in self._blocks():
            with working_on(self.settings.device):
                self._tally(model, rows.start, X, groups, np.arange(len(X)))
        return sums

    def _tally(self, model, begin, X, groups, some):
        """Add the pmi of some rows of a block to the tally."""
        block = slice(begin, begin + len(X))
        codes, left_out = self._codes[block], self._left_out[block]
        for part in split_by_left_out(left_out[some]):
            rows = some[part]
            points, labels = model.labelled(X, codes, rows, self.settings)
            column = own_column("pmi", labels, left_out[rows])
            known = {"groups": groups, "in_range": bool(left_out[rows].any())}
            parts = model.slices.sums(points, [column], self.settings, **known)
            for _, (((total,), (squares,)),) in parts:
                self.tally.add(begin + rows, total, squares)

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
        self.log_probability = np.empty(len(self.labels))
        self.likely = np.empty(len(self.labels), np.int64)
        for rows, X in self._blocks():
            with working_on(self.settings.device):
                own, likely = self.model.left_out_posterior(
                    X, self._codes[rows], self._left_out[rows], self.settings
                )
            prior = self.model.pool.log_prior[self._codes[rows]]
            bounded = np.where(self.outliers[rows], np.minimum(own, prior), own)
            self.log_probability[rows], self.likely[rows] = bounded, likely

    @cached_property
    def _left_out(self):
        """Copies of each sample that are left out when it is scored, (n,)."""
        if not self.recipe.leave_one_out:
            return np.zeros(len(self.labels))
        if self.weight is None or (self.weight[self._fitted] % 1 == 0).all():
            return self._fitted.astype(float)
        return np.where(self._fitted, self.weight, 0)

    def _blocks(self):
        """Rows of each block and their features, the same at each call."""
        if self._at_hand is not None:
            yield slice(0, len(self.labels)), self._at_hand
            return
        begin = 0
        for X, y, _ in self._batches():
            rows = slice(begin, begin + len(y))
            if not np.array_equal(y, self.labels[rows]):
                break
            self._source = X
            yield rows, features_of(X, self.recipe.projection, self.settings.device)
            begin += len(y)
        if begin < len(self.labels):
            raise InvalidInputError(
                "batches must give the same samples in the same order each time they "
                f"are gone through; the {len(self.labels)} labels of the first time "
                f"did not come again from sample {begin} on."
            )


def _labels_and_weights(batches):
    """Labels of all samples, and their weights, or None where all are 1."""
    labels, weights = [], []
    for _, y, weight in batches:
        labels.append(y)
        weights.append(np.ones(len(y)) if weight is None else weight)
    weight = np.concatenate(weights)
    return np.concatenate(labels), None if (weight == 1).all() else weight


def fit_scorer(scorer, batches, size=np.inf, at_hand=False):
    """Fit a scorer to (X, y, weight) that `batches` makes; give the weights."""
    forget(scorer)
    recipe, directions = recipe_of(scorer, scorer.n_features_in_, size)
    settings = scorer._settings(recipe)
    # batches are made by the user's code, with the user's threads
    with working_on(settings.device) if at_hand else nullcontext():
        fitting = Fitting(batches, settings, recipe, at_hand=at_hand)
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
    if weight is not None and not weight.all():
        X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
    if not X.shape[0]:
        return sums
    with working_on(settings.device):
        asked = {"pooled": recipe.pooled}
        if recipe.projection is not None:
            asked["keys"] = content_keys(X)
        X = features_of(X, recipe.projection, settings.device)
        directions = recipe.directions
        fresh = Sums.of(X, y, weight, directions, settings, **asked)
        return fresh if sums is None else sums.merged(fresh, directions)
