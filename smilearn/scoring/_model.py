"""What a fitted scorer answers about samples: one frozen object, NumPy arrays only."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.utils import gen_batches

from smilearn.exceptions import InvalidInputError
from smilearn.scoring._lda import LDA, choose_lda, eigen_ldas
from smilearn.scoring._points import features_of, residuals, rows_of
from smilearn.scoring._pool import Pool, fit_pool
from smilearn.scoring._recipe import Recipe
from smilearn.scoring._slices import Slices, own_column
from smilearn.utils._indexing import as_tensor
from smilearn.utils._threads import in_threads

_CELLS = 2**24  # of points and of a table of probabilities
_ROWS = 2048  # whose points stay near in a cache
_POOL_CELLS = 2**17  # samples times labels on which the pool is fitted
_POOL_ROWS = 512, 2048
_GATE_SLICES = 256  # by which it is told whether slices enter the pool
_LEAST_GAIN = 0.03  # of the mean surprise, that slices must save to enter the pool
FEWEST_LIKELY = 8  # labels of a training sample whose slices are read
MOST_NEGLECTED = 0.01  # mean probability of the others, which take their mean


@dataclass(frozen=True)
class ScoreModel:
    """A fitted scorer. Nothing here depends on the scorer's parameters any more."""

    recipe: Recipe
    classes: np.ndarray
    count: np.ndarray
    whole: bool  # weights were whole numbers: one copy can be left out
    centre: np.ndarray
    inverse_scale: np.ndarray
    slices: Slices
    lda: LDA | None
    pool: Pool
    gain: float = 0.0  # of the slices, in mean left-out log probability
    n_likely: int = 0  # labels of a training sample whose slices are read, if not all
    neglected: float = 0.0  # mean probability of the others

    @property
    def pool_facts(self):
        """What a person may want to know of the pool."""
        return {
            "weights": self.pool.weights | {"prior": self.pool.prior_weight},
            "shrinkage": self.lda and self.lda.shrinkage,
            "gain": self.gain,
            "neglected": self.neglected,
        }

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

    def labelled(self, X, codes, rows, settings):
        """Points and labels of some rows of features, where the work is done."""
        points = self.centred(rows_of(X, rows), settings)
        return points, torch.as_tensor(codes[rows], device=points.device)

    def scores(self, X, codes, settings):
        """Scores of new samples under some labels; without codes, the best score."""
        if self.pooled:
            return own_values(self.probabilities(X, settings), codes)
        scores = np.empty(X.shape[0])
        for rows in gen_batches(len(scores), self._chunk_length):
            points = self.points(X[rows], settings)
            own = None if codes is None else codes[rows]
            scores[rows] = self.slices.psmi(points, own, settings).max(1)
        return scores

    def probabilities(self, X, settings):
        """Log probability of each label of new samples, (n, K)."""
        chunks = gen_batches(X.shape[0], self._chunk_length)
        points = (self.points(X[rows], settings) for rows in chunks)
        return np.concatenate([self.log_posterior(each, settings) for each in points])

    def training_scores(self, X, codes, weight, settings):
        """Scores of training samples, left out; of weight 0 they are new ones."""
        left_out = copies_left_out(self, weight)
        X = features_of(X, self.recipe.projection, settings.device)
        if self.pooled:
            return self.left_out_posterior(X, codes, left_out, settings)[0]
        scores = np.empty(len(codes))
        for rows in split_by_left_out(left_out):
            points, own = self.labelled(X, codes, rows, settings)
            column = own_column("pmi", own, left_out[rows])
            scores[rows] = self.slices.means(points, [column], settings)[:, 0]
        return scores

    def left_out_posterior(self, X, codes, left_out, settings):
        """Log probability of the own label (n,) and the likeliest label, left out."""
        own, likely = np.empty(len(codes)), np.empty(len(codes), np.int64)
        step = self._chunk_length

        def work(begin, end):
            asked = X, codes, left_out, settings, begin, end, step
            for rows, table in self._left_out_tables(*asked):
                own[rows] = own_values(table, codes[rows])
                likely[rows] = table.argmax(1)

        if self.pool.weights["slices"] or settings.device.type != "cpu":
            work(0, len(codes))  # which shares the slices out
        else:
            step = min(step, _ROWS)
            in_threads(work, len(codes), X.numel() * len(self.centre))
        return own, likely

    def left_out_evidence(self, X, codes, weight, settings):
        """Evidence for each label (n, K) but the log prior's, the sample left out."""
        left_out = copies_left_out(self, weight)
        X = features_of(X, self.recipe.projection, settings.device)
        table = np.empty((len(codes), len(self.classes)))
        asked = X, codes, left_out, settings, 0, len(codes), self._chunk_length
        for rows, part in self._left_out_tables(*asked):
            table[rows] = part
        return self.without_prior(table)

    def _left_out_tables(self, X, codes, left_out, settings, begin, end, step):
        """Rows from begin to end, some at a time, and their log posterior, left out.

        X are features, a tensor; `left_out` (n,) copies of each sample are left out.
        """
        for start in range(begin, end, step):
            chunk = np.arange(start, min(start + step, end))
            for part in split_by_left_out(left_out[chunk]):
                rows = chunk[part]
                points, label = self.labelled(X, codes, rows, settings)
                yield rows, self.log_posterior(points, settings, label, left_out[rows])

    def without_prior(self, log_posterior):
        """Evidence that is left of a log posterior (n, K) without the log prior."""
        return log_posterior - self.pool.prior_weight * self.pool.log_prior

    @property
    def _chunk_length(self):
        """Samples whose points and table of probabilities fit in memory."""
        return max(1, _CELLS // max(len(self.classes), len(self.centre)))

    def staged(self, X, codes, settings, counts):
        """Scores (n,) after some counts of slices; without codes, the best score."""
        points, own = self.points(X, settings), None
        if self.pooled:
            lda = {"lda": _array(self.lda.table(points, settings))}
            own, codes = codes, None
        function, totals = "density" if self.pooled else "pmi", 0.0
        columns = [self.slices.columns(function, points, codes)]
        parts = self.slices.sums(points, columns, settings, cuts=counts)
        for end, ((sums, _),) in parts:
            totals = totals + sums.sum(1).T
            if end in counts:
                table = totals / end
                if self.pooled:
                    table = self.pool.log_posterior(lda | {"slices": table})
                yield own_values(table, own)

    def log_posterior(self, points, settings, codes=None, left_out=None):
        """Log probability of each label, (n, K); of samples with `codes`, left out."""
        tables = {}
        if self.lda is not None:
            tables["lda"] = self._lda_table(points, settings, codes, left_out)
        if self.pool.weights["slices"]:
            if left_out is None:
                tables["slices"] = self.slices.table(points, settings)
            else:
                asked = points, codes, left_out, settings, self._likeliest(tables)
                tables["slices"] = self.slices.left_out(*asked)
        result = self.pool.log_posterior(tables)
        if left_out is not None:  # of a class without other samples nothing is known
            alone = (left_out > 0) & (self.count[codes.cpu().numpy()] <= left_out)
            result[alone] = self.pool.log_prior
        return result

    def _lda_table(self, points, settings, codes, left_out):
        """Table of LDA, (n, K), made of rows that stay in a cache."""

        def work(begin, end):
            parts = []
            for start in range(begin, end, _ROWS):
                rows = slice(start, min(start + _ROWS, end))
                if left_out is None:
                    table = self.lda.table(points[rows], settings)
                else:
                    some = points[rows], codes[rows], left_out[rows]
                    table = self.lda.left_out(*some, settings)
                parts.append(_array(table))
            return np.concatenate(parts)

        return np.concatenate(in_threads(work, len(points), points.numel()))

    def with_enough_labels(self, table, codes):
        """The same, reading as many labels as leave little; table (n, K): of LDA."""
        probability = np.exp(self.pool.log_posterior({"lda": table}))
        probability[np.arange(len(codes)), codes] = 0
        ordered = np.sort(probability, axis=1).mean(0)  # its first are the least
        n_likely, n_classes = FEWEST_LIKELY, len(self.classes)
        while n_likely < n_classes:  # one of them may be the own label
            neglected = float(ordered[: n_classes - n_likely + 1].sum())
            if neglected <= MOST_NEGLECTED:
                return replace(self, n_likely=n_likely, neglected=neglected)
            n_likely *= 2
        return replace(self, n_likely=n_classes)

    def _likeliest(self, tables):
        """Labels (n, n_likely) for which slices are read, by LDA; None: all."""
        if self.lda is None or self.n_likely >= len(self.classes):
            return None
        logits = self.pool.prior_weight * self.pool.log_prior
        logits = logits + self.pool.weights["lda"] * tables["lda"]
        return np.argpartition(-logits, self.n_likely, axis=1)[:, : self.n_likely]


def split_by_left_out(left_out):
    """Rows of which something is left out, and rows of which nothing is."""
    kinds = (np.flatnonzero(left_out > 0), np.flatnonzero(left_out <= 0))
    return [rows for rows in kinds if len(rows)]


def own_values(table, codes):
    """Value of each row for its label; without codes, the largest."""
    return table.max(1) if codes is None else table[np.arange(len(codes)), codes]


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
        slices=Slices(recipe.directions, moments, settings.nodes(moments)),
        lda=None,
        pool=Pool({"slices": 1.0}, 1.0, np.log(sums.count / sums.count.sum())),
    )
    return _with_pool(model, sums, settings) if recipe.pooled else model


def _with_pool(model, sums, settings):
    """Choose the shrinkage and the weights of the members on the sample of the sums."""
    n_classes, log_prior = len(sums.labels), model.pool.log_prior
    fixed = model.recipe.fixed
    if fixed is not None:
        vectors, (lda,) = eigen_ldas(sums, [fixed.lda.shrinkage])
        pool = replace(fixed.pool, log_prior=log_prior)
        facts = {"n_likely": fixed.n_likely, "neglected": fixed.neglected}
        return replace(model, lda=lda.along(vectors), pool=pool, **facts)
    sample = sums.sample[: int(np.clip(_POOL_CELLS // n_classes, *_POOL_ROWS))]
    codes = np.searchsorted(sums.labels, sample.labels)
    left_out = copies_left_out(model, sample.weight)
    kept = sums.count[codes] > left_out
    sample, codes, left_out = sample[kept], codes[kept], left_out[kept]
    vectors, ldas = eigen_ldas(sums)
    if not len(codes) or n_classes == 1:  # there is nothing to weigh by
        pool = Pool({"lda": 0.0, "slices": 0.0}, 1.0, log_prior)
        return replace(model, lda=ldas[-1].along(vectors), pool=pool)
    X, scale = as_tensor(sample.X, settings.device), (sums.centre, sums.inverse_scale)
    points = residuals(X, *scale, settings.torch_dtype).to(settings.device)
    rotated, weight = points @ settings.tensor(vectors), sample.weight
    asked = codes, left_out, log_prior, weight, settings
    reached, lda, pool, table = choose_lda(ldas, rotated, *asked)
    own = torch.as_tensor(codes, device=settings.device)
    pool = replace(pool, weights=pool.weights | {"slices": 0.0})
    model = replace(model, lda=lda.along(vectors), pool=pool)
    model = model.with_enough_labels(table, codes)
    likely = model._likeliest({"lda": table})

    def with_slices(slices):
        evidence = slices.left_out(points, own, left_out, settings, likely)
        tables = {"lda": table, "slices": evidence}
        pool, more = fit_pool(tables, codes, log_prior, weight)
        return pool, more - reached

    _, gain = with_slices(model.slices.first(_GATE_SLICES))
    if gain > _LEAST_GAIN * -reached:
        pool, gain = with_slices(model.slices)
        model = replace(model, pool=pool)
    return replace(model, gain=gain)


def copies_left_out(model, weight):
    """How much of each sample of some weight is left out when it is scored, (n,)."""
    if not model.recipe.leave_one_out:
        return np.zeros(len(weight))
    return np.minimum(weight, 1.0) if model.whole else weight
