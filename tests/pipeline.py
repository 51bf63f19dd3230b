"""The whole pipeline as the commands a user would type, one after the other in one process, into one folder.

    python tests/pipeline.py --out DIR

Every step is the package's own command with its own way of going on: given again on the same folder, the
pipeline ends with the same files, wherever it was killed before. Only the long videos that are cut, and the
language model that is asked, are made here. The last line on stdout is the digest of all that matters, as
JSON.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from command import command
from fake_openai_server import KEY, FakeOpenAI
from safetensors import safe_open
from safetensors.torch import load_file

from tfcovr_utils import profiles
from tfcovr_utils.machine.files import replacing
from tfcovr_utils.video import probe, read_clip, write_clip

LONG_VIDEOS = 3
METHODS = ("random", "clip-mlp-15", "tfcovr-base")
STEPS = "steps.jsonl"  # when each step began: tells where a kill fell
# Columns and fields that say when, how fast or by which commit something was made.
TIMES = {
    "seconds",
    "clips_per_s",
    "fit_s",
    "revision",
    "created",
    "benchmark",
    "made_of",
}  # the last two hash files that hold times
DELAY_S = 0.02  # of an answer of the language model
SMALL = {"clips_per_label": (4, 2, 2), "sources_per_split": (4, 3, 3)}


def commands(out: Path, url: str) -> list[tuple[str, Callable, list]]:
    """The steps: a name, the command, its arguments."""
    rendering, videos, tables, run = out / "mini", out / "videos", out / "tables", out / "run"
    table, shard = (
        ["--source", "mini", "--annotations", rendering],
        ["--benchmark", tables, "--clips", rendering, "--profile", "smoke"],
    )
    texts = ["--pairs", out / "pairs" / "pairs.parquet", "--writer"]
    return [
        ("render", command("render"), ["--profile", "smoke", "--out", rendering]),
        ("join", join, [rendering, videos]),
        (
            "cut",
            command("cut"),
            [
                "--source",
                "folder",
                "--annotations",
                videos / "clips.csv",
                "--videos",
                videos,
                "--out",
                out / "cut",
            ],
        ),
        ("pairs", command("build"), [*table, "--out", out / "pairs"]),
        ("rules", command("write"), [*texts, "rules", "--out", out / "rules.parquet"]),
        (
            "language model",
            command("write"),
            [
                *texts,
                "openai",
                "--base-url",
                url,
                "--cache",
                out / "answers.jsonl",
                "--concurrency",
                "2",
                "--out",
                out / "texts.parquet",
            ],
        ),
        ("tables", command("build"), [*table, "--modifications", out / "texts.parquet", "--out", tables]),
        ("embedding 0/2", command("embed"), [*shard, "--encoder", "clip", "--shard", "0/2"]),
        ("embedding 1/2", command("embed"), [*shard, "--encoder", "clip", "--shard", "1/2"]),
        ("embedding of texts", command("embed"), [*shard, "--encoder", "clip", "--readout", "texts"]),
        (
            "stage 1",
            command("teach"),
            [*shard, "--out", run / "stage1", "--resume", "--set", "epochs=2", "save_every_s=0.3"],
        ),
        (
            "stage 2",
            command("train"),
            [
                *shard,
                "--encoder",
                "aim",
                "--weights",
                run / "stage1" / "aim",
                "--out",
                run / "stage2",
                "--resume",
                "--set",
                "select_every=5",
            ],
        ),
        (
            "evaluation",
            command("score"),
            [*shard, "--method", *METHODS, "--weights", f"aim={run / 'stage1' / 'aim'}", "--out", run],
        ),
    ]


def run(out: Path, url: str | None = None) -> None:
    """Give the commands in order; a command that fails ends it as it would a shell's script."""
    os.environ |= {"TFCOVR_DATA": str(out / "data"), "OPENAI_API_KEY": KEY}
    torch.set_num_threads(1)  # sums in another number of parts would differ in their last bits
    with FakeOpenAI(DELAY_S) if url is None else nullcontext() as server:
        for name, command, arguments in commands(out, url or server.url):
            out.mkdir(parents=True, exist_ok=True)
            with open(out / STEPS, "a") as steps:
                steps.write(json.dumps({"step": name, "at": time.time()}) + "\n")
            if code := command([str(argument) for argument in arguments]):
                sys.exit(f"the step {name!r} failed with code {code}.")


def join(arguments: list[str]) -> None:
    """Join clips of some sources into long videos, as a sport's broadcast would hold them, with a list of
    where each clip is."""
    rendering, videos = map(Path, arguments)
    clips = pd.read_parquet(rendering / "clips.parquet")
    rows = []
    for source, part in list(clips[clips["split"] == "test"].groupby("source_video"))[:LONG_VIDEOS]:
        paths = [rendering / path for path in part["path"]]
        lengths, fps = [probe(path).n_frames for path in paths], probe(paths[0]).fps
        if not (videos / f"{source}.mp4").exists():
            frames = [read_clip(path, range(length)) for path, length in zip(paths, lengths)]
            write_clip(
                videos / f"{source}.mp4", torch.cat([torch.from_numpy(clip) for clip in frames]).numpy(), fps
            )
        ends = pd.Series(lengths).cumsum() / float(fps)
        starts = ends.shift(fill_value=0.0)
        rows += [
            [f"{source}.mp4", start, end, label] for start, end, label in zip(starts, ends, part["label_id"])
        ]
    with replacing(videos / "clips.csv") as temporary:
        pd.DataFrame(rows, columns=["path", "start", "end", "label"]).to_csv(temporary, index=False)


def digest(out: Path) -> dict[str, str]:
    """SHA-256 by part of a run: clips, tables, instructions, embeddings, weights, curves and results,
    without times."""
    parts = {
        name: hashlib.sha256()
        for name in (
            "rendered",
            "cut",
            "tables",
            "instructions",
            "embeddings",
            "weights",
            "curves",
            "results",
        )
    }

    def add(part: str, name: str, content: bytes) -> None:
        parts[part].update(f"{name} {len(content)} ".encode() + content)

    def add_table(part: str, name: str, table: pd.DataFrame) -> None:
        add(
            part,
            name,
            table.drop(columns=TIMES & set(table)).to_json(orient="split", double_precision=15).encode(),
        )

    for part, folder in (("rendered", out / "mini" / "clips"), ("cut", out / "cut" / "cut")):
        for path in sorted(folder.glob("[!.]*.mp4")):
            add(part, path.name, path.read_bytes())
    for folder in ("mini", "pairs", "tables"):
        for path in sorted((out / folder).glob("[!.]*.parquet")):
            add_table("tables", f"{folder} {path.name}", pd.read_parquet(path))
    for name in ("rules", "texts"):
        add_table("instructions", name, pd.read_parquet(out / f"{name}.parquet"))
    for folder in sorted(path for path in (out / "data" / "embeddings").iterdir() if path.is_dir()):
        rows = {}
        for path in folder.glob("shard-*.safetensors"):
            with safe_open(path, framework="pt") as shard:
                rows |= zip(json.loads(shard.metadata()["rows"])["keys"], shard.get_tensor("values"))
        for key in sorted(rows):
            add("embeddings", f"{folder.name} {key}", rows[key].numpy().tobytes())
    for path in sorted((out / "run").rglob("[!.]*.safetensors")):
        for name, value in sorted(load_file(path).items()):
            add("weights", f"{path.relative_to(out)} {name}", value.numpy().tobytes())
    add_table("curves", "stage 1", pd.read_csv(out / "run" / "stage1" / "curve.csv"))
    add_table("curves", "stage 2", pd.read_parquet(out / "run" / "stage2" / "history.parquet"))
    for path in sorted((out / "run" / "results").glob("*/seed-*.parquet")):
        add_table("results", path.parent.name, pd.read_parquet(path))
        add(
            "results",
            path.parent.name,
            json.dumps(_timeless(json.loads(path.with_suffix(".json").read_text())), sort_keys=True).encode(),
        )
    return {name: part.hexdigest() for name, part in parts.items()}


def _timeless(value):
    """JSON without its times, at any depth."""
    if isinstance(value, dict):
        return {key: _timeless(of) for key, of in value.items() if key not in TIMES}
    return [_timeless(of) for of in value] if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base-url", help="of the language model; by default one of the tests' own")
    parser.add_argument("--small", action="store_true", help="a quarter of the clips")
    options = parser.parse_args()
    if options.small:
        profiles.PROFILES["smoke"] = replace(profiles.PROFILES["smoke"], **SMALL)
    run(options.out.absolute(), options.base_url)
    print(json.dumps(digest(options.out.absolute())))


if __name__ == "__main__":
    main()
