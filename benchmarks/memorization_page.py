"""Results of ``memorization.py`` as tables, and docs/benchmark.md made of them.

Those of ``filtering.py`` are put there too.
"""

import json
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmark.md"
MARK = "<!-- {} -->\n", "<!-- end of {} -->"
NONE = "No result yet: the benchmark was not run.\n"
TITLES = {
    "before": "before training",
    "halfway": "half-way",
    "early": "early point",
    "later": "an epoch later",
}
METRICS = {"auc": "AUC", "fpr_at_tpr_0.75": "FPR at a TPR of 0.75"}
LDA = "LDA, left out"
TRUTHS = ("memorized", "memorized, without flips", "flips", "people")
GONE = ("LDA, in folds", "LDA, in sample", "rank mean of psmi and loss", "by psmi")
MARKS = {"better": " +", "worse": " -", "even": ""}
PEOPLE = {
    "rt_human": (
        "share of raters who disagree with the label",
        {"rank_correlation": "rank correlation", "auc": "AUC for more than half"},
    ),
    "mmlu_redux": ("answers found wrong by hand", {"auc": "AUC"}),
}


def write(folder):
    """Put the results of a folder into the page, between its marks."""
    results, filters = read(folder, "memorization"), read(folder, "filtering")
    for result in results.values():
        leave_out_what_is_gone(result)
    for name, result in results.items():
        if "score" in result["moments"]["early"].get("tenths", ()):
            draw(name, result["moments"], figure_of(name))
    text = PAGE.read_text(encoding="utf-8")
    text = replaced(text, "filters", removals(filters) if filters else NONE)
    text = replaced(text, "summary", summary(results) if results else NONE)
    parts = [as_markdown(name, result) for name, result in results.items()]
    PAGE.write_text(replaced(text, "sets", "\n".join(parts)), encoding="utf-8")


def leave_out_what_is_gone(result):
    """Of a result made with an older score: that, and the rivals since replaced."""
    for moment in result["moments"].values():
        for truth in set(TRUTHS) & moment.keys():
            found = moment[truth]
            if "psmi, isotropic" in found:
                found["psmi"] = found.pop("psmi, isotropic")
                for name in GONE:
                    found.pop(name, None)
        if "psmi" in moment.get("tenths", ()):
            del moment["tenths"]["psmi"]


def read(folder, kind):
    """Results of a kind, by data set."""
    paths = sorted(folder.glob(f"{kind}-*.json"))
    return {p.stem.removeprefix(f"{kind}-"): json.loads(p.read_text()) for p in paths}


def replaced(text, name, part):
    """The page with another part between its marks."""
    begin, end = (mark.format(name) for mark in MARK)
    head, rest = text.split(begin)
    return f"{head}{begin}\n{part}\n{end}{rest.split(end)[1]}"


def figure_of(name):
    return PAGE.parent / f"memorization-{name}.svg"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(header, rows):
    return "\n".join([row(header), "|---" * len(header) + "|", *map(row, rows)]) + "\n"


def cell(cells):
    value, low, high, *_, verdict = cells
    return f"{value:.3f} [{low:.2f}, {high:.2f}]{MARKS[verdict]}"


def summary(results):
    """AUC of the score and of its main rivals, and how the difference stands."""
    lines = []
    for own, truth, rival in (
        ("score", "memorized", "loss"),
        ("psmi", "memorized", "loss"),
        ("score", "score and LDA", LDA),
    ):
        rows = [
            [name, *(against(result["moments"][m], own, truth) for m in TITLES)]
            for name, result in results.items()
            if result["audit"] and own in result["moments"]["early"].get(truth, ())
        ]
        if rows:
            note = "Before training, loss is that at the early point."
            lines += [
                f"AUC of {own} / of {rival}, and the difference with its interval. "
                f"{note if rival == 'loss' else ''}\n",
                table(["set", *TITLES.values()], rows),
            ]
    return "\n".join(lines)


def against(moment, own, truth):
    found = moment[truth]
    other = moment["reference"] if truth == "memorized" else LDA
    value, rival = found[own]["auc"], found[other]["auc"]
    gap, low, high, verdict = value[3:]
    mark = MARKS[verdict]
    return (
        f"{value[0]:.3f} / {rival[0]:.3f}, {gap:+.3f} ({low:+.3f} to {high:+.3f}){mark}"
    )


def as_markdown(name, result):
    """All tables of a set."""
    moments, parts = result["moments"], [f"### {name}\n", facts(result)]
    parts.append(table(*progress(moments)))
    for truth, title in (
        ("memorized", "Memorized, the top tenth by LiRA"),
        ("memorized, without flips", "The same, flips left out"),
    ):
        if not result["audit"]:
            break
        for metric, shown in METRICS.items():
            parts.append(f"{title}: {shown}.\n")
            parts.append(by_moment(moments, truth, metric))
    parts.append("Planted wrong labels: AUC.\n")
    parts.append(by_moment(moments, "flips", "auc"))
    if "people" in moments["early"]:
        parts += people(name, moments)
    return "\n".join(parts)


def facts(result):
    settings, audit = result["settings"], result["audit"]
    if not audit:
        return f"{settings['pool']:,} texts, {settings['epochs']} epochs; no audit.\n"
    attack = ", ".join(
        f"{name} {value:.3f} [{low:.3f}, {high:.3f}]"
        for name, (value, low, high) in audit["attack"].items()
    )
    return (
        f"{settings['pool']:,} texts, classes of "
        f"{', '.join(map(str, audit['class_sizes']))}; {settings['n_shadow']} models, "
        f"{settings['epochs']} epochs. Accuracy on texts not seen "
        f"{audit['accuracy_on_unseen']:.3f}, on those seen "
        f"{audit['accuracy_on_seen']:.3f}, both without flips. Of {audit['n_flips']} "
        f"flips {audit['flips_learnt']:.0%} are learnt and "
        f"{audit['flips_memorized']:.0%} memorized; "
        f"{audit['flips_among_memorized']:.0%} of what is memorized are flips. "
        f"Attack: {attack}.\n"
    )


def progress(moments):
    """Where each moment is, in both runs, and which layer is read."""
    rows = []
    for moment, title in TITLES.items():
        runs = moments[moment]["runs"]
        cells = [
            " and ".join(f"{run[key]:.2f}" for run in runs if key in run) or "-"
            for key in ("epoch", "median_loss", "share_fitted")
        ]
        if moment == "early" and not all(run["reached"] for run in runs):
            cells[0] += " (the end: the rule did not hold)"
        rows.append([title, *cells, str(moments[moment]["layer"])])
    return ["moment", "epoch", "median loss", "share fitted", "layer"], rows


def by_moment(moments, truth, metric):
    """A row a scorer, a column a moment; - where a scorer does not exist yet."""
    names = dict.fromkeys(n for m in moments.values() for n in m[truth])
    rows = []
    for name in names:
        found = [moments[moment][truth].get(name) for moment in TITLES]
        rows.append([name, *(cell(f[metric]) if f else "-" for f in found)])
    return table(["score", *TITLES.values()], rows)


def people(name, moments):
    what, metrics = PEOPLE[name]
    parts = []
    for metric, shown in metrics.items():
        parts += [
            f"Risk and the {what}, labels as they were: {shown}.\n",
            by_moment(moments, "people", metric),
        ]
    if "score" not in moments["early"]["tenths"]:
        return parts
    parts += [
        f"Mean in each tenth of the texts, the riskiest first: {what}.\n",
        f"![{what}, in each tenth by risk]({figure_of(name).name})\n",
    ]
    rows = [
        [f"{scorer}, {title}", *(f"{value:.3f}" for value in tenths)]
        for moment, title in TITLES.items()
        for scorer, tenths in moments[moment]["tenths"].items()
        if scorer == "score" or moment != "before"
    ]
    parts.append(table(["score", *map(str, range(1, 11))], rows))
    return parts


def draw(name, moments, path):
    """Draw what people say of each tenth by risk, before training and early."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    early = moments["early"]["tenths"]
    lines = {
        "score, before training": moments["before"]["tenths"]["score"],
        "score, early point": early["score"],
        "loss, early point": early["loss"],
    }
    with pyplot.rc_context({"svg.hashsalt": name}):
        figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
        for label, values in lines.items():
            axes.plot(range(1, len(values) + 1), values, marker="o", label=label)
        axes.set(
            xlabel="tenth of the texts, the riskiest first", ylabel=PEOPLE[name][0]
        )
        axes.set_ylim(bottom=0)
        axes.legend()
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def removals(results):
    """What taking a tenth out did, a row a set and way to choose it."""
    rows = []
    for result in results.values():
        model = "MiniLM" if result["finetune"] else "regression"
        for way, found in result["filters"].items():
            if way in GONE:
                continue
            effect, flips = found["effect"], found["flips_removed"]
            rows.append(
                [
                    f"{result['settings']['dataset']}, {model}, {way}",
                    f"{flips} of {found['n_flips']}",
                    change(effect["all accuracy"]),
                    change(effect["kept accuracy"]),
                    f"{effect['removed tpr_at_fpr_0.01']['everything'][0]:.3f}",
                    change(effect["kept tpr_at_fpr_0.01"]),
                    change(effect["kept newly_exposed"]),
                    change(effect["all exposed"]),
                ]
            )
    header = [
        "set, model, a tenth taken out",
        "flips in it",
        "accuracy, all",
        "accuracy, kept",
        "attack on the removed before",
        "attack on the kept",
        "kept, newly exposed",
        "exposed, all",
    ]
    return table(header, rows)


def change(arms):
    """Value in the arm without random samples, in the filtered one, the difference."""
    before, after = arms["random"][0], arms["filtered"][0]
    gap, low, high, verdict = arms["filtered"][3:]
    mark = {"higher": " +", "lower": " -", "even": ""}[verdict]
    return f"{before:.3f} to {after:.3f}, {gap:+.3f} ({low:+.3f} to {high:+.3f}){mark}"
