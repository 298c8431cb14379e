"""The demo command: planted label flips, found before training and early."""

from pathlib import Path
from typing import Annotated

import typer

from smilearn.cli._options import Json, Quiet, Seed, check_folder
from smilearn.cli._terminal import Messages, draw, early_line, print_riskiest

FLIPPED_SHARE = 0.03
REMOVED_SHARE = 0.05


def demo(
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder to write to.")
    ] = Path("smilearn-demo"),
    n_samples: Annotated[int, typer.Option(min=40, help="Sentences.")] = 2000,
    max_epochs: Annotated[int, typer.Option(min=1, help="Passes at most.")] = 5,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
):
    """Find flipped labels in film reviews, before training and at the early point."""
    import numpy as np
    import polars as pl

    from smilearn.cli._workflow import score_texts
    from smilearn.datasets import flip_labels, load_rotten_tomatoes, packaged_minilm
    from smilearn.filtering._filter import RiskFilter
    from smilearn.report._report import write_report
    from smilearn.tables._io import write_frame
    from smilearn.tables._table import Table

    messages = Messages(quiet=quiet, as_json=as_json)
    check_folder(out, out)
    if messages.draws:
        typer.echo(
            f"{n_samples} Rotten Tomatoes sentences; {FLIPPED_SHARE:.0%} of the labels "
            f"flipped on purpose (seed {seed}).\nScoring them with MiniLM: before any "
            "training, then fine-tuned to the early point."
        )
    reviews = load_rotten_tomatoes(n_samples, random_state=seed)
    codes, flipped = flip_labels(reviews.labels, FLIPPED_SHARE, random_state=seed)
    texts, labels = reviews.texts, np.array(reviews.target_names)[codes]
    options = {"model": packaged_minilm(), "seed": seed, "verbose": messages.progress}
    with messages.warnings():
        before = score_texts(texts, labels, moment="before", **options)
        early = score_texts(texts, labels, max_epochs=max_epochs, **options)
    risks = {
        "risk, before any training": before.table["risk"],
        "risk, at the early point": early.table["risk"],
        "plain loss, at the early point": early.embedder.losses_,
    }
    found = [flips_found(name, risk, flipped) for name, risk in risks.items()]
    rows = [(*row.values(),) for row in found]
    files = {name: out / name for name in ("risk.csv", "kept.csv", "report.html")}
    early.table.to_csv(files["risk.csv"])
    keep = RiskFilter(early.table, share=REMOVED_SHARE).fit(None, labels).support_
    data = pl.DataFrame({"text": texts, "label": labels})
    write_frame(data.filter(keep), files["kept.csv"])
    n_flips, kept_flips = int(flipped.sum()), int(flipped[keep].sum())
    header = ["predictor", "flips in top 3 %", "flips in top 10 %", "AUC"]
    facts = {
        "Data": f"{n_samples} Rotten Tomatoes sentences; {n_flips} labels were flipped "
        "on purpose, with a fixed seed",
        **early.report_facts("early"),
        "Command": f"smilearn demo --n-samples {n_samples} --max-epochs {max_epochs} "
        f"--seed {seed}",
    }
    write_report(
        early.table,
        files["report.html"],
        title="Film reviews with flipped labels",
        facts=facts,
        files={"risk": "risk.csv"},
        embedder=early.embedder,
        embeddings=early.X,
        evidence={
            "Planted flips found": Table(pl.DataFrame(rows, header, orient="row"))
        },
    )
    if messages.draws:
        print_curve(early.embedder)
        print_riskiest(early.table, flipped)
        draw(header, rows, {*header[1:]}, f"The {n_flips} planted flips found")
    messages.say(
        f"Without the riskiest {REMOVED_SHARE:.0%}, kept.csv holds {kept_flips} of the "
        f"{n_flips} flips.\nWritten: {', '.join(map(str, files.values()))}",
        {
            **early.facts,
            "n_flipped": n_flips,
            "kept_flips": kept_flips,
            "found": found,
            "files": {name: str(path) for name, path in files.items()},
        },
    )


def flips_found(name, risk, flipped):
    """Count the planted flips among the riskiest samples."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    ranked = flipped[np.argsort(-risk, kind="stable")]
    counts = [int(ranked[: round(share * len(ranked))].sum()) for share in (0.03, 0.1)]
    auc = round(float(roc_auc_score(flipped, risk)), 3)
    return {"name": name, "top 3 %": counts[0], "top 10 %": counts[1], "auc": auc}


def print_curve(embedder, width=40):
    """Draw the fall of the median training loss as bars."""
    typer.echo("Median training loss (nats), and the share already fitted:")
    top = max(entry["median_loss"] for entry in embedder.history_)
    for entry in embedder.history_:
        bar = "█" * max(1, round(width * entry["median_loss"] / top))
        typer.echo(
            f"  epoch {entry['epoch']:4.2f}  {entry['median_loss']:.3f}  "
            f"{bar:<{width}}  {entry['share_fitted']:.0%} fitted"
        )
    typer.echo(f"  {early_line(embedder)}")
