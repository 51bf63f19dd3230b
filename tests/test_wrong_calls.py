"""Wrong calls of every verb, generated from the parser: one sentence each, and no traceback.

`pytest tests/test_wrong_calls.py -s` prints the table of calls and sentences.
"""

import argparse
import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from small_benchmark import small_benchmark

from tfcovr_utils.cli.main import main
from tfcovr_utils.cli.verb import VERBS

# A call of each verb that is right, or nearly, and quick to refuse; {x} is a folder of the test's.
RIGHT = {
    "fetch release": "--out {out}",
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
WRONG_PATHS = ("nowhere", "{empty}", "{text}", "{damaged}")
WRONG_NUMBERS = ("x", "-1", "0.5", "")
WRONG_NAMES = ("nope", "", "../x")


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    """Folders that are right, empty, damaged, and a file that is nothing."""
    base = tmp_path_factory.mktemp("calls")
    places = {name: base / name for name in ("tables", "clips", "empty", "damaged", "out", "rendered")}
    for folder in places.values():
        folder.mkdir()
    small_benchmark().save(places["tables"])
    shutil.copytree(places["tables"], places["damaged"], dirs_exist_ok=True)
    (places["damaged"] / "clips.parquet").write_bytes(b"PAR1 and then nothing")
    pd.DataFrame({"a": [1]}).to_parquet(places["damaged"] / "pairs.parquet")
    places["text"] = base / "words.txt"
    places["text"].write_text("words\n")
    return places


def wrong_values(action: argparse.Action) -> tuple[str, ...]:
    """Values that an option of this kind cannot take, or that lead nowhere."""
    if action.nargs == 0 or action.dest == "help":
        return ()
    if action.type is Path:
        return WRONG_PATHS
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
        try:
            status = main(call)
        except SystemExit as error:  # argparse
            status = error.code
    lines = [line for line in (heard.getvalue() or printed.getvalue()).splitlines() if line.strip()]
    assert "Traceback" not in heard.getvalue()
    return status, lines[-1] if lines else ""


@pytest.mark.slow
def test_wrong_calls_get_a_sentence(places, monkeypatch):
    monkeypatch.chdir(places["out"])  # where "nowhere" is an output, it is made here
    monkeypatch.setenv("TFCOVR_DATA", str(places["out"] / "data"))
    monkeypatch.setenv("TFCOVR_RUNS", str(places["out"] / "runs"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused, faults = 0, []
    for call in wrong_calls(places):
        status, sentence = sentence_of(call)
        shown = " ".join(repr(part) if not part or " " in part else part for part in call)
        print(f"{status} | {shown} | {sentence}".replace(str(places["text"].parent), "."))
        if status:
            refused += 1
            if not sentence or "fault of tfcovr" in sentence or len(sentence) > 2000:
                faults.append(f"{shown}: {sentence}")
    assert faults == []
    assert refused >= 100
