"""How many texts a second, against the libraries beneath? What does a cache save?

    python benchmarks/embedding.py [--backends] [--texts 2000] [--repeats 5] [--write]

Sentences of film reviews through the packaged MiniLM on the CPU, by each way in turn,
in one process: a bare loop of transformers (tokenized once, sorted by length, padded a
batch at a time, mean of the last hidden states), `SentenceTransformer.encode`,
`SentenceEmbedder`, `HiddenStateEmbedder`, and `SentenceEmbedder` with a cache: a first
call into an empty folder and a second one. Models are loaded and warm. A ratio is that
of two times of the same turn; figures are medians over the turns, with their range.

With ``--backends``: the bare loop and both embedders by torch and by openvino, compiled
before. A ratio is that of the medians over the turns. Goal: 1.4 times the bare loop.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time

from pages import keep, put, table

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

HEADER = ["way", "texts a second (range)", "over the bare loop (range)"]
BATCH_SIZE = 32
BARE, ENCODE = "bare loop of transformers", "`SentenceTransformer.encode`"
SENTENCE, HIDDEN = "`SentenceEmbedder`", "`HiddenStateEmbedder`"
FIRST, SECOND = f"{SENTENCE}, cache, first call", f"{SENTENCE}, cache, second call"
OPENVINO, BFLOAT16 = ', `backend="openvino"`', ', `dtype="bfloat16"`'
EXACT, ROUGH = (
    1e-4,
    2e-2,
)  # of bfloat16; largest difference of an entry between two ways


def bare_loop(folder):
    """Give the function that embeds texts by transformers alone."""
    import numpy as np
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    @torch.inference_mode()
    def embed(texts):
        tokens = tokenizer(texts, truncation=True, max_length=256)["input_ids"]
        order = np.argsort([-len(each) for each in tokens], kind="stable")
        rows = np.empty((len(texts), model.config.hidden_size), np.float32)
        for begin in range(0, len(order), BATCH_SIZE):
            few = order[begin : begin + BATCH_SIZE]
            batch = tokenizer.pad(
                {"input_ids": [tokens[place] for place in few]}, return_tensors="pt"
            )
            states = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            rows[few] = ((states * mask).sum(1) / mask.sum(1)).numpy()
        return rows

    return embed


def ways(folder):
    """Each way to embed texts, loaded; HiddenStateEmbedder where there is one."""
    from sentence_transformers import SentenceTransformer

    from smilearn import SentenceEmbedder

    encoder = SentenceTransformer(folder, device="cpu")
    found = {
        BARE: bare_loop(folder),
        ENCODE: lambda texts: encoder.encode(
            texts, batch_size=BATCH_SIZE, show_progress_bar=False
        ),
        SENTENCE: SentenceEmbedder(folder, device="cpu").fit([]).transform,
    }
    try:
        from smilearn import HiddenStateEmbedder
    except ImportError:
        print("HiddenStateEmbedder is not there and left out.")
    else:
        embedder = HiddenStateEmbedder(folder, device="cpu")
        found[HIDDEN] = embedder.fit(["a film"]).transform
    return found


def backends(folder):
    """The bare loop, and each embedder by each backend, loaded."""
    from smilearn import HiddenStateEmbedder, SentenceEmbedder

    found = {BARE: bare_loop(folder)}
    for name, kind in ((SENTENCE, SentenceEmbedder), (HIDDEN, HiddenStateEmbedder)):
        for more, options in (("", {}), (OPENVINO, {"backend": "openvino"})):
            embedder = kind(folder, device="cpu", **options)
            found[name + more] = embedder.fit([]).transform
    for more, options in (("", {}), (OPENVINO, {"backend": "openvino"})):
        embedder = HiddenStateEmbedder(
            folder, device="cpu", dtype="bfloat16", **options
        )
        found[HIDDEN + BFLOAT16 + more] = embedder.fit([]).transform
    return found


def timed(function, texts):
    begin = time.perf_counter()
    rows = function(texts)
    return time.perf_counter() - begin, rows


def same_direction(rows, others):
    """Largest difference of unit rows: some ways normalize and some do not."""
    import numpy as np

    units = [
        each / np.linalg.norm(each, axis=1, keepdims=True) for each in (rows, others)
    ]
    return float(abs(units[0] - units[1]).max())


def one_turn(found, texts, folder):
    """Seconds of each way; an error if one has other rows than the bare loop."""
    seconds, rows = {}, {}
    for name, embed in found.items():
        seconds[name], rows[name] = timed(embed, texts)
    if ENCODE in found:
        time_cache(texts, folder, seconds, rows)
    for name in rows:
        off = same_direction(rows[name], rows[BARE])
        if off > (ROUGH if BFLOAT16 in name else EXACT):
            raise SystemExit(f"{name} differs by {off:.1e}; there is no comparing it.")
    return seconds


def time_cache(texts, folder, seconds, rows):
    from smilearn import SentenceEmbedder

    with tempfile.TemporaryDirectory() as cache:
        embedder = SentenceEmbedder(folder, device="cpu", cache_folder=cache).fit([])
        for name in (FIRST, SECOND):
            seconds[name], rows[name] = timed(embedder.transform, texts)


def with_range(values, digits):
    low, high = (f"{value:,.{digits}f}" for value in (min(values), max(values)))
    return f"{statistics.median(values):,.{digits}f} ({low} to {high})"


def as_row(name, turns, n_texts):
    speeds = with_range([n_texts / turn[name] for turn in turns], 0)
    others = [other for other in (BARE, ENCODE) if other in turns[0]]
    over = ([turn[other] / turn[name] for turn in turns] for other in others)
    return [name, speeds, *(with_range(values, 2) for values in over)]


def ratios_of_medians(turns):
    medians = {n: statistics.median(turn[n] for turn in turns) for n in turns[0]}
    return {name: medians[BARE] / medians[name] for name in medians}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", action="store_true", help="torch and openvino")
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="docs/performance.md")
    arguments = parser.parse_args()
    import torch

    from smilearn.datasets import load_rotten_tomatoes, packaged_minilm

    texts = load_rotten_tomatoes(arguments.texts, random_state=0).texts
    folder = str(packaged_minilm())
    found = (backends if arguments.backends else ways)(folder)
    one_turn(found, texts[: 4 * BATCH_SIZE], folder)  # all imported and warm
    turns = [one_turn(found, texts, folder) for _ in range(arguments.repeats)]
    rows = [as_row(name, turns, len(texts)) for name in turns[0]]
    about = f"{len(texts):,} sentences, {torch.get_num_threads()} thread(s)."
    results = {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "texts": len(texts),
        "batch_size": BATCH_SIZE,
        "seconds": turns,
    }
    if arguments.backends:
        ratios = ratios_of_medians(turns)
        name, mark = "embedding-openvino", "openvino"
        header = [*HEADER, "ratio of medians"]
        rows = [[*row, f"{ratios[row[0]]:.2f}"] for row in rows]
        results["over_bare_loop"] = ratios
    else:
        saved = with_range([turn[FIRST] / turn[SECOND] for turn in turns], 0)
        name = mark = "embedding"
        header = [*HEADER, "over `encode` (range)"]
        about += (
            f" The second call with the cache is {saved} times as fast as the first."
        )
    text = f"{table(header, rows)}\n{about}\n"
    print(text)
    if arguments.write:
        keep(name, results)
        put("performance", mark, text)


if __name__ == "__main__":
    main()
