"""Folders and checkpoints that are of another row, damaged or hostile: one sentence, and nothing is run."""

import json
import pickle
import shutil
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from tfcovr_utils.machine.tensors import write_checkpoint
from tfcovr_utils.profiles import ROOT
from tfcovr_utils.training import teaching
from tfcovr_utils.training.fusion import Fusion
from tfcovr_utils.training.loop import Plan, Run, train
from tfcovr_utils.training.official_checkpoint import load_stage2
from tfcovr_utils.training.readers import ClipReader, Readout
from tfcovr_utils.training.single_stage import SingleStage
from tfcovr_utils.training.towers import TextTower, tower_config


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def make_reader() -> ClipReader:
    return ClipReader(Readout("ordered", 8, num_frames=3, width=16, heads=2), ["a"])


def make_towered() -> Fusion:
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    tower = TextTower(tower_config(**sizes, intermediate_size=12, max_position_embeddings=20))
    return Fusion(6, 8, 8, 16, tower=tower)


MODELS = {
    "fusion": lambda: Fusion(6, 4, 8, 16),
    "towered": make_towered,
    "single stage": lambda: SingleStage(make_reader(), Fusion(16, 5, 8, 8)),
    "reader": make_reader,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, Path]:
    """A folder of each kind of model."""
    folder = tmp_path_factory.mktemp("trained")
    for name, make in MODELS.items():
        model = make()
        (model.save if name == "reader" else model.save_pretrained)(folder / name)
    return {name: folder / name for name in MODELS}


def load(name: str, folder: Path):
    return {"single stage": SingleStage, "reader": ClipReader}.get(name, Fusion).load(folder)


def refused(read, folder: Path, least: str = ".") -> str:
    """The one sentence that reading ends in, within ten seconds."""
    started = time.monotonic()
    with pytest.raises((ValueError, FileNotFoundError), match=least) as said:
        read(folder)
    sentence = str(said.value)
    assert time.monotonic() - started < 10
    assert len(sentence) < 1000 and "\n" not in sentence and str(folder) in sentence
    return sentence


def sizes_of(config: dict, at: tuple = ()) -> list[tuple]:
    """Where a configuration holds a whole number that sizes a model."""
    found, unused = [], ("chunk_size_feed_forward", "encoder_hidden_size")  # transformers writes them
    for name, value in config.items():
        if isinstance(value, dict):
            found += sizes_of(value, (*at, name))
        elif (
            type(value) is int
            and name not in unused
            and ("dim" in name or "width" in name or "layers" in name or "size" in name)
        ):
            found.append((*at, name))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_description_that_is_wrong_is_refused(trained, tmp_path, name):
    shutil.copytree(trained[name], tmp_path / "copy")
    path = next((tmp_path / "copy").glob("*.json"))
    written = path.read_text()
    wrong = ["", "{}", "[]", "null", "7", '{"a": 1', deep(100_000), '{"tower": ' + deep(500) + "}"]
    places = sizes_of(json.loads(written))
    assert len(places) >= 3
    for place in places:
        for value in (0, -1, 10**12, 60_000, "x", None, [1], 1.5):
            config = inner = json.loads(written)
            for key in place[:-1]:
                inner = inner[key]
            if isinstance(inner[place[-1]], int) and inner[place[-1]] != value:
                inner[place[-1]] = value
                wrong.append(json.dumps(config))
    for text in wrong:
        path.write_text(text)
        refused(partial(load, name), tmp_path / "copy")
    path.write_text(written)
    load(name, tmp_path / "copy")


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_of_another_model_is_refused(trained, tmp_path, name):
    others = [
        folder
        for other, folder in trained.items()
        if {name, other} != {"fusion", "towered"} and name != other
    ]
    others += [ROOT / "data" / "weights" / kind for kind in ("mini-clip", "mini-blip")]
    for folder in [*others, tmp_path, tmp_path / "none"]:
        refused(partial(load, name), folder)
    (tmp_path / "file").touch()
    refused(partial(load, name), tmp_path / "file")


class Touch:
    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def test_no_pickle_is_run(trained, tmp_path):
    canary = tmp_path / "canary"
    for name in MODELS:
        shutil.copytree(trained[name], tmp_path / name)
        weights = next((tmp_path / name).glob("*.safetensors"))
        torch.save({"model": Touch(canary)}, weights)
        refused(partial(load, name), tmp_path / name)
    torch.save({"model": Touch(canary)}, tmp_path / "stage2.ckpt")
    refused(load_stage2, tmp_path / "stage2.ckpt", "was refused")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Touch(canary)))
    torch.save({"identity": {}, "state": Touch(canary)}, tmp_path / "zip.pt")
    for path in (tmp_path / "plain.pt", tmp_path / "zip.pt"):
        refused(resume, path, "damaged or cut short")
    assert not canary.exists()
    torch.load(tmp_path / "zip.pt", weights_only=False)
    assert canary.exists()


def resume(path: Path, steps: int = 2) -> None:
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters(), 0.1)
    plan = Plan(
        steps, 0.1, draw=lambda step: torch.ones(4, 3), losses=lambda batch: {"loss": model(batch).sum()}
    )
    train(model, optimiser, plan, Run(path, resume=True))


def test_a_file_in_the_place_of_the_folder_is_named_before_the_first_step(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be written"):
        resume(tmp_path / "file" / "checkpoint.pt", steps=10**9)


def test_a_checkpoint_of_other_contents_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    resume(path)
    whole = torch.load(path, weights_only=True)
    resume(path, steps=4)
    for part in ("random", "weights", "optimiser", "state"):
        for value in (None, [], {}, 7, "x", torch.ones(2), {"weight": 1}, [{"cpu": 1}]):
            write_checkpoint({}, {**whole, part: value}, path)
            refused(resume, path, "holds no checkpoint of this training")
    for contents in (torch.ones(2), [1], {"identity": 3}):
        torch.save(contents, path)
        refused(resume, path)
    path.unlink()
    path.mkdir()
    refused(resume, path, "damaged or cut short")


def test_official_weights_without_rows_and_columns_are_refused(tmp_path):
    whole = {
        "Qformer.bert.embeddings.word_embeddings.weight": torch.ones(9, 4),
        "Qformer.bert.embeddings.position_embeddings.weight": torch.ones(9, 4),
        "Qformer.bert.encoder.layer.0.intermediate.dense.weight": torch.ones(4, 4),
        "combiner.combiner_layer.weight": torch.ones(4, 4),
        "text_proj.weight": torch.ones(4, 4),
    }
    for name in whole:
        for value in (torch.ones(4), torch.tensor(1.0), torch.ones(0, 4), torch.ones(2, 2, 2)):
            torch.save({"model": {**whole, name: value}}, tmp_path / "flat.ckpt")
            refused(load_stage2, tmp_path / "flat.ckpt", "without rows and columns; pass")
        torch.save(
            {"model": {key: value for key, value in whole.items() if key != name}}, tmp_path / "less.ckpt"
        )
        refused(load_stage2, tmp_path / "less.ckpt", "lacks")
    torch.save({"model": whole}, tmp_path / "few.ckpt")
    refused(load_stage2, tmp_path / "few.ckpt", "lacks")


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "null", '{"made_of": [], "code": "", "seconds": 1.0}', '{"made_of": {}}', deep(100_000), ""],
)
def test_another_file_is_no_record_of_a_recipe(tmp_path, text):
    (tmp_path / "recipe.json").write_text(text)
    refused(teaching.read_facts, tmp_path)
