"""A question to galleries of 10^4, 10^5 and 10^6 clips: exact in memory, exact from disk, and by FAISS
where it is installed.

Rows are unit vectors of 768 numbers drawn around 306 centres, with most of their spread in 64 directions,
as embeddings of clips have it and random vectors do not; questions are drawn like them. The plain design
has the gallery in memory and sorts all scores in full. From disk is measured twice: with the file in the
system's memory, where the measurements before have put it, and with the file put out of it before each
question (Linux). FAISS answers about; its recall against the exact answers stands beside, and with other
data is another: measure it on yours by `tfcovr search ... --index`.
"""

import os
import tempfile
import time
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from comparing import compare, main, row

from tfcovr_utils.embedding.galleries import (
    Gallery,
    build_index,
    open_index,
    recall,
    search_exact,
    search_index,
    write_gallery,
)
from tfcovr_utils.metrics.ranking import rank_gallery

DIM, LABELS, DIRECTIONS, K = 768, 306, 64, 50
SIZES, REPEATS = (10_000, 100_000, 1_000_000), 3
QUICK_SIZES = (500, 2_000)
QUERIES, RECALL_QUERIES = 4, 64  # questions that a run asks, one by one; and that recall is measured on


def draw(count: int, seed: int) -> torch.Tensor:
    """Unit vectors (count, DIM)."""
    fixed, own = (torch.Generator().manual_seed(number) for number in (0, seed))
    centres, spread = (
        torch.randn(LABELS, DIRECTIONS, generator=fixed),
        torch.randn(DIRECTIONS, DIM, generator=fixed) / DIRECTIONS**0.5,
    )
    inside = centres[torch.randint(LABELS, (count,), generator=own)] + torch.randn(
        count, DIRECTIONS, generator=own
    )
    return torch.nn.functional.normalize(
        inside @ spread + 0.2 * torch.randn(count, DIM, generator=own), dim=1
    )


def make(folder):
    """A folder that holds a gallery, and the questions; each design opens the gallery in its own way, in
    its warm-up."""
    return folder, draw(RECALL_QUERIES, 1)[:QUERIES]


@cache
def in_memory(folder):
    return np.load(folder / "rows.npy")


@cache
def index_of(folder):
    return open_index(Gallery.open(folder))


def sort_in_full(folder, query_emb):
    gallery = in_memory(folder)
    return np.stack([np.argsort(-(gallery @ query), kind="stable")[:K] for query in query_emb.numpy()])


def exact_in_memory(folder, query_emb):
    gallery = torch.from_numpy(in_memory(folder))
    return np.concatenate([rank_gallery(query @ gallery.T, K) for query in query_emb.split(1)])


def exact_from_disk(folder, query_emb, cold=False):
    gallery, found = Gallery.open(folder), []
    for query in query_emb.split(1)[: 1 if cold else None]:
        if cold:
            with open(folder / "rows.npy", "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        found.append(search_exact(query, gallery, K).idx)
    return np.concatenate(found)


def by_index(folder, query_emb):
    return np.concatenate([search_index(query, index_of(folder), K).idx for query in query_emb.split(1)])


def measure(quick=False):
    rows = []
    for size in QUICK_SIZES if quick else SIZES:
        designs = {
            "exact, in memory": exact_in_memory,
            "exact, from disk": exact_from_disk,
            "plain": sort_in_full,
        }
        if hasattr(os, "posix_fadvise"):
            designs["exact, from disk, not cached"] = partial(exact_from_disk, cold=True)
        with tempfile.TemporaryDirectory() as temporary:
            folder, notes = Path(temporary), {}
            gallery = write_gallery(
                folder,
                [f"{number:07d}" for number in range(size)],
                lambda part: draw(len(part), 2 + int(part[0])),
            )
            with open(folder / "rows.npy", "rb") as file:
                os.fsync(file.fileno())  # only what is on the disk can be put out of memory
            if find_spec("faiss"):
                name = "FAISS, inverted lists"
                designs[name], start = by_index, time.perf_counter()
                index = build_index(gallery)
                notes[name] = (
                    f"index built in {time.perf_counter() - start:.0f} s, "
                    f"{index.nprobe} of {index.nlist} lists read"
                )
                query_emb = draw(RECALL_QUERIES, 1)
                shares = recall(search_index(query_emb, index, K), search_exact(query_emb, gallery, K))
                notes[name] += f", recall@{K} {100 * shares.mean():.1f} % of exact"
                del index
            found = compare(designs, make, folder, repeats=1 if quick else REPEATS, quick=quick)
            in_memory.cache_clear()  # of a quick look, which shares a process
            index_of.cache_clear()
        exact = found["plain"].values[0]
        for name, measured in found.items():
            idx = measured.values[0]
            if name.startswith(
                "exact"
            ):  # but for near-equal scores, which a product of another shape may round into another order
                assert (idx == exact[: len(idx)]).mean() > 0.99, name
            found[name] = replace(measured, seconds=measured.seconds / len(idx))
        rows += [
            row(
                f"a question, {K} best of the gallery, {DIM}-d",
                name,
                "in memory, sorted in full",
                size,
                "clips",
                found[name],
                found["plain"],
                notes.get(name, ""),
            )
            for name in designs
            if name != "plain"
        ]
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
