"""Wrong calls of every verb, generated from the parser: one sentence each, no traceback, no hang.

A tenth of the calls is made; with TFCOVR_ALL_CALLS=1 all are. `pytest tests/test_wrong_calls.py -s` prints
them with their sentences.
"""

import argparse
import contextlib
import io
import json
import os
import pickle
import shutil
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_benchmark import small_benchmark

from tfcovr_utils.cli.main import main
from tfcovr_utils.cli.verb import VERBS
from tfcovr_utils.profiles import ROOT
from tfcovr_utils.video import write_clip

# A call of each verb that is right, or nearly, and quick to refuse; {x} is a folder of the test's.
RIGHT = {
    "fetch release": "--out {out}",
    "fetch poses": "--out {out} --yes",
    "fetch clips": "--out {out} --yes",
    "render": "--profile paper --out {rendered}",
    "build": "--source mini --annotations {tables} --out {out}",
    "check": "{tables}",
    "write": "--pairs {tables}/pairs.parquet --out {out}/texts.csv",
    "cut": "--source folder --annotations {tables}/none.csv --videos {clips} --out {out}",
    "embed": "--benchmark {tables} --clips {clips} --encoder clip --out {out}",
    "pretrain clip": "--out {out} --steps 0",
    "pretrain blip": "--out {out} --steps 0",
    "teach": "--benchmark {tables} --clips {clips} --recipe nope --out {out}",
    "train": "--benchmark {tables} --clips {clips} --encoder nope --out {out}",
    "score": "--benchmark {tables} --clips {clips} --method random --profile smoke --out {out}",
    "ask": "--source nope --clip x --text y",
    "search": "{clips} --queries {tables}/none.npy --out {out}/found.parquet",
    "export release": "--benchmark {tables} --out {out}",
    "export mteb": "--benchmark {tables} --clips {clips} --out {out}",
    "export submission": "--benchmark {tables} --results {clips} --method random --out {out}",
    "index": "{clips} --method nope",
    "reproduce": "--source nope",
    "publish": "--source nope",
}
WRONG_PATHS = (
    "nowhere",
    "{empty}",
    "{text}",
    "{damaged}",
    "/dev/null",
    "~nobody",
    "n" * 300,
    "<img src=x>\n.mp4",
)
WRONG_NUMBERS = ("x", "-1", "0", "0.5", "", "nan", "inf", "1e9999", "1000000000", "9" * 30)
WRONG_NAMES = ("nope", "", "../x", "<script>", "[" * 1000)
WRONG_SETTINGS = (
    "nope=1",
    "lr",
    "lr={{[]:1}}",
    "lr=nan",
    "lr=-1",
    "epochs=0",
    "batch=-1",
    "batch=x",
    "lr=" + "[" * 1000,
)
WRONG_PARAMETERS = (("source", "5"), ("source", "[1]"), ("nope", "1"), ("seed", "x"), ("seed", "[" * 1000))
READ_TABLES = (
    "check {folder}",
    "score --benchmark {folder} --clips {clips} --method random text-only --profile smoke --out {out}",
    "embed --benchmark {folder} --clips {clips} --encoder clip --out {out}",
    "teach --benchmark {folder} --clips {clips} --profile smoke --out {out}",
    "train --benchmark {folder} --clips {clips} --encoder clip --profile smoke --out {out}",
    "export release --benchmark {folder} --out {out}",
    "write --pairs {folder}/pairs.parquet --out {out}/texts.csv",
    "export mteb --benchmark {folder} --clips {clips} --out {out}",
    "build --source mini --annotations {folder} --out {out}/built",
)
SCORE = "score --benchmark {tables} --clips {films} --profile smoke --out {out} --method "
READ_WEIGHTS = (
    *(
        f"embed --benchmark {{tables}} --clips {{films}} --encoder {name} --weights {{weights}} --out {{out}}"
        for name in ("clip", "aim", "blip", "blip2", "languagebind", "siglip2", "qwen3_vl_embedding")
    ),
    "teach --benchmark {tables} --clips {films} --profile smoke --weights {weights} --out {out}",
    SCORE + "tfcovr-base --checkpoint {weights}",
    SCORE + "clip-mlp-1 --weights clip={weights}",
    SCORE + "blip-covr-ft --checkpoint {weights}",
)
A_LIBRARYS_WORDS = (
    "magic bytes",
    "Expecting property",
    "Expecting value",
    "codec can't decode",
    "[Errno 21]",
    "KeyError",
)
HANGS_AFTER_S = 30  # on a busy machine; a person should wait ten


class Hang(BaseException):
    """A call that did not end in time."""


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    """Folders that are right, empty, damaged, and a file that is nothing."""
    base = tmp_path_factory.mktemp("calls")
    places = {
        name: base / name for name in ("tables", "clips", "films", "empty", "damaged", "out", "rendered")
    }
    for folder in places.values():
        folder.mkdir()
    small_benchmark().save(places["tables"])
    shutil.copytree(places["tables"], places["damaged"], dirs_exist_ok=True)
    (places["damaged"] / "clips.parquet").write_bytes(b"PAR1 and then nothing")
    pd.DataFrame({"a": [1]}).to_parquet(places["damaged"] / "pairs.parquet")
    places["text"] = base / "words.txt"
    places["text"].write_text("words\n")
    places["base"] = base
    film = base / "film.mp4"
    write_clip(film, np.zeros((8, 32, 32, 3), np.uint8), 8)
    for path in pd.read_parquet(places["tables"] / "clips.parquet")["path"]:
        (places["films"] / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, places["films"] / path)
    return places


def damaged_tables(places: dict[str, Path]) -> Iterator[Path]:
    """Folders of a benchmark in which one table is damaged in one of twelve ways."""
    for path in sorted(places["tables"].glob("*.parquet")):
        table = pd.read_parquet(path)
        first = table.columns[0]
        for name, change in {
            "lacks a column": lambda path, t=table, c=first: t.drop(columns=c).to_parquet(path),
            "numbers for texts": lambda path, t=table, c=first: t.assign(**{c: 1.5}).to_parquet(path),
            "all null": lambda path, t=table, c=first: t.assign(**{c: None}).to_parquet(path),
            "a null key": lambda path, t=table, c=first: t.assign(**{c: t[c].where(t.index > 0)}).to_parquet(
                path
            ),
            "rows twice": lambda path, t=table: pd.concat([t, t]).to_parquet(path),
            "no rows": lambda path, t=table: t.head(0).to_parquet(path),
            "a folder": lambda path: path.mkdir(),
            "cut short": lambda path, source=path: path.write_bytes(source.read_bytes()[:200]),
            "text": lambda path: path.write_text("clip_id,label_id\n"),
            "lists": lambda path, t=table, c=first: t.assign(**{c: [[1]] * len(t)}).to_parquet(path),
            "an unknown id": lambda path, t=table, c=first: t.assign(**{c: "nobody"}).to_parquet(path),
            "empty": lambda path: path.write_bytes(b""),
        }.items():
            yield copy_with(places, f"{path.stem} {name}", path.name, change)
    for name, text in {
        "a list": "[]",
        "deep": "[" * 10_000,
        "a number": "1",
        "no JSON": "{",
        "bytes": "\0",
    }.items():
        yield copy_with(
            places, f"choices {name}", "choices.json", lambda path, text=text: path.write_text(text)
        )


def copy_with(places: dict[str, Path], name: str, file: str, change: Callable[[Path], object]) -> Path:
    folder = places["base"] / "tables with" / name
    shutil.copytree(places["tables"], folder)
    (folder / file).unlink(missing_ok=True)
    change(folder / file)
    return folder


def damaged_weights(places: dict[str, Path]) -> Iterator[Path]:
    """Folders and files of weights that no encoder can read."""
    config = json.loads((ROOT / "data" / "weights" / "mini-clip" / "config.json").read_text())
    sizes = {"hidden_size": 2**40, "num_hidden_layers": 10**9}
    configs = {
        "an empty configuration": "{}",
        "a list for a configuration": "[]",
        "a deep configuration": "[" * 10_000,
        "no heads": json.dumps(
            config | {"vision_config": config["vision_config"] | {"num_attention_heads": 0}}
        ),
        "huge sizes": json.dumps(config | {"vision_config": config["vision_config"] | sizes}),
        "no patches": json.dumps(config | {"vision_config": config["vision_config"] | {"patch_size": 0}}),
    }
    for name, text in configs.items():
        folder = places["base"] / "weights with" / name
        shutil.copytree(ROOT / "data" / "weights" / "mini-clip", folder)
        (folder / "config.json").write_text(text)
        yield folder
    folder = places["base"] / "weights with" / "a cut file"
    shutil.copytree(ROOT / "data" / "weights" / "mini-clip", folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    yield folder
    for suffix in (".pt", ".safetensors"):
        hostile = places["base"] / f"hostile{suffix}"
        hostile.write_bytes(pickle.dumps(Hostile()))
        yield hostile
    yield ROOT / "data" / "weights" / "mini-blip"  # another row's


class Hostile:
    """A pickle that would make a file where the test looks for none."""

    def __reduce__(self):
        return open, ("hostile-was-run", "w")


def wrong_values(action: argparse.Action) -> tuple[str, ...]:
    """Values that an option of this kind cannot take, or that lead nowhere."""
    if action.nargs == 0 or action.dest == "help":
        return ()
    if action.type is Path:
        return WRONG_PATHS
    if action.dest == "set":
        return WRONG_SETTINGS
    if action.type is not None:
        return WRONG_NUMBERS
    return WRONG_NAMES


def wrong_calls(places: dict[str, Path]) -> Iterator[list[str]]:
    """Every verb with every option set to every wrong value, and with each required part missing."""
    for name, verb in VERBS.items():
        if name not in RIGHT:
            continue
        right = RIGHT[name].split()
        parser = argparse.ArgumentParser()
        for names, settings in verb.options:
            action = parser.add_argument(*names, **settings)
            for value in wrong_values(action):
                given = [value, value] if action.nargs == 2 else [value]
                yield fill([*name.split(), *replaced(right, names[-1], given)], places)
        if any(settings.get("required") and right[0] in names for names, settings in verb.options):
            yield fill([*name.split(), *right[2:]], places)
        yield fill([*name.split(), *right, "--no-such-option"], places)
    for key, value in WRONG_PARAMETERS:
        yield ["reproduce", "--source", "smoke", "--only", "00", "-p", key, value]
    for folder in damaged_tables(places):
        yield from (fill(call.split(), places | {"folder": folder}) for call in READ_TABLES)
    for weights in damaged_weights(places):
        yield from (fill(call.split(), places | {"weights": weights}) for call in READ_WEIGHTS)


def replaced(right: list[str], option: str, value: list[str]) -> list[str]:
    """A call with one option, or its first positional argument, set to other values."""
    if not option.startswith("-"):
        return [*value, *right[1:]]
    if option in right:
        place = right.index(option)
        return [*right[: place + 1], *value, *right[place + 2 :]]
    return [*right, option, *value]


def fill(call: list[str], places: dict[str, Path]) -> list[str]:
    return [part.format(**places) for part in call]


def sentence_of(call: list[str]) -> tuple[int, str]:
    """The exit status of a call, and the last line that it printed."""
    heard, printed = io.StringIO(), io.StringIO()  # `check` prints the problems it found to stdout
    with contextlib.redirect_stderr(heard), contextlib.redirect_stdout(printed):
        signal.alarm(HANGS_AFTER_S)
        try:
            status = main(call)
        except SystemExit as error:  # argparse
            status = error.code
        except Hang:
            status = "hang"
        finally:
            signal.alarm(0)
    lines = [line for line in (heard.getvalue() or printed.getvalue()).splitlines() if line.strip()]
    return status, lines[-1] if lines else ""


def hang(*_) -> None:
    raise Hang


def is_drawn(call: list[str], base: str) -> bool:
    return zlib.crc32(" ".join(call).replace(base, "").encode("utf-8", "replace")) % 10 == 0


@pytest.mark.slow
def test_wrong_calls_get_a_sentence(places, monkeypatch):
    monkeypatch.chdir(places["out"])  # where "nowhere" is an output, it is made here
    monkeypatch.setenv("TFCOVR_DATA", str(places["out"] / "data"))
    monkeypatch.setenv("TFCOVR_RUNS", str(places["out"] / "runs"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = signal.signal(signal.SIGALRM, hang)
    base, refused, faults = str(places["base"]), 0, []
    calls = list(wrong_calls(places))
    chosen = calls if os.environ.get("TFCOVR_ALL_CALLS") else [call for call in calls if is_drawn(call, base)]
    for call in chosen:
        status, sentence = sentence_of(call)
        shown = " ".join(repr(part[:60]) if not part or " " in part else part[:60] for part in call)
        print(f"{status} | {shown} | {sentence}".replace(base, "."))
        if status:
            refused += 1
            wrong = not sentence or "fault of tfcovr" in sentence or len(sentence) > 2000 or status == "hang"
            if wrong or any(words in sentence for words in A_LIBRARYS_WORDS):
                faults.append(f"{status} {shown}: {sentence[:300]}".replace(base, "."))
    signal.signal(signal.SIGALRM, before)
    assert not list(Path().rglob("hostile-was-run"))
    assert faults == [], f"{len(faults)} of {len(chosen)}"
    assert len(calls) >= 2000 and refused >= len(chosen) / 2
