"""CLIP from every layout, against a plain implementation of OpenAI's model; and weights that are missing."""

import json
import time
import warnings
import zipfile
from copy import deepcopy

import huggingface_hub
import numpy as np
import pytest
import torch
from openai_clip import CONTEXT, SIZE, Official, ResNet, Vit, half, randomise
from PIL import Image
from torch.nn import functional as F
from transformers import CLIPImageProcessor

from tfcovr_utils.encoders import hub, load_encoder
from tfcovr_utils.encoders.key_maps import OPENAI_CLIP, rename
from tfcovr_utils.training.pretraining.mini_clip import build_tokenizer

WORDS = ["an athlete, tucked, over the pool", "show with 2.5 twists"]
LONG = " ".join(["pool twist"] * CONTEXT)


# ---- files


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """Folder of a small tokenizer of CLIP's kind."""
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer(WORDS, vocab_size=540).save_pretrained(folder)
    return str(folder)


def tokens_of(tokenizer, text):
    return hub.AutoTokenizer.from_pretrained(tokenizer)(
        [text], truncation=True, max_length=CONTEXT, return_tensors="pt"
    )["input_ids"]


@pytest.fixture(scope="module")
def official(tokenizer):
    return randomise(Official(Vit(), len(hub.AutoTokenizer.from_pretrained(tokenizer))))


@pytest.fixture(scope="module")
def files(official, tokenizer, tmp_path_factory):
    """The same ViT in each layout, by name."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save(half(official), folder / "weights.pt")
    torch.save({"epoch": 3, "state_dict": half(official)}, folder / "nested.pth")
    archived = deepcopy(official)
    archived.register_buffer("input_resolution", torch.tensor(SIZE))
    archived.register_buffer("context_length", torch.tensor(CONTEXT))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and is what OpenAI's files are made with
        traced = torch.jit.trace(
            archived, (torch.zeros(1, 3, SIZE, SIZE), tokens_of(tokenizer, "pool")), check_trace=False
        )
        traced.half().save(folder / "archive.pt")
    encoder = load_encoder("clip", str(folder / "weights.pt"), tokenizer=tokenizer)
    encoder.model.save_pretrained(folder / "folder")
    hub.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder / "folder")
    CLIPImageProcessor().save_pretrained(folder / "folder")
    return {
        "state dict": folder / "weights.pt",
        "nested": folder / "nested.pth",
        "archive": folder / "archive.pt",
        "folder": folder / "folder",
    }


@pytest.fixture(scope="module")
def load(files, tokenizer):
    return lambda layout="state dict", **options: load_encoder(
        "clip", str(files[layout]), **{"tokenizer": tokenizer, **options}
    )


@pytest.fixture(scope="module")
def resnet(tokenizer, tmp_path_factory):
    """RN50 of the real size with a small text half: the plain model, and the path of its file."""
    model = randomise(Official(ResNet(), len(hub.AutoTokenizer.from_pretrained(tokenizer)), 1024))
    path = tmp_path_factory.mktemp("resnet") / "RN50.pt"
    torch.save(
        {name: value for name, value in half(model).items() if not name.endswith("num_batches_tracked")}, path
    )
    yield model, path
    path.unlink()


def frames(n=2, t=3, height=SIZE, width=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, t, height, width, 3), dtype=np.uint8)


def apart(a, b):
    """Largest difference of unit features."""
    return (F.normalize(a, dim=-1) - F.normalize(b, dim=-1)).abs().max().item()


# ---- ViT


@pytest.mark.parametrize("layout", ["state dict", "nested", "archive", "folder"])
def test_a_vit_has_the_features_of_openais(official, load, tokenizer, layout):
    encoder, clip = load(layout), frames()
    pixels = encoder.prepare(clip)
    assert encoder.image_size == SIZE and next(encoder.parameters()).dtype == torch.float32
    assert apart(encoder.encode_frames(clip), official.visual(pixels).unflatten(0, (2, 3))) < 4e-7
    assert (
        apart(
            load(layout, read_out="pooled").encode_frames(clip),
            official.visual.pool(pixels).unflatten(0, (2, 3)),
        )
        < 4e-7
    )
    texts = [*WORDS, LONG]  # in one batch, so padded; the reference reads each alone
    expected = torch.cat([official.encode_text(tokens_of(tokenizer, text)) for text in texts])
    assert apart(encoder.encode_texts(texts), expected) < 4e-7


def test_every_weight_of_the_file_is_asked_for(official, tokenizer, tmp_path):
    state = half(official)
    for name in state:
        torch.save({other: value for other, value in state.items() if other != name}, tmp_path / "less.pt")
        new, unknown = rename({name: state[name]}, OPENAI_CLIP)
        assert not unknown
        with pytest.raises(ValueError, match="less.pt lacks .* pass a CLIP file of OpenAI's") as raised:
            load_encoder("clip", str(tmp_path / "less.pt"))
        said = str(raised.value).replace(";", ",").replace(" ", ",").split(",")
        assert name in said or set(new) <= set(said), (name, said)


@pytest.mark.parametrize(
    ("of_resnet", "name", "said"),
    [
        (False, "visual.adapter.weight", "visual.adapter.weight"),
        (False, "visual.ln_post.scale", "vision_model.post_layernorm.scale"),
        (True, "adapter.weight", "adapter.weight"),
        (True, "visual.layer1.0.bn3.scale", "stages.0.0.conv3_1x1.bn.scale"),
    ],
)
def test_a_weight_too_much_is_named(official, resnet, tmp_path, of_resnet, name, said):
    torch.save({**half(resnet[0] if of_resnet else official), name: torch.ones(2)}, tmp_path / "more.pt")
    with pytest.raises(ValueError, match=f"more.pt also holds {said}; pass a CLIP file of OpenAI's"):
        load_encoder("clip", str(tmp_path / "more.pt"))


@pytest.mark.parametrize("written", [b"", b"PK\x03\x04 cut short", "lines"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_sentence(tmp_path, written):
    path = tmp_path / "broken.pt"
    torch.save({"names": ["a"]}, path) if written == "lines" else path.write_bytes(written)
    with pytest.raises(ValueError, match=r"^\S*broken.pt holds [^\n]*$"):
        load_encoder("clip", str(path))


# ---- RN50


def test_rn50_has_the_features_of_openais(resnet, tokenizer):
    model, path = resnet
    encoder, clip = load_encoder("clip", str(path), tokenizer=tokenizer), frames(1, 2, 4, 6)
    assert encoder.image_size == 224
    pixels = encoder.prepare(clip)
    pooled = model.visual.pool(pixels)
    expected = model.visual.attnpool.c_proj(pooled)
    found = encoder.encode_frames(clip)
    assert found.shape == (1, 2, 1024) and (expected[0] - expected[1]).norm() > 1e-3 * expected.norm()
    assert (found[0] - expected).norm() < 1e-5 * expected.norm()
    other = load_encoder("clip", str(path), read_out="pooled")
    assert (
        other.encode_frames(clip)[0] - pooled
    ).norm() < 1e-5 * pooled.norm() and other.identity != encoder.identity
    expected = torch.cat([model.encode_text(tokens_of(tokenizer, text)) for text in [*WORDS, LONG]])
    assert (encoder.encode_texts([*WORDS, LONG]) - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("visual.attnpool.c_proj.weight", "visual.attnpool.c_proj.weight"),
        ("visual.layer3.2.bn2.running_mean", "stages.2.2.conv2_kxk.bn.running_mean"),
        ("ln_final.bias", "text_model.final_layer_norm.bias"),
    ],
)
def test_a_weight_that_rn50_lacks_is_named(resnet, tmp_path, name, said):
    state = half(resnet[0])
    del state[name]
    torch.save(state, tmp_path / "less.pt")
    with pytest.raises(ValueError, match="less.pt lacks") as raised:
        load_encoder("clip", str(tmp_path / "less.pt"))
    assert said in str(raised.value)


# ---- what every CLIP does


def test_frames_and_texts_do_not_influence_each_other(load):
    encoder, clips = load(), frames(2, 3)
    one_by_one = [
        [encoder.encode_frames(clips[i : i + 1, t : t + 1])[0, 0] for t in range(3)] for i in range(2)
    ]
    assert apart(encoder.encode_frames(clips), torch.stack([torch.stack(row) for row in one_by_one])) < 1e-6
    together = encoder.encode_texts([*WORDS, LONG])
    assert apart(together, torch.cat([encoder.encode_texts([text]) for text in [*WORDS, LONG]])) < 1e-6
    assert apart(together[0], together[1]) > 0.01


def test_a_text_longer_than_the_context_is_cut(load):
    encoder = load()
    cut, same, other = encoder.encode_texts([LONG, LONG + " tucked", "tucked " + LONG])
    assert torch.equal(cut, same) and apart(cut, other) > 0.01


@pytest.mark.parametrize(("height", "width"), [(48, 80), (20, 27), (SIZE, SIZE)])
def test_pixels_are_squared_as_pillow_does(load, height, width):
    encoder = load()
    clip = frames(1, 2, height, width) // 2 + 64  # Pillow clips between its two passes
    found = encoder.prepare(clip) * torch.tensor(encoder.std).view(3, 1, 1) + torch.tensor(encoder.mean).view(
        3, 1, 1
    )
    expected = np.stack(
        [
            np.asarray(Image.fromarray(frame).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            for frame in clip[0]
        ]
    )
    off = (found * 255 - torch.from_numpy(expected).permute(0, 3, 1, 2)).abs()
    assert (
        off.max() < 1.01 and off.mean() < 0.25
    )  # a level where Pillow, which rounds twice, rounds the other way


def test_identity_is_of_what_decides_the_embeddings(official, files, load, tmp_path):
    first = load().identity
    assert json.dumps(first) == json.dumps(load("folder").identity) == json.dumps(load("archive").identity)
    state = half(official)
    state["visual.ln_post.bias"][0] += 0.5
    torch.save(state, tmp_path / "other.pt")
    config = json.loads((files["folder"] / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "gelu"
    (tmp_path / "gelu").mkdir()
    for path in files["folder"].iterdir():
        (tmp_path / "gelu" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "gelu" / "config.json").write_text(json.dumps(config))
    others = [load_encoder("clip", str(tmp_path / name)) for name in ("other.pt", "gelu")]
    for other in others:
        assert apart(other.encode_frames(frames()), load().encode_frames(frames())) > 1e-4
    identities = [first, load(read_out="pooled").identity, *(other.identity for other in others)]
    assert len({json.dumps(identity) for identity in identities}) == 4


def test_an_unknown_read_out_lists_the_known(load):
    with pytest.raises(ValueError, match="read_out 'cls' is not known; choose one of projected, pooled."):
        load(read_out="cls")


# ---- weights that are not to be had


@pytest.fixture
def asked(monkeypatch):
    """No network: what the hub was asked for."""
    asked = []

    def silent(name, timeout):
        asked.append(name)
        raise ConnectionError("Name or service not known\nand more")

    monkeypatch.setattr(hub, "model_info", silent)
    return asked


@pytest.mark.parametrize(
    ("weights", "said", "requests"),
    [
        ("nobody/such-clip", "nobody/such-clip is neither .* run `hf download nobody/such-clip`", 1),
        (
            "data/weights/none",
            "data/weights/none is neither a folder here nor a hub id such as .*tfcovr pretrain",
            0,
        ),
        ("none/ViT-B-16.pt", "none/ViT-B-16.pt does not exist; put a CLIP file of OpenAI's", 0),
    ],
)
def test_one_sentence_says_how_to_get_weights_that_are_not_there(asked, weights, said, requests):
    started = time.monotonic()
    with pytest.raises(OSError, match=f"^{said}[^\n]*$"):
        load_encoder("clip", weights)
    assert len(asked) == requests and time.monotonic() - started < 3


def test_a_folder_that_lacks_a_file_is_told_so(asked, files, tmp_path):
    for path in files["folder"].iterdir():
        if path.name != "model.safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(
        FileNotFoundError,
        match=r"^[^\n]* is no complete .* model.safetensors[^\n]*; make or fetch that folder again.$",
    ):
        load_encoder("clip", str(tmp_path))
    assert asked == []


def test_the_cache_is_read_before_the_hub_is_asked(asked, files, load, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--clip"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / ("0" * 40)).symlink_to(files["folder"])
    assert load_encoder("clip", "someone/clip").identity == load().identity
    assert asked == []


def test_what_is_not_cached_is_fetched(monkeypatch):
    calls = []

    def read(folder):
        calls.append((folder.source, folder.local_files_only))
        if folder.local_files_only:
            raise OSError("not cached")
        return "weights"

    monkeypatch.setattr(hub, "model_info", lambda name, timeout: calls.append(name))
    assert hub.from_hub(read, "someone/clip") == "weights"
    assert calls == [("someone/clip", True), "someone/clip", ("someone/clip", False)]


def test_a_tokenizer_is_wanted_when_the_first_text_comes(asked, load):
    encoder = load(tokenizer="nobody/such-tokenizer")
    assert encoder.encode_frames(frames()).isfinite().all() and asked == []
    with pytest.raises(FileNotFoundError, match="run `hf download nobody/such-tokenizer`"):
        encoder.encode_texts(WORDS)


class Hostile(torch.nn.Module):
    """TorchScript that runs when it is loaded by torch: it overwrites a file, or never ends."""

    def __init__(self, target: str, forever: bool):
        super().__init__()
        self.weight = torch.zeros(1)
        self.target, self.forever = target, forever

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.target, self.forever

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.training = False
        self.target, self.forever = state
        self.weight = torch.zeros(1)
        while self.forever:
            self.weight += 1
        file = torch.from_file(self.target, shared=True, size=3, dtype=torch.uint8)
        self.weight = file.copy_(torch.tensor([66, 65, 68]))  # kept, or the compiler would leave it out


@pytest.mark.parametrize("forever", [False, True])
def test_code_of_an_archive_is_never_run(forever, tokenizer, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"GOOD")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Hostile(str(victim), forever)).save(tmp_path / "hostile.pt")
    if not forever:  # what PyTorch's own reader does
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.load(tmp_path / "hostile.pt")
        assert victim.read_bytes() == b"BADD"
        victim.write_bytes(b"GOOD")
    with pytest.raises(ValueError, match=r"hostile\.pt"):
        load_encoder("clip", str(tmp_path / "hostile.pt"), tokenizer=tokenizer)
    assert victim.read_bytes() == b"GOOD"


@pytest.mark.parametrize("change", ["compressed", "cut", "renamed"])
def test_a_changed_archive_is_refused(change, files, tokenizer, tmp_path):
    with zipfile.ZipFile(files["archive"]) as old, zipfile.ZipFile(tmp_path / "new.pt", "w") as new:
        for entry in old.infolist():
            content, is_storage = old.read(entry), "/data/" in entry.filename
            if change == "cut" and is_storage:
                content = content[: len(content) // 2]
            if change == "renamed" and entry.filename.endswith("data.pkl"):
                content = content.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v9")
            kind = zipfile.ZIP_DEFLATED if change == "compressed" else zipfile.ZIP_STORED
            new.writestr(entry.filename, content, compress_type=kind)
    with pytest.raises(ValueError, match=r"new\.pt was refused"):
        load_encoder("clip", str(tmp_path / "new.pt"), tokenizer=tokenizer)


@pytest.mark.parametrize("content", ["modules in a ring", "a list", "no storage", "nothing"])
def test_a_crafted_archive_ends_at_once(content, tokenizer, tmp_path):
    rings = [f"c__torch__\nM\n)\x81p{n}\n" for n in range(3)]
    links = "".join(f"g{n}\n}}(" + "".join(f"Va{m}\ng{m}\n" for m in range(3)) + "ub" for n in range(3))
    pickles = {
        "modules in a ring": f"{'0'.join(rings)}0{links}.",
        "a list": "].",
        "no storage": "(Vstorage\nctorch\nFloatStorage\nV7\nVcpu\nI4\ntQ.",
    }
    with zipfile.ZipFile(tmp_path / "crafted.pt", "w") as archive:
        archive.writestr("crafted/constants.pkl", b")." if content in pickles else b"")
        if content in pickles:
            archive.writestr("crafted/data.pkl", pickles[content].encode("latin-1"))
    with pytest.raises(ValueError, match=r"crafted\.pt"):
        load_encoder("clip", str(tmp_path / "crafted.pt"), tokenizer=tokenizer)
