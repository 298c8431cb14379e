"""What a fitted scorer answers about samples: one frozen object, NumPy arrays only."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._lda import LDA, eigen_ldas
from smilearn.scoring._points import features_of, project, residuals
from smilearn.scoring._pool import Pool, fit_pool
from smilearn.scoring._reader import Column, SliceReader, SliceSums
from smilearn.scoring._recipe import Recipe
from smilearn.scoring._sums import ClassMoments
from smilearn.utils._devices import in_blocks
from smilearn.utils._indexing import as_tensor

_CELLS = 2**24  # of points and of a table of probabilities
_POOL_CELLS = 2**17  # samples times labels on which the pool is fitted
_POOL_ROWS = 512, 4096
_LEAST_GAIN = 0.03  # of the mean surprise, that slices must save to enter the pool
LIKELIEST = 8  # labels of a sample whose slices are read; the others take their mean


@dataclass(frozen=True)
class ScoreModel:
    """A fitted scorer. Nothing here depends on the scorer's parameters any more."""

    recipe: Recipe
    classes: np.ndarray
    count: np.ndarray
    whole: bool  # weights were whole numbers: one copy can be left out
    centre: np.ndarray
    inverse_scale: np.ndarray
    moments: ClassMoments
    nodes: np.ndarray
    lda: LDA | None
    pool: Pool
    gain: float = 0.0  # of the slices, in mean left-out log probability
    neglected: float = 0.0  # mean probability of labels whose slices are not read

    @property
    def directions(self):
        """The slices in the space of the features, (S, d)."""
        return self.recipe.directions

    @property
    def pooled(self):
        """Whether scores are log probabilities; PSMI otherwise."""
        return self.lda is not None

    def points(self, X, settings):
        """Samples centred and scaled, (n, d)."""
        projection = self.recipe.projection
        return self.centred(features_of(X, projection, settings.device), settings)

    def centred(self, X, settings):
        """Features, a tensor, centred and scaled."""
        points = residuals(X, self.centre, self.inverse_scale, settings.torch_dtype)
        return points.to(settings.device)

    def scores(self, X, codes, settings):
        """Scores of new samples under some labels; without codes, the best score."""
        if self.pooled:
            table = self.probabilities(X, settings)
            return (
                table.max(1) if codes is None else table[np.arange(len(codes)), codes]
            )
        points = self.points(X, settings)
        columns = self.psmi_columns(codes, points)
        return self.read(points, columns, settings).max(1)

    def probabilities(self, X, settings):
        """Log probability of each label of new samples, (n, K)."""
        parts = [
            self.log_posterior(self.points(X[rows], settings), settings)
            for rows in self._chunks(X)
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes)))

    def training_scores(self, X, codes, weight, settings):
        """Scores of training samples, left out; of weight 0 they are new ones."""
        left_out = copies_left_out(self, weight)
        X = features_of(X, self.recipe.projection, settings.device)
        if self.pooled:
            return self.left_out_posterior(X, codes, left_out, settings)[0]
        scores = np.empty(len(codes))
        for rows in by_kind(left_out):
            points = self.centred(X[torch.as_tensor(rows, device=X.device)], settings)
            own = torch.as_tensor(codes[rows], device=points.device)
            column = own_column("pmi", own, left_out[rows])
            scores[rows] = self.read(points, [column], settings)[:, 0]
        return scores

    def left_out_posterior(self, X, codes, left_out, settings):
        """Log probability of the own label (n,) and the likeliest label, left out.

        X are features, a tensor; `left_out` (n,) copies of each sample are left out.
        """
        own, likely = np.empty(len(codes)), np.empty(len(codes), np.int64)
        for chunk in self._chunks(X):
            for part in by_kind(left_out[chunk]):
                rows = part + chunk.start
                points = X[torch.as_tensor(rows, device=X.device)]
                points = self.centred(points, settings)
                label = torch.as_tensor(codes[rows], device=points.device)
                table = self.log_posterior(points, settings, label, left_out[rows])
                own[rows] = table[np.arange(len(rows)), codes[rows]]
                likely[rows] = table.argmax(1)
        return own, likely

    def _chunks(self, X):
        """Rows whose points and table of probabilities fit in memory."""
        step = max(1, _CELLS // max(len(self.classes), len(self.centre)))
        for begin in range(0, X.shape[0], step):
            yield slice(begin, min(begin + step, X.shape[0]))

    def psmi_columns(self, codes, points):
        """Columns of the PSMI under given labels (n,), or None: under each label."""
        if codes is None:
            codes = np.repeat(np.arange(len(self.classes))[:, None], len(points), 1)
        codes = torch.as_tensor(np.atleast_2d(codes), device=points.device)
        return [Column("pmi", each) for each in codes]

    def read(self, points, columns, settings):
        """Mean over the slices of what each column reads, (n, n_columns)."""
        totals = np.zeros((len(columns), len(points)))
        for _, sums in self.slice_sums(points, columns, settings):
            totals += [total.sum(0) for total, _ in sums]
        return totals.T / len(self.directions)

    def slice_sums(self, points, columns, settings, *, cuts=(), groups=None):
        """Go through the slices: where each piece ends, and what its columns read.

        Of each column: sums over the slices of each group (n_groups, n), and of their
        squares (n,). `groups` (S,) are those of the slices; `cuts` end pieces too.
        """
        n_groups = 1 if groups is None else 4  # those of a SliceTally
        groups = np.zeros(len(self.directions), int) if groups is None else groups
        cuts = np.asarray(cuts, int)

        def work(block):
            product = points.new_empty((block.stop - block.start, len(points)))
            project(settings.tensor(self.directions[block]), points, product)
            inside = cuts[(block.start < cuts) & (cuts < block.stop)]
            for begin, end in pairwise([block.start, *inside, block.stop]):
                piece = slice(begin, end)
                Z = product[begin - block.start : end - block.start]
                sums = [SliceSums(groups[piece], n_groups, Z) for _ in columns]
                reader = SliceReader(settings, self.moments[piece], self.nodes[piece])
                reader.add_to(sums, Z, columns)
                yield end, [each.values() for each in sums]

        return in_blocks(work, settings, 0, len(self.directions), len(points))

    def staged(self, X, codes, settings, counts):
        """Scores (n,) after some counts of slices; the pool stays as it is.

        Without codes, of the label that fits each sample best.
        """
        points = self.points(X, settings)
        if self.pooled:
            tables = {"lda": _array(self.lda.table(points, settings))}
            columns = self._evidence_columns(None, points)
        else:
            columns = self.psmi_columns(codes, points)
        totals = np.zeros((len(columns), len(points)))
        for end, sums in self.slice_sums(points, columns, settings, cuts=counts):
            totals += [total.sum(0) for total, _ in sums]
            if end not in counts:
                continue
            table = totals.T / end
            if self.pooled:
                table = self.pool.log_posterior(tables | {"slices": table})
                table = (
                    table
                    if codes is None
                    else table[np.arange(len(codes)), codes, None]
                )
            yield table.max(1)
            if end == counts[-1]:
                return

    def log_posterior(self, points, settings, codes=None, left_out=None):
        """Log probability of each label, (n, K); of samples with `codes`, left out."""
        tables = {}
        if self.lda is not None and left_out is None:
            tables["lda"] = _array(self.lda.table(points, settings))
        elif self.lda is not None:
            table = self.lda.left_out(points, codes, left_out, settings)
            tables["lda"] = _array(table)
        if self.pool.weights["slices"]:
            likely = self._likeliest(tables)
            columns = self._evidence_columns(likely, points, codes, left_out)
            values = self.read(points, columns, settings)
            tables["slices"] = self._evidence(values, likely, codes)
        result = self.pool.log_posterior(tables)
        if left_out is not None:  # of a class without other samples nothing is known
            alone = (left_out > 0) & (self.count[codes.cpu().numpy()] <= left_out)
            result[alone] = self.pool.log_prior
        return result

    def _likeliest(self, tables):
        """Labels (n, c) for which slices are read, by LDA and prior; None: all."""
        n_classes = len(self.classes)
        if self.lda is None or n_classes <= LIKELIEST + 1:
            return None
        logits = self.pool.prior_weight * self.pool.log_prior
        logits = logits + self.pool.weights["lda"] * tables["lda"]
        return np.argpartition(-logits, LIKELIEST, axis=1)[:, :LIKELIEST]

    def _evidence_columns(self, likely, points, codes=None, left_out=None):
        if likely is None:
            labels = np.broadcast_to(
                np.arange(len(self.classes))[:, None], (len(self.classes), len(points))
            )
        else:
            labels = likely.T
        labels = torch.as_tensor(np.array(labels), device=points.device)
        columns = [Column("density", each) for each in labels]
        if codes is not None:
            columns.append(own_column("density", codes, left_out))
        return columns

    def _evidence(self, values, likely, codes=None):
        """Mean log density under each label, (n, K), from those that were read."""
        table = values if codes is None else values[:, :-1]
        if likely is not None:
            table = self._filled(table, likely)
        if codes is not None:
            table[np.arange(len(table)), codes.cpu().numpy()] = values[:, -1]
        return table

    def _filled(self, read, likely):
        """A table (n, K) with the mean of a row where labels were not read."""
        table = np.repeat(read.mean(1, keepdims=True), len(self.classes), axis=1)
        np.put_along_axis(table, likely, read, 1)
        return table


def own_column(function, codes, left_out=None):
    """Column of the samples' own labels, `left_out` (n,) copies of each left out.

    Either all of them are above 0 or none is.
    """
    if left_out is None or not left_out.any():
        return Column(function, codes)
    whole = (left_out == 1).all()
    weight = None if whole else torch.as_tensor(left_out, device=codes.device)
    return Column(function, codes, True, weight)


def by_kind(left_out):
    """Rows of which something is left out, and rows of which nothing is."""
    kinds = (np.flatnonzero(left_out > 0), np.flatnonzero(left_out <= 0))
    return [rows for rows in kinds if len(rows)]


def _array(tensor):
    return tensor.cpu().double().numpy()


def fit_model(sums, recipe, settings):
    """Fit what follows from the sums alone: densities, LDA and the pool."""
    total, n_classes = sums.count.sum(), len(sums.labels)
    if total < n_classes:  # only a stream can tell no sooner
        raise InvalidInputError(
            "sample_weight counts copies of a sample, so it must add up to at least "
            f"one a class before samples are scored; got {total:.3g} for {n_classes} "
            "classes so far. Go on with partial_fit; or multiply weights that sum to "
            "1 by the number of samples."
        )
    moments = sums.moments(recipe.directions)
    model = ScoreModel(
        recipe=recipe,
        classes=sums.labels,
        count=sums.count,
        whole=sums.whole,
        centre=sums.centre,
        inverse_scale=sums.inverse_scale,
        moments=moments,
        nodes=settings.nodes(moments),
        lda=None,
        pool=Pool({"slices": 1.0}, 1.0, np.log(sums.count / sums.count.sum())),
    )
    return _with_pool(model, sums, settings) if recipe.pooled else model


def _with_pool(model, sums, settings):
    """Choose the shrinkage and the weights of the members on the sample of the sums."""
    n_classes, log_prior = len(sums.labels), model.pool.log_prior
    sample = sums.sample[: int(np.clip(_POOL_CELLS // n_classes, *_POOL_ROWS))]
    codes = np.searchsorted(sums.labels, sample.labels)
    left_out = copies_left_out(model, sample.weight)
    kept = sums.count[codes] > left_out
    sample, codes, left_out = sample[kept], codes[kept], left_out[kept]
    vectors, ldas = eigen_ldas(sums)
    if not len(codes):  # classes of one sample each
        pool = Pool({"lda": 0.0, "slices": 0.0}, 1.0, log_prior)
        return replace(model, lda=ldas[-1].along(vectors), pool=pool)
    X, scale = as_tensor(sample.X, settings.device), (sums.centre, sums.inverse_scale)
    points = residuals(X, *scale, settings.torch_dtype).to(settings.device)
    own = torch.as_tensor(codes, device=settings.device)
    rotated = points @ settings.tensor(vectors)
    best = None
    for lda in ldas:
        table = _array(lda.left_out(rotated, own, left_out, settings))
        pool, reached = fit_pool({"lda": table}, codes, log_prior, sample.weight)
        if best is None or reached > best[0]:
            best = reached, lda, pool, table
    reached, lda, pool, table = best
    columns = model._evidence_columns(None, points, own, left_out)
    values = model.read(points, columns, settings)
    tables = {"lda": table, "slices": model._evidence(values, None, own)}
    both, more = fit_pool(tables, codes, log_prior, sample.weight)
    gain = more - reached
    lda = lda.along(vectors)
    if gain <= _LEAST_GAIN * -reached:
        pool = replace(pool, weights=pool.weights | {"slices": 0.0})
        return replace(model, lda=lda, pool=pool, gain=gain)
    model = replace(model, lda=lda, pool=both, gain=gain)
    likely = model._likeliest(tables)
    if likely is None:
        return model
    others = np.exp(both.log_posterior(tables))
    others[np.arange(len(codes)), codes] = 0
    np.put_along_axis(others, likely, 0, 1)
    return replace(model, neglected=float(others.sum(1).mean()))


def copies_left_out(model, weight):
    """How much of each sample of some weight is left out when it is scored, (n,)."""
    if not model.recipe.leave_one_out:
        return np.zeros(len(weight))
    return np.minimum(weight, 1.0) if model.whole else weight
