"""Galleries of millions of clips: rows on disk, an exact search that streams them, and FAISS as an optional
extra.

A gallery is a folder: `rows.npy` (G, D), and `clips.parquet` with their ids. Up to some hundred thousand
clips a product in memory (`metrics.ranking.rank_gallery`) is simpler and finds the same. `tfcovr search` is
its command.
"""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from ..machine.files import load_array, load_table, replacing, write_table
from ..metrics.ranking import BLOCK, rank_gallery, recall_ranked

DTYPES = ("float32", "float16")
PART = 8192  # clips that `write_gallery` asks for at a time
LISTS_PER_ROOT = 2  # inverted lists per sqrt(G); FAISS advises 4 to 16, which take as much longer to build
TRAINING_ROWS = (39, 64)  # per list: the least that FAISS asks for, and what is drawn
PROBES = 32  # lists that a search reads by default
RECALL_QUERIES = 256  # on which `search_files` measures recall


class Found(NamedTuple):
    """What a search finds, best first; a place without a candidate holds -1 and -infinity."""

    idx: np.ndarray  # (Q, k) int64, positions in the gallery
    scores: torch.Tensor  # (Q, k) float32


@dataclass(frozen=True)
class Gallery:
    """(G, D) rows in a file, read one block at a time."""

    folder: Path
    shape: tuple[int, int]
    dtype: np.dtype
    offset: int  # where the rows begin in their file

    @classmethod
    def open(cls, folder: Path) -> "Gallery":
        """Open what `write_gallery` wrote, or any `rows.npy` with a `clips.parquet` (clip_id) beside it."""
        path = Path(folder) / "rows.npy"
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; write the gallery with `write_gallery` first.")
        rows = load_array(path)
        if rows.ndim != 2 or rows.dtype not in DTYPES or not rows.flags.c_contiguous:
            raise ValueError(
                f"{path} holds {rows.dtype} of shape {rows.shape}; expected rows (G, D) of "
                f"{' or '.join(DTYPES)} in C order."
            )
        return cls(Path(folder), rows.shape, rows.dtype, rows.offset)

    @property
    def clip_ids(self) -> np.ndarray:
        """The ids of the rows (G,), read from the file at each call."""
        table = load_table(self.folder / "clips.parquet")
        ids = table["clip_id"].to_numpy() if "clip_id" in table else ()
        if len(ids) != len(self):
            raise ValueError(
                f"{self.folder} has {len(ids)} ids for {len(self)} rows; write the gallery again."
            )
        return ids

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, rows: int | None = None) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (first row, block (n, D) float32) through the file; a block's memory may be used again."""
        # Read, not mapped: pages of a mapping count as the process's memory until the system takes them.
        rows = min(rows or max(1, BLOCK // self.shape[1]), max(len(self), 1))
        buffer = np.empty((rows, self.shape[1]), self.dtype)
        with open(self.folder / "rows.npy", "rb", buffering=0) as file:
            file.seek(self.offset)
            for start in range(0, len(self), rows):
                block = buffer[: len(self) - start]
                if file.readinto(block) != block.nbytes:
                    raise OSError(
                        f"{file.name} is cut off at row {start} of {len(self)}; write the gallery again."
                    )
                yield start, torch.from_numpy(block).float()

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Draw distinct rows at random, in the gallery's order: (count, D) float32."""
        drawn = np.sort(np.random.default_rng(seed).choice(len(self), min(count, len(self)), replace=False))
        return load_array(self.folder / "rows.npy")[drawn].astype(np.float32)


def write_gallery(
    folder: Path, clip_ids: Sequence[str], embed: Callable[[list[str]], torch.Tensor], dtype: str = "float32"
) -> Gallery:
    """Write the gallery of these clips in parts; `embed` gives (n, D) for ids, as `Fitted.embed_gallery`
    does.

    float16 halves the disk and what is read; scores then differ in the fourth digit. A clip without a finite
    embedding, such as of an unreadable file, is left out and named in a warning.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}.")
    folder, clip_ids, finite, dim = Path(folder), list(clip_ids), [], None
    if not clip_ids:
        raise ValueError("a gallery needs clips, and no clip id is given; pass at least one.")
    with replacing(folder / "rows.npy") as temporary:
        with open(temporary, "wb") as file:
            for start in range(0, len(clip_ids), PART):
                part = clip_ids[start : start + PART]
                rows = np.asarray(embed(part).detach().float().cpu())
                if rows.ndim != 2 or len(rows) != len(part) or dim not in (None, rows.shape[1]):
                    raise ValueError(
                        f"embed gave {rows.shape} for {len(part)} clips; expected {dim or 'D'} numbers for "
                        "each."
                    )
                if dim is None:
                    dim = rows.shape[1]
                    _write_header(file, (len(clip_ids), dim), dtype)
                with np.errstate(over="ignore"):  # too large for float16: infinite, so left out
                    rows = rows.astype(dtype)
                finite.append(np.isfinite(rows).all(axis=1))
                rows[finite[-1]].tofile(file)
            finite = np.concatenate(finite)
            file.seek(0)
            _write_header(file, (int(finite.sum()), dim), dtype)  # numpy pads headers to one length
        if not finite.any():
            raise ValueError(
                f"none of {len(clip_ids)} clips has a finite embedding, such as {clip_ids[0]!r}; check the "
                "encoder."
            )
        # The rows come last: they make the folder a gallery, and an index belongs to the rows it was built
        # from.
        for name in ("rows.npy", "index.faiss"):
            (folder / name).unlink(missing_ok=True)
        ids = np.array(clip_ids, dtype=object)
        write_table(pd.DataFrame({"clip_id": ids[finite]}), folder / "clips.parquet")
    if not finite.all():
        left_out = ids[~finite]
        warnings.warn(
            f"{len(left_out)} of {len(ids)} clips have no finite embedding and are not in {folder}: "
            f"{', '.join(left_out[:5])}{', ...' if len(left_out) > 5 else ''}.",
            stacklevel=2,
        )
    return Gallery.open(folder)


def _write_header(file, shape: tuple[int, int], dtype: str) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def search_exact(query_emb: torch.Tensor, gallery: Gallery, k: int) -> Found:
    """Find the k best rows by product for each query (Q, D), in one pass through the file.

    The ranking is that of `metrics.ranking.rank_gallery`, also for equal scores; products of other shapes may
    differ in the last bits. It computes where query_emb is.
    """
    query_emb = _check_queries(query_emb, gallery.shape[1], k)
    num_queries = len(query_emb)
    scores = torch.full((num_queries, k), -torch.inf, device=query_emb.device)
    idx = np.full((num_queries, k), -1)
    # A block holds the wider of the two, the rows or their scores.
    for start, block in gallery.blocks(max(1, BLOCK // max(gallery.shape[1], num_queries))):
        # The best so far come first, so that they win among equals.
        both = torch.cat([scores, query_emb @ block.to(query_emb.device).T], 1)  # (Q, k + n)
        ranked = rank_gallery(both, k)
        scores = both.gather(1, torch.from_numpy(ranked).to(both.device))
        idx = np.where(ranked < k, np.take_along_axis(idx, np.minimum(ranked, k - 1), 1), start + ranked - k)
    return Found(np.where(scores.isneginf().cpu().numpy(), -1, idx), scores.cpu())


def build_index(gallery: Gallery, factory: str | None = None):
    """Build a FAISS index of the gallery in memory, save it as `index.faiss` in its folder, and return it.

    factory: an index in FAISS's own words, such as "HNSW32", or "IVF4096,SQ8" for a quarter of the memory. By
    default 2 sqrt(G) inverted lists of whole rows by inner product (IVF-Flat), of which a search reads
    `PROBES`.
    """
    faiss = _faiss()
    lists = max(1, min(round(LISTS_PER_ROOT * len(gallery) ** 0.5), len(gallery) // TRAINING_ROWS[0]))
    factory = factory or f"IVF{lists},Flat"
    try:
        index = faiss.index_factory(gallery.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(
            f"FAISS knows no index {factory!r} for rows of {gallery.shape[1]}; choose one such as 'HNSW32'."
        ) from error
    if hasattr(index, "nprobe"):
        lists, index.nprobe = index.nlist, min(PROBES, index.nlist)
    if not index.is_trained:
        index.train(gallery.sample(TRAINING_ROWS[1] * lists))
    for _, block in gallery.blocks():
        index.add(block.numpy())
    with replacing(gallery.folder / "index.faiss") as temporary:
        faiss.write_index(index, str(temporary))
    return index


def open_index(gallery: Gallery):
    """Read the index that `build_index` saved beside the rows."""
    path = gallery.folder / "index.faiss"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; build it with `build_index` or `tfcovr search --index`."
        )
    index = _faiss().read_index(str(path))
    if (index.ntotal, index.d) != gallery.shape:
        raise ValueError(
            f"{path} holds {index.ntotal} rows of {index.d} and the gallery is {gallery.shape}; delete it "
            "and build it again."
        )
    return index


def search_index(query_emb: torch.Tensor, index, k: int) -> Found:
    """Find about the k best of each query (Q, D) by a FAISS index; equal scores come in any order."""
    query_emb = _check_queries(query_emb, index.d, k)
    scores, idx = index.search(np.ascontiguousarray(query_emb.cpu().numpy()), k)
    return Found(idx, torch.from_numpy(scores).masked_fill(torch.from_numpy(idx < 0), -torch.inf))


def recall(found: Found, exact: Found) -> np.ndarray:
    """Return the share of each query's exact answers that were found (Q,)."""
    return recall_ranked(found.idx, exact.idx, [exact.idx.shape[1]])[:, 0]


def _check_queries(query_emb: torch.Tensor, dim: int, k: int) -> torch.Tensor:
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least 1 clip.")
    if query_emb.ndim != 2 or query_emb.shape[1] != dim:
        raise ValueError(
            f"the queries have shape {tuple(query_emb.shape)}; expected (Q, {dim}), as the gallery's rows."
        )
    if not query_emb.isfinite().all():
        bad = (~query_emb.isfinite()).any(1).nonzero()[0].item()
        raise ValueError(f"query {bad} is not finite; embed it again, or leave it out.")
    return query_emb.detach().float()


def _faiss():
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            f"FAISS is not installed ({error}); run `pip install 'tfcovr_utils[scale]'`, or search without "
            "it."
        ) from error
    return faiss


def search_files(
    folder: Path, queries_path: Path, k: int, index: str | None = None
) -> tuple[pd.DataFrame, str]:
    """Search a gallery on disk with queries from a .npy file, (Q, D); return the ranked clips and a summary.

    index: None searches exactly; "" uses the FAISS index of the folder, which is built if there is none; any
    other string is a FAISS factory, with which the index is built again.
    """
    gallery, queries = Gallery.open(folder), load_array(queries_path)
    if queries.dtype.kind not in "fiu" or queries.ndim != 2:
        raise ValueError(
            f"{queries_path} holds {queries.dtype} of shape {queries.shape}; expected numbers (Q, D)."
        )
    query_emb = torch.from_numpy(queries.astype(np.float32))
    _check_queries(query_emb, gallery.shape[1], k)  # before an index is built for them
    search, target, note = search_exact, gallery, ""
    if index is not None:
        exists = not index and (folder / "index.faiss").exists()
        search, target = search_index, open_index(gallery) if exists else build_index(gallery, index or None)
    start = time.perf_counter()
    found = search(query_emb, target, k)
    seconds = time.perf_counter() - start
    if index is not None:
        some = slice(RECALL_QUERIES)
        exact = search_exact(query_emb[some], gallery, k)
        shares = recall(Found(found.idx[some], found.scores[some]), exact)
        note = f"; recall@{k} against exact {100 * shares.mean():.2f} % on {len(shares)} queries"
    query, place = np.nonzero(found.idx >= 0)
    clip_ids, scores = gallery.clip_ids[found.idx[query, place]], found.scores.numpy()[query, place]
    ranked = pd.DataFrame({"query": query, "rank": place + 1, "clip_id": clip_ids, "score": scores})
    return ranked, f"{len(query_emb):,} queries of {len(gallery):,} clips in {seconds:.2f} s{note}."
