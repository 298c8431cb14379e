"""Which texts will be memorized, and what does it cost to know? The price list.

    python benchmarks/memorization.py --dataset rt_human --work-folder work
    python benchmarks/memorization.py --write

The first makes the truth of a set, about an hour on one core. Of ``<set>.csv.gz`` in
the folder in SMILEARN_DATA (default ``../shared/data``) 2,000 texts are drawn, and one
label in 30 is replaced by a wrong one, drawn evenly. A `ShadowAudit` of MiniLM, whose
two upper layers are fine-tuned for 6 epochs, trains 24 models in pairs of halves (with
``--n-shadow`` fewer at first: the two sets of the longest texts have 16). Then each
step is asked: scores before any training, at the early point of one training on
all texts, and of runs on halves of 1, 2 and 3 epochs. What is finished is kept in the
work folder, and a command that was killed goes on from there. The result is
``benchmarks/truth/<set>.npz``: numbers of rows, labels, flips, who was in which model,
logit gaps and scores of the steps, and no texts.

The second measures all steps by these files, in a minute: 20 times, half of the pairs
are drawn as the truth, the top tenth by LiRA, and the others are the audits. One half
against the other, by LiRA, is called the ceiling. Costs are in units of one
full training (6 epochs on all texts): runs and shadow models by the epochs that they
train, what trains nothing by its share of the processor's time. The table and the
figure are those of docs/moments.md; the numbers are in
``benchmarks/results/memorization.json``.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from pages import DATA, HERE, keep, put, table
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from truth import FOLDER, TPR, Truth, measures_of, rows_of

from smilearn import (
    FineTunedClassifier,
    FineTunedEmbedder,
    HeldOutScorer,
    HiddenStateEmbedder,
    ShadowAudit,
    SlicedMIScorer,
)
from smilearn.datasets import flip_labels, packaged_minilm
from smilearn.utils._files import replacing, save_arrays

FIGURE = HERE.parent / "docs" / "price-list.svg"
SHARE = 0.033  # of labels that are flipped
LOOKS, SIZES, N_DRAWS, N_BOOTSTRAP = (1, 2, 3), (2, 4, 6, 8), 20, 200
PAPER = {"pooled": False, "density": "gaussian", "leave_one_out": False}
SCORE, LOSS = "before: score", "early: loss"


@dataclass
class Settings:
    """What a result depends on."""

    dataset: str
    pool: int = 2_000
    n_shadow: int = 24
    epochs: int = 6
    random_state: int = 0
    freeze_layers: int = 4
    learning_rate: float = 2e-4
    max_length: int = 256
    mixed_precision: str = "bf16"

    def training(self, device, **changed):
        """Parameters of a fine-tune, the same for shadow models and for the runs."""
        return {
            "model": packaged_minilm(),
            "freeze_layers": self.freeze_layers,
            "max_epochs": self.epochs,
            "learning_rate": self.learning_rate,
            "max_length": self.max_length,
            "mixed_precision": self.mixed_precision,
            "device": device,
            "random_state": self.random_state,
            **changed,
        }


@dataclass
class Pool:
    """Texts, their rows in the file, and their labels with flips."""

    rows: np.ndarray
    texts: list
    y: np.ndarray
    flipped: np.ndarray


def pool_of(settings):
    """Draw the texts of a set, and flip some labels."""
    rows = rows_of(settings.dataset)
    rng = np.random.default_rng(settings.random_state)
    drawn = [rows[i] for i in rng.permutation(len(rows))[: settings.pool]]
    numbers, texts, labels = map(list, zip(*drawn, strict=True))
    y, flipped = flip_labels(labels, SHARE, random_state=settings.random_state)
    return Pool(np.array(numbers), texts, y, flipped)


def claim(folder, settings):
    """Refuse a folder in which another benchmark was begun."""
    path, facts = folder / "settings.json", asdict(settings)
    del facts["n_shadow"]  # may be raised
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(facts))
    begun = json.loads(path.read_text())
    if begun != facts:
        raise SystemExit(f"{folder} holds a run of {begun}, not of {facts}.")


def audit_of(pool, settings, folder, device, n_jobs):
    """Train the shadow models that are not there yet."""
    audit = ShadowAudit(
        FineTunedClassifier(**settings.training(device)),
        n_shadow=settings.n_shadow,
        n_jobs=n_jobs,
        random_state=settings.random_state,
        checkpoint_folder=folder / "shadows",
        verbose=1,
    )
    return audit.fit(pool.texts, pool.y)


def early_of(texts, y, training, path):
    """One training up to the early point, and the seconds that a full one takes."""
    if not path.exists():
        begin = time.process_time()
        early = FineTunedEmbedder(**training)
        X, epoch = early.fit_transform(texts, y), early.history_[-1]["epoch"]
        seconds = time.process_time() - begin
        full = seconds / epoch * training["max_epochs"]
        facts = {"X": X, "losses": early.losses_, "epoch": epoch, "full": full}
        save_arrays(path, **facts)
    with np.load(path) as file:
        return dict(file)


def steps_of(pool, settings, folder, device):
    """Scores of each step but the audits, low = at risk, and what each has cost."""
    texts, y, seed = pool.texts, pool.y, settings.random_state
    training = settings.training(device)
    options = {name: training[name] for name in ("max_length", "device")}
    paper = SlicedMIScorer(1_000, random_state=seed, **PAPER)
    begin = time.process_time()
    X = HiddenStateEmbedder(training["model"], layer="spread", **options)
    X = X.fit_transform(texts)
    spent = time.process_time() - begin
    last = HiddenStateEmbedder(training["model"], **options).fit_transform(texts)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    lda = HeldOutScorer(lda, n_folds=10, prior=None, random_state=seed).fit(X, y)
    own = np.searchsorted(lda.classes_, y)[:, None]
    scores = {
        SCORE: SlicedMIScorer(random_state=seed).fit(X, y).scores_,
        "before: PSMI of the paper": paper.fit(last, y).scores_,
        "before: LDA in folds": np.take_along_axis(lda.held_out_, own, 1)[:, 0],
    }
    early = early_of(texts, y, training, folder / "early.npz")
    costs = dict.fromkeys(scores, float(spent / early["full"]))
    scored = SlicedMIScorer(random_state=seed).fit(early["X"], y)
    scores["early: score"] = scored.scores_
    scores["early: PSMI of the paper"] = paper.fit(early["X"], y).scores_
    scores[LOSS] = -early["losses"]
    for name in ("early: score", "early: PSMI of the paper", LOSS):
        costs[name] = float(early["epoch"]) / settings.epochs
    for n_epochs in LOOKS:
        model = FineTunedClassifier(**settings.training(device, max_epochs=n_epochs))
        options = {"random_state": seed, "verbose": 1}
        options["checkpoint_folder"] = folder / f"held-out-{n_epochs}"
        alone = HeldOutScorer(model, prior=None, **options).fit(texts, y)
        runs = HeldOutScorer(model, **options).fit(texts, y)
        for name, own in (
            ("runs alone", runs.margin_),
            ("no prior", alone.scores_),
            ("with prior", runs.scores_),
        ):
            scores[f"held-out, {n_epochs}: {name}"] = own
            costs[f"held-out, {n_epochs}: {name}"] = runs.cost_ / settings.epochs
        print(f"{settings.dataset}: held-out, {n_epochs}: {runs.pool_}", flush=True)
    return scores, costs


def make(settings, work_folder, device, n_jobs):
    """Shadow models and steps of a set, and the file of the truth."""
    folder = work_folder / settings.dataset
    claim(folder, settings)
    pool = pool_of(settings)
    audit = audit_of(pool, settings, folder, device, n_jobs)
    scores, costs = steps_of(pool, settings, folder, device)
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(
        FOLDER / f"{settings.dataset}.npz",
        settings=json.dumps(asdict(settings)),
        row=pool.rows.astype(np.int32),
        label=pool.y,
        flipped=pool.flipped,
        member=audit.shadow_in_,
        gap=audit.statistic_.astype(np.float16),
        correct=audit.correct_,
        step=np.array(list(scores)),
        score=np.array(list(scores.values()), np.float32),
        cost=np.array(list(costs.values())),
    )


PRIORS = {"with prior": SCORE, "held-out prior": "held-out, 2: with prior"}


@cache
def measures(truth):
    """AUC and FPR of each step, (1 + N_BOOTSTRAP, 2), and its cost."""
    scores = dict(zip(truth.step.tolist(), truth.score, strict=True))
    costs = dict(zip(truth.step.tolist(), truth.cost.tolist(), strict=True))
    rng, n = np.random.default_rng(0), len(truth.row)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=N_BOOTSTRAP)
    weights = np.vstack([np.ones(n), weights])  # the texts as they are first
    total, n_pairs = {}, len(truth.member) // 2
    for _ in range(N_DRAWS):
        pairs = rng.permutation(n_pairs)
        models = np.stack([2 * pairs, 2 * pairs + 1], 1).ravel()
        audit, others = models[: len(models) // 2], models[len(models) // 2 :]
        risk = {name: -values for name, values in scores.items()}
        noise = rng.normal(size=n)
        priors = {"LiRA": None, "random prior": noise}
        priors |= {name: scores[step] for name, step in PRIORS.items()}
        for size in SIZES:
            for name, prior in priors.items():
                risk[f"audit, {size}: {name}"] = truth.lira(audit[:size], prior)
            risk[f"audit, {size}: gap"] = truth.gaps(audit[:size])
            for name in (*priors, "gap"):
                of_prior = costs[PRIORS[name]] if name in PRIORS else 0.0
                costs[f"audit, {size}: {name}"] = size / 2 + of_prior
        risk["ceiling"] = truth.lira(audit)
        costs["ceiling"] = len(audit) / 2
        memorized = truth.memorized(others)
        for name, values in risk.items():
            found = measures_of(memorized, values, weights)
            total[name] = total.get(name, 0) + found / N_DRAWS
    return total, costs


def facts(truth):
    """How well the models did, in words."""
    inside, clean = truth.member, np.broadcast_to(~truth.flipped, truth.member.shape)
    shares = {
        "on texts not seen": truth.correct[~inside & clean].mean(),
        "on those seen": truth.correct[inside & clean].mean(),
        "flips learnt": truth.correct[inside & ~clean].mean(),
    }
    shares["flips memorized"] = truth.memorized()[truth.flipped].mean()
    sizes = np.unique(truth.label, return_counts=True)[1]
    return [
        truth.name,
        ", ".join(map(str, sizes)),
        *(f"{v:.3f}" for v in shares.values()),
    ]


def short(found, k):
    """A value and its interval."""
    low, high = np.quantile(found[1:, k], [0.025, 0.975])
    return f"{found[0, k]:.3f} ({low:.3f} to {high:.3f})"


def as_tables(truths):
    """The price list, differences that are asked about, and facts of the models."""
    found = [measures(truth)[0] for truth in truths]
    costs = [measures(truth)[1] for truth in truths]
    names = [name for name in found[0] if not name.endswith("random prior")]
    names.sort(key=lambda name: np.mean([each[name] for each in costs]))
    titles = [truth.name for truth in truths]
    parts = []
    for k, metric in enumerate(("AUC", f"FPR at a TPR of {TPR}")):
        rows = []
        for name in names:
            mean = np.mean([each[name] for each in found], 0)
            cost = np.mean([each[name] for each in costs])
            cells = [f"{each[name][0, k]:.3f}" for each in found]
            rows.append([name, f"{cost:.2f}", short(mean, k), *cells])
        parts.append(f"{metric}:\n\n" + table(["step", "cost", "mean", *titles], rows))
    rows = []
    for one, two in ASKED:
        gaps = [each[one] - each[two] for each in found]
        for k, metric in enumerate(("AUC", "FPR")):
            cells = [signed(gap, k) for gap in (np.mean(gaps, 0), *gaps)]
            rows.append([f"{one} less {two}, {metric}", *cells])
    parts.append("Differences:\n\n" + table(["", "mean", *titles], rows))
    header = ["set", "classes of", "accuracy on texts not seen", "on those seen"]
    header += ["flips learnt", "flips memorized"]
    parts.append("The models:\n\n" + table(header, [facts(each) for each in truths]))
    return "\n".join(parts)


ASKED = [
    (SCORE, "before: LDA in folds"),
    (SCORE, "before: PSMI of the paper"),
    (SCORE, LOSS),
    ("early: score", LOSS),
    ("held-out, 2: with prior", SCORE),
    ("held-out, 2: with prior", "held-out, 2: runs alone"),
    ("held-out, 2: with prior", "held-out, 2: no prior"),
    ("held-out, 2: with prior", "early: PSMI of the paper"),
    *[(f"audit, {n}: with prior", f"audit, {n}: LiRA") for n in (2, 4, 8)],
    *[(f"audit, {n}: with prior", f"audit, {n}: gap") for n in (2, 4, 8)],
    ("audit, 4: with prior", "audit, 6: LiRA"),
    ("audit, 4: with prior", "ceiling"),
    *[(f"audit, {n}: random prior", f"audit, {n}: gap") for n in (2, 4, 8)],
]


def signed(gap, k):
    """A difference, its interval, and + or - where that excludes 0; good is +."""
    low, high = np.quantile(gap[1:, k], [0.025, 0.975])
    mark = "" if low <= 0 <= high else " +" if (low > 0) == (k == 0) else " -"
    return f"{gap[0, k]:+.3f} ({low:+.3f} to {high:+.3f}){mark}"


def draw(truths, path):
    """Cost against AUC, a line a set, and the ceiling of each."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    steps = {
        "before": SCORE,
        "early": "early: score",
        "held-out,\n1 and 2 epochs": "held-out, 1: with prior",
        "": "held-out, 2: with prior",
        "audit of 2": "audit, 2: with prior",
        "4": "audit, 4: with prior",
        "8": "audit, 8: with prior",
    }
    with pyplot.rc_context({"svg.hashsalt": "price list"}):
        figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
        for k, truth in enumerate(truths):
            found, costs = measures(truth)
            line = sorted((costs[step], found[step][0, 0]) for step in steps.values())
            x, y = zip(*line, strict=True)
            axes.plot(x, y, marker="o", color=f"C{k}", label=truth.name)
            axes.axhline(found["ceiling"][0, 0], color=f"C{k}", linestyle=":")
        for name, step in steps.items():
            where = np.mean([measures(truth)[1][step] for truth in truths])
            text = {"ha": "center", "va": "bottom", "fontsize": 8}
            axes.annotate(
                name, (where, 1.01), xycoords=("data", "axes fraction"), **text
            )
        axes.set(xscale="log", ylabel="AUC for the tenth that is memorized")
        axes.set_xlabel("cost, in full trainings; dotted: the ceiling")
        figure.legend(loc="outside right upper")
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", help="name of a set, without .csv.gz")
    parser.add_argument("--work-folder", type=Path, help="for what is finished")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-shadow", type=int, default=24)
    parser.add_argument("--n-jobs", type=int, default=1, help="models side by side")
    parser.add_argument("--write", action="store_true", help="update docs/moments.md")
    arguments = parser.parse_args()
    if arguments.dataset and not arguments.work_folder:
        parser.error("--dataset needs --work-folder")
    return arguments


def main():
    given = arguments_of()
    if given.dataset:
        if not (DATA / f"{given.dataset}.csv.gz").exists():
            print(f"Skipped: no {given.dataset} in {DATA}; set SMILEARN_DATA.")
            return
        settings = Settings(given.dataset, n_shadow=given.n_shadow)
        make(settings, given.work_folder, given.device, given.n_jobs)
        return
    truths = Truth.all()
    text = as_tables(truths)
    print(text)
    if given.write:
        put("moments", "price list", text)
        draw(truths, FIGURE)
        kept = {}
        for truth in truths:
            found, costs = measures(truth)
            kept[truth.name] = {
                name: [costs[name], *np.round(values[0], 4).tolist()]
                for name, values in found.items()
            }
        keep("memorization", kept)


if __name__ == "__main__":
    main()
