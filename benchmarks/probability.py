"""Is a probability of 5 % a lot? What people and planted errors say of each bin.

    python benchmarks/probability.py [--write]

Texts go through the packaged MiniLM as it comes, three layers side by side, and are
scored by `SlicedMIScorer` as by default. In bins of the probability of the label:

- film reviews rated by 15 to 29 people each (``rt_human``, 8,469 of 8,530): the share
  of labels that fewer than half of the raters share, and the mean share of raters who
  disagree with the label;
- planted errors: the share of labels that were flipped, 3.3 % of 2,000 texts (or all
  there are), on film reviews, on messages of which an eighth is spam, and on news of
  four classes; three seeds.

Last, how many labels below 5 % the others would give otherwise (the sum of
1 - probability), and how many flips are among them.
"""

import argparse
import tempfile
from itertools import pairwise

import numpy as np
from flips import SEEDS, SHARE, rows_of
from pages import keep, put, table

from smilearn import HiddenStateEmbedder, SlicedMIScorer
from smilearn.datasets import flip_labels, packaged_minilm

BINS = (0, 0.05, 0.2, 0.5, 0.8, 0.95, 1)
PLANTED = {"film reviews": "rt_human", "spam": "sms_spam", "news": "ag_news_8k"}
N_SAMPLES = 2_000


def embedded(texts):
    embedder = HiddenStateEmbedder(packaged_minilm(), layer="spread", device="cpu")
    with tempfile.TemporaryDirectory() as cache:
        return embedder.set_params(cache_folder=cache).fit_transform(texts)


def in_bins(probability, *columns):
    """Number of samples and mean of each column in each bin of probability."""
    place = np.digitize(probability, BINS[1:-1])
    rows = []
    for each in range(len(BINS) - 1):
        inside = place == each
        means = [
            float(np.mean(values[inside])) if inside.any() else None
            for values in columns
        ]
        rows.append([int(inside.sum()), *means])
    return rows


def by_people():
    rows = [row for row in rows_of("rt_human") if row["human_agree"]]
    X, y = embedded([row["text"] for row in rows]), np.array([r["label"] for r in rows])
    scorer = SlicedMIScorer(random_state=0).fit(X, y)
    agree = np.array([float(row["human_agree"]) for row in rows])
    return in_bins(scorer.probability_, agree < 0.5, 1 - agree)


def by_flips(name):
    probabilities, flips = [], []
    for seed in SEEDS:
        rows = rows_of(name)
        drawn = np.random.default_rng(seed).permutation(len(rows))[:N_SAMPLES]
        rows = [rows[place] for place in drawn]
        labels = np.array([row["label"] for row in rows])
        y, flipped = flip_labels(labels, SHARE, random_state=seed)
        X = embedded([row["text"] for row in rows])
        scorer = SlicedMIScorer(random_state=seed).fit(X, y)
        probabilities.append(scorer.probability_)
        flips.append(flipped)
    probability, flipped = np.concatenate(probabilities), np.concatenate(flips)
    low = probability < BINS[1]
    facts = {
        "n": len(flipped),
        "below": int(low.sum()),
        "expected": float((1 - probability[low]).sum()),
        "flips": int(flipped[low].sum()),
        "all_flips": int(flipped.sum()),
    }
    return in_bins(probability, flipped), facts


def percent(value):
    return "" if value is None else f"{100 * value:.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="docs/risk.md")
    arguments = parser.parse_args()
    people = by_people()
    planted = {name: by_flips(file) for name, file in PLANTED.items()}
    header = ["probability of the label", "film reviews", "disputed by most raters"]
    header += ["raters who disagree", *(f"flipped, {name}" for name in PLANTED)]
    names = [f"{a:.0%} to {b:.0%}" for a, b in pairwise(BINS)]
    rows = [
        [
            name,
            f"{people[i][0]:,}",
            *map(percent, people[i][1:]),
            *(
                f"{percent(bins[i][1])} of {bins[i][0]:,}"
                for bins, _ in planted.values()
            ),
        ]
        for i, name in enumerate(names)
    ]
    text = table(header, rows) + "\n"
    header = [
        "planted errors",
        "labels below 5 %",
        "the others differ on",
        "flips there",
        "all flips",
    ]
    text += table(
        header,
        [
            [
                name,
                f"{f['below']:,} of {f['n']:,}",
                f"{f['expected']:.0f}",
                f["flips"],
                f["all_flips"],
            ]
            for name, (_, f) in planted.items()
        ],
    )
    print(text)
    if arguments.write:
        keep("probability", {"bins": BINS, "people": people, "planted": planted})
        put("risk", "probability", text)


if __name__ == "__main__":
    main()
