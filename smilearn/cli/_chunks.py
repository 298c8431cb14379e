"""The score command on a Dask cluster: Parquet files in, as many risk tables out."""

import re
from contextlib import contextmanager

import numpy as np
import polars as pl
from tqdm.auto import tqdm

from smilearn.cli._inputs import refuse_own_columns
from smilearn.embedding._hidden_states import HiddenStateEmbedder
from smilearn.embedding._pretrained import default_model
from smilearn.embedding._sentence import SentenceEmbedder
from smilearn.exceptions import (
    ClusterError,
    FileFormatError,
    InvalidInputError,
    SmilearnError,
)
from smilearn.scoring._scorer import SlicedMIScorer
from smilearn.tables._io import require_columns, write_frame
from smilearn.tables._risk_table import COLUMNS
from smilearn.utils._dask import aligned_chunks, chunks_of, computed, use_dask
from smilearn.utils._optional import require
from smilearn.utils._ranks import ranks_of

LOCAL = "local"  # worker processes of this machine, one a core
_CALLER, _CONNECT = "--dask", 10  # seconds
_AT_ONCE = 64  # files


def score_chunks(
    pattern,
    out,
    address,
    *,
    label,
    text,
    id_,
    keep,
    embeddings,
    model,
    sentence,
    scorer,
    verbose,
):
    """Score the files of a pattern on a cluster; facts for scripts."""
    frames = require("dask.dataframe", extra="distributed", caller=_CALLER)
    dask = use_dask(_CALLER)
    refuse_own_columns(keep, pattern)
    pattern = re.sub(r"^(\w+):/(?!/)", r"\1://", pattern)  # as a path has lost it
    if "://" in str(out) or re.match(r"\w\w+:/", str(out)):
        raise InvalidInputError(
            f"{out}: --out must be a folder that all workers share."
        )
    if any(out.glob("*.parquet")):
        raise InvalidInputError(
            f"{out} holds Parquet files already, which would be read with those of "
            "this run; name another folder."
        )
    with connected(address), reading(pattern):
        table = frames.read_parquet(pattern)
        own = [name for name in (label, text, id_) if name]
        if not len(table.columns):
            raise InvalidInputError(f"{pattern}: no Parquet files to be read there.")
        require_columns(
            [*own, *keep, *filter(None, [embeddings])], table.columns, pattern
        )
        if embeddings:
            X = table[embeddings]
        else:
            kind = SentenceEmbedder if sentence else HiddenStateEmbedder
            options = {} if sentence else {"layer": "spread"}
            embedder = kind(model or default_model(), **options)
            # embedded once, and held by the workers
            X = embedder.fit_transform(table[text]).persist()
        scorer = SlicedMIScorer(verbose=verbose, **scorer).fit(X, table[label])
        columns = columns_of(scorer)
        parts, _ = chunks_of(table[list(dict.fromkeys([*own, *keep]))], pattern)
        lengths = np.array(computed(dask, [dask.delayed(len)(part) for part in parts]))
        pieces = zip(
            *(
                aligned_chunks(values, lengths, name)
                for name, values in columns.items()
            ),
            strict=True,
        )
        begins, write = np.cumsum([0, *lengths[:-1]]), dask.delayed(write_part)
        names = {"id": id_, "label": label, "text": text}
        paths = paths_in(out, len(parts))
        jobs = [
            write(part, dict(zip(columns, piece, strict=True)), names, begin, path)
            for part, piece, begin, path in zip(
                parts, pieces, begins.tolist(), paths, strict=True
            )
        ]
        with tqdm(desc="files", total=len(jobs), disable=not verbose) as bar:
            for few in range(0, len(jobs), _AT_ONCE):  # scores travel with their jobs
                bar.update(len(computed(dask, jobs[few : few + _AT_ONCE])))
    return {
        "out": str(out),
        "n_files": len(parts),
        "n_samples": len(scorer.scores_),
        "n_classes": len(scorer.classes_),
        "n_slices": scorer.n_slices_,
        "reliability": round(scorer.reliability_, 4),
    }


@contextmanager
def reading(pattern):
    """Name the files in errors of their readers, also of those on workers."""
    try:
        yield
    except SmilearnError:
        raise
    except Exception as error:
        if not (isinstance(error, OSError) or _of_arrow(error)):
            raise
        reason = " ".join(str(error).split())
        raise FileFormatError(f"{pattern}: cannot be read: {reason}") from error


def _of_arrow(error):
    return type(error).__module__.partition(".")[0] == "pyarrow"


def connected(address):
    """Client of a scheduler, or of workers of this machine, to be used in a `with`."""
    distributed = require("distributed", extra="distributed", caller=_CALLER)
    if address == LOCAL:
        return distributed.Client(threads_per_worker=1, dashboard_address=None)
    try:
        return distributed.Client(address, timeout=_CONNECT)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"--dask: no scheduler answers at {address} in {_CONNECT} s ({error})."
        ) from error


def columns_of(scorer):
    """What a risk table says of each sample, ranked among all."""
    columns = {
        "risk": 0.0 - scorer.scores_,
        "probability": getattr(scorer, "probability_", None),
        "psmi": scorer.psmi_,
        "std": scorer.scores_std_,
        "rank": ranks_of(scorer.scores_),
        "class_support": scorer.class_count_[
            np.searchsorted(scorer.classes_, scorer.labels_)
        ].astype(int),
        "most_likely_label": getattr(scorer, "likely_labels_", None),
    }
    return {name: each for name, each in columns.items() if each is not None}


def paths_in(out, n_parts):
    """Files of a folder, named so that they sort as the parts do."""
    digits = max(5, len(str(n_parts)))
    return [out.absolute() / f"part-{i:0{digits}d}.parquet" for i in range(n_parts)]


def write_part(frame, columns, names, begin, path):
    """Write the risk table of one chunk, on the worker that holds it."""
    frame = pl.from_pandas(frame.reset_index(drop=True))
    own = {ours: frame[name] for ours, name in names.items() if name}
    own.setdefault("id", pl.Series(range(begin, begin + len(frame))))
    more = {name: frame[name] for name in frame.columns if name not in names.values()}
    known = own | {name: pl.Series(values) for name, values in columns.items()}
    ordered = {name: known[name] for name in COLUMNS if name in known} | more
    write_frame(pl.DataFrame(ordered), path)
