"""Latency and memory of the explorer: 500 queries of a gallery of 36,000 clips, through the real stores and
a real method.

Clips are small files of their own, and what a CLIP would have made of them is written to the store
beforehand: nothing is decoded. All else is as in use: texts are encoded, query clips read from the store,
answers ranked. The plain design reads the gallery from its stores for every question. What the explorer
promises (the first answer within a second, 95 % of the others within .3 s, memory that stays) is looked at
in the same run, and said beside the row.
"""

import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch
from comparing import compare, main, row

from tfcovr_utils.benchmark.benchmark import Benchmark
from tfcovr_utils.embedding import embed as embedding
from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.explorer import Session
from tfcovr_utils.explorer.session import FIRST_METHOD
from tfcovr_utils.labels import parse_label
from tfcovr_utils.machine.hashing import digest
from tfcovr_utils.profiles import get_profile
from tfcovr_utils.sources.source import CLIP_COLUMNS, Source, label_row
from tfcovr_utils.video.hashes import SETTLED_NS, hash_clips

SIZES = {False: (36_000, 500), True: (500, 10)}  # clips of the gallery and questions; and when quick
REPEATS = 5
FIRST_MS, FURTHER_MS, GROWTH_MIB = 1000, 300, 50  # what is promised
TURNS = [
    f"(FX) salto backward {shape} with {turns} twist"
    for shape in ("tucked", "piked", "stretched")
    for turns in (1, 2, 3)
]


def make_clips(folder: Path, num_gallery: int) -> pd.DataFrame:
    """Files that are clips only by their name, and the table of them."""
    rows = []
    for number in range(num_gallery):
        split = "test" if number % 10 else "val"
        path = Path(f"{number % 100:02d}") / f"{number:05d}.mp4"
        if number < 100:
            (folder / path).parent.mkdir()
        (folder / path).write_bytes(f"clip {number}".encode())
        rows.append(
            [
                f"{number:05d}",
                "made",
                f"{split}{number // 12}",
                TURNS[number % len(TURNS)],
                split,
                0.0,
                1.0,
                path.as_posix(),
            ]
        )
    rows += [
        [f"t{number}", "made", f"train{number}", text, "train", 0.0, 1.0, rows[0][-1]]
        for number, text in enumerate(TURNS)
    ]
    return pd.DataFrame(rows, columns=CLIP_COLUMNS)


def fill_store(clips: pd.DataFrame, folder: Path, store_dir: Path, profile, num_gallery: int) -> None:
    """Write random frames where `embed_clips` looks for those of this CLIP."""
    encoder = load_encoder("clip", profile.clip_weights, read_out="pooled")  # as `Features` asks for it
    recipe = {
        "readout": "frames",
        "frames": profile.frames,
        "policy": "centre",
        "decoder": embedding.decoders(clips["path"]),
    }
    store = embedding.Store(
        store_dir, encoder.name, {"encoder": encoder.identity, "precision": "float32", **recipe}
    )
    keys = [digest(f"clip {number}") for number in range(num_gallery)]
    generator = torch.Generator().manual_seed(0)
    for start in range(0, num_gallery, embedding.SHARD_ROWS):
        part = keys[start : start + embedding.SHARD_ROWS]
        store.write(
            part,
            torch.randn(
                len(part), profile.frames, encoder.model.config.vision_config.hidden_size, generator=generator
            ),
        )
    time.sleep(SETTLED_NS / 1e9)
    hash_clips(clips["path"], folder, store_dir)


def make(folder: Path, num_gallery: int, num_queries: int):
    """A session on the clips of a folder, and the clips to ask it of."""
    clips = pd.read_parquet(folder / "clips.parquet")
    labels = pd.DataFrame([label_row(text, text, "made", parse_label(text), "") for text in TURNS])
    benchmark = Benchmark.build(Source(clips, labels), budget=10)
    # The gallery is every clip of val and test, for the size that is promised.
    gallery = pd.DataFrame({"gallery": "all", "split": "test", "clip_id": clips["clip_id"][:num_gallery]})
    session = Session(
        replace(benchmark, gallery=gallery), folder / "clips", get_profile("mini"), store_dir=folder / "store"
    )
    return session, iter(np.random.default_rng(0).integers(0, num_gallery, num_queries + 2 * REPEATS))


def ask(session, places):
    """One question."""
    place = next(places)
    answer = session.ask(
        f"{place:05d}", f"show with {place} twists", gallery="test, all", k=50, hide_source=True
    )
    assert len(answer.ranking) == 50


def ask_anew(session, places):
    """One question, by the plain design."""
    session._galleries.clear()
    ask(session, places)


def keep_asking(session, places, num_queries):
    """Ask many questions of a new session: milliseconds of each, by the clock and of processor, and MiB of
    memory after each."""
    session.embed_gallery(FIRST_METHOD, "test, all")
    process, rows = psutil.Process(os.getpid()), []
    for _ in range(num_queries):
        start, start_cpu = time.perf_counter(), time.process_time()
        ask(session, places)
        rows.append(
            [
                1000 * (time.perf_counter() - start),
                1000 * (time.process_time() - start_cpu),
                process.memory_info().rss / 2**20,
            ]
        )
    return np.array(rows).T


def measure(quick=False):
    num_gallery, num_queries = SIZES[quick]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "clips").mkdir()
        clips = make_clips(folder / "clips", num_gallery)
        clips.to_parquet(folder / "clips.parquet")
        fill_store(clips, folder / "clips", folder / "store", get_profile("mini"), num_gallery)
        given = (folder, num_gallery, num_queries)
        many = compare(
            {"many": partial(keep_asking, num_queries=num_queries)},
            make,
            *given,
            repeats=1,
            quick=quick,
            warm_up=0,
        )["many"]
        found = compare({"ours": ask, "plain": ask_anew}, make, *given, repeats=REPEATS, quick=quick)
    ms, cpu_ms, memory = many.values[0]
    slow_ms, growth = np.quantile(ms[1:], 0.95), memory[-1] - memory[len(memory) // 5]
    kept = ms[0] <= FIRST_MS and slow_ms <= FURTHER_MS and growth <= GROWTH_MIB
    note = (
        f"{num_queries} questions: first {ms[0]:.0f} ms, then median {np.median(ms[1:]):.0f}, "
        f"of processor {np.median(cpu_ms[1:]):.0f}, 95 % below {slow_ms:.0f}; "
        f"memory grew by {growth:.0f} MiB; "
        f"what is promised is {'kept' if kept else 'NOT KEPT'}"
    )
    return [
        row(
            "a question to the explorer, 12 frames a clip",
            "gallery kept in memory",
            "gallery read from its stores",
            num_gallery,
            "clips",
            found["ours"],
            found["plain"],
            note,
        )
    ]


if __name__ == "__main__":
    main(measure, __doc__)
