"""AIM against the official class's numbers, the frozen CLIP it starts from, and its own files."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import golden, weights
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPVisionConfig, CLIPVisionModel

from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.encoders.aim import load_official, load_pretrained, save_pretrained
from tfcovr_utils.encoders.aim_model import Aim, AimBlock, AimClassifier
from tfcovr_utils.encoders.base import ENCODERS, Encoder
from tfcovr_utils.encoders.key_maps import AIM, rename
from tfcovr_utils.encoders.positions import interpolate_time

TOLERANCE = 1e-5  # absolute, of features and logits; the fixtures' own suggestion
GRADIENT_TOLERANCE = 1e-4  # of a tensor's largest gradient
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]


def load_fixture(name, folder, wrap=lambda state: {"state_dict": state}):
    tensors, facts = golden(name)
    config = facts["config"]
    torch.save(wrap(weights(tensors)), folder / "official.pth")
    return tensors, load_official(
        folder / "official.pth", scale=config["adapter_scale"], heads=config["heads"]
    )


def tiny_tower(**config):
    torch.manual_seed(0)
    tower = CLIPVisionModel(CLIPVisionConfig(**{**TINY, **config}))
    for parameter in tower.parameters():  # transformers starts small, and some at exactly one or zero
        torch.nn.init.normal_(parameter, std=0.3)
    return tower.eval()


def trained_aim(tower=None, **settings):
    """An Aim whose trainable weights are no longer what they start at."""
    aim = Aim(tiny_tower(**(tower or {})), **{"num_frames": 4, **settings}).eval()
    for parameter in aim.trainable_parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return aim


def clips(batch=2, num_frames=4, size=16, dtype=torch.float32):
    return torch.randn(
        batch, num_frames, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(1)
    )


def gradients(model, pixels, seed=0):
    torch.manual_seed(seed)
    model.zero_grad()
    model(pixels).square().sum().backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


# ---- the official class

LAYOUTS = {
    "recogniser": lambda weights: {
        "meta": {"epoch": 1},
        "state_dict": weights,
        "optimizer": {"state": {0: weights}},
    },
    "distributed": lambda weights: {
        "epoch": 1,
        "model": {f"module.{name}": value for name, value in weights.items()},
    },
    "bare": lambda weights: weights,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["aim_t1", "aim_t2"])
def test_features_and_logits_equal_the_official(tmp_path, name, layout):
    tensors, model = load_fixture(name, tmp_path, LAYOUTS[layout])
    with torch.no_grad():
        pixels = tensors["input.video"].transpose(1, 2)
        features, logits = model.backbone(pixels), model(pixels)
    assert (features - tensors["output.frame_features"]).abs().max() < TOLERANCE
    assert (features.mean(1) - tensors["output.pooled"]).abs().max() < TOLERANCE
    assert (logits - tensors["output.logits"]).abs().max() < TOLERANCE
    assert model.labels == [str(label) for label in range(golden(name)[1]["config"]["num_classes"])]


def test_gradients_equal_the_official(tmp_path):
    tensors, model = load_fixture("aim_t1", tmp_path)
    pixels = tensors["input.video"].transpose(1, 2).requires_grad_()
    found = gradients(model.backbone, pixels)
    expected, unknown = rename(
        {
            key.removeprefix("output.grad."): value
            for key, value in tensors.items()
            if key.startswith("output.grad.backbone.")
        },
        AIM,
    )
    assert unknown == [] and {f"backbone.{name}" for name in found} == set(expected)
    found["input"], expected["backbone.input"] = pixels.grad.transpose(1, 2), tensors["output.grad.input"]
    for name, gradient in found.items():
        reference = expected[f"backbone.{name}"]
        assert (gradient - reference).abs().max() <= GRADIENT_TOLERANCE * reference.abs().max(), name


@pytest.mark.parametrize("name", ["aim_t1", "aim_t2"])
def test_freezing_is_the_official_rule(tmp_path, name):
    state = weights(golden(name)[0])
    parts = ("temporal_embedding", "ln_post", "cls_head", "Adapter")
    official = sum(value.numel() for key, value in state.items() if any(part in key for part in parts))
    _, model = load_fixture(name, tmp_path)
    assert sum(parameter.numel() for parameter in model.trainable_parameters()) == official


def test_the_papers_model_has_the_papers_size():
    with torch.device("meta"):
        tower = CLIPVisionModel(CLIPVisionConfig(patch_size=16))
        model = AimClassifier(Aim(tower, num_frames=12), [str(label) for label in range(306)])
    trainable, total = (
        sum(p.numel() for p in parameters)
        for parameters in (model.trainable_parameters(), model.parameters())
    )
    assert (round(trainable / 1e6, 1), round(total / 1e6, 1)) == (10.9, 96.7)


def test_every_key_is_accounted_for(tmp_path):
    tensors, facts = golden("aim_t2")
    config = facts["config"]
    for name in weights(tensors):
        with pytest.raises(ValueError, match="lacks|has in another shape"):
            load_fixture(
                "aim_t2", tmp_path, lambda state, name=name: {key: state[key] for key in state if key != name}
            )
    with pytest.raises(ValueError, match=r"also holds backbone\.proj;"):
        load_fixture("aim_t2", tmp_path, lambda state: {**state, "backbone.proj": torch.zeros(2)})
    beyond = config["layers"] + 5
    stray = f"backbone.transformer.resblocks.{beyond}.S_Adapter.D_fc1.bias"
    adapter = torch.zeros(round(config["width"] * config["adapter_ratio"]))
    with pytest.raises(
        ValueError, match=rf"also holds backbone\.adapters\.{beyond}\.S_Adapter\.D_fc1\.bias;"
    ):
        load_fixture("aim_t2", tmp_path, lambda state: {**state, stray: adapter})
    fewer = torch.zeros(config["num_classes"] - 1)
    with pytest.raises(ValueError, match=r"another shape fc_cls\.bias;"):
        load_fixture("aim_t2", tmp_path, lambda state: {**state, "cls_head.fc_cls.bias": fewer})


def test_adapters_of_another_width_are_read_off_the_weights(tmp_path):
    def widen(weights):  # by channels that do nothing
        doubled = {
            name: torch.cat([value, torch.zeros_like(value)], dim=1 if "D_fc2" in name else 0)
            for name, value in weights.items()
            if "D_fc1" in name or "D_fc2.weight" in name
        }
        return {**weights, **doubled}

    tensors, model = load_fixture("aim_t1", tmp_path, widen)
    assert (model(tensors["input.video"].transpose(1, 2)) - tensors["output.logits"]).abs().max() < TOLERANCE


class Planted:
    def __reduce__(self):
        return os.mkdir, ("planted",)


def test_a_checkpoint_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open("bad.pth", "wb") as file:
        pickle.dump({"state_dict": Planted()}, file, protocol=2)
    torch.save({"state_dict": Planted()}, "zip.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "zip.pth").read_bytes()[:100])
    for name in ("bad.pth", "zip.pth", "cut.pth"):
        with pytest.raises(ValueError, match=name):
            load_official(tmp_path / name)
    assert not Path("planted").exists()
    torch.save({"state_dict": {"a": 1}}, "numbers.pth")
    with pytest.raises(ValueError, match="no state dict"):
        load_official(tmp_path / "numbers.pth")


@pytest.mark.parametrize(("name", "official"), [("aim_t1", 0.5), ("aim_t2", 1)])
def test_the_scale_is_that_of_the_official_configurations_unless_given(tmp_path, name, official):
    tensors, facts = golden(name)
    heads = facts["config"]["heads"]
    torch.save(weights(tensors), tmp_path / "official.pth")
    for options, scale in (({}, official), ({"scale": 0.5}, 0.5), ({"scale": 1.0}, 1), ({"scale": 0.0}, 0)):
        backbone = load_encoder("aim", str(tmp_path / "official.pth"), heads=heads, **options).backbone
        assert backbone.settings["scale"] == scale and {block.scale for block in backbone.adapters} == {scale}
    save_pretrained(load_official(tmp_path / "official.pth", heads=heads, scale=0.7), tmp_path / "ours")
    assert load_encoder("aim", str(tmp_path / "ours")).backbone.settings["scale"] == 0.7


# ---- the model


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("num_tadapter", [1, 2])
def test_a_fresh_aim_is_the_frozen_clip_of_each_frame(num_tadapter, activation):
    tower = tiny_tower(hidden_act=activation).double()
    pixels = clips(num_frames=5, dtype=torch.float64)
    expected = tower(pixels.flatten(0, 1)).pooler_output.detach().view(2, 5, -1)
    features = Aim(tower, num_frames=5, num_tadapter=num_tadapter).double()(pixels)
    assert (features - expected).abs().max() < 1e-12


def test_a_fresh_aim_learns_and_only_where_it_may():
    model = AimClassifier(Aim(tiny_tower(), num_frames=4, drop_path=0.2), ["a", "b", "c"], dropout=0).train()
    pixels, labels = clips(6), torch.arange(6) % 3
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.AdamW(model.trainable_parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        losses.append(torch.nn.functional.cross_entropy(model(pixels), labels))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == trainable
    assert all(
        parameter.grad is None for name, parameter in model.named_parameters() if name not in trainable
    )


def test_dropout_is_before_the_labels():
    model = AimClassifier(trained_aim(), ["a", "b"], dropout=1).train()
    torch.nn.init.ones_(model.fc_cls.bias)
    assert torch.equal(model(clips()), torch.ones(2, 2)) and not torch.equal(
        model.eval()(clips()), torch.ones(2, 2)
    )


def test_frames_see_each_other_through_the_adapters_alone():
    pixels = clips()
    other = pixels.clone()
    other[:, 3] = 0
    for aim, expected in ((trained_aim(), True), (Aim(tiny_tower(), num_frames=4), False)):
        with torch.no_grad():
            moved = (aim(pixels) - aim(other))[:, :3].abs().max() > 1e-3
        assert moved == expected


@pytest.mark.parametrize("num_frames", [1, 3, 4, 9])
def test_any_number_of_frames(num_frames):
    aim = trained_aim()
    pixels = clips(num_frames=num_frames)
    with torch.no_grad():
        features = aim(pixels)
        # Centres of the new frames among the old ones, as numpy interpolates; held at the ends.
        centres = (np.arange(num_frames) + 0.5) * 4 / num_frames - 0.5
        old = aim.temporal_embedding[0].numpy()
        new = np.stack(
            [np.interp(centres, np.arange(4), old[:, channel]) for channel in range(old.shape[1])], axis=1
        )
        aim.temporal_embedding = torch.nn.Parameter(torch.tensor(new, dtype=torch.float32)[None])
        assert (features - aim(pixels)).abs().max() < TOLERANCE
    assert features.shape == (2, num_frames, TINY["hidden_size"])
    assert interpolate_time(aim.temporal_embedding, num_frames) is aim.temporal_embedding


def test_drop_path_drops_whole_clips_and_keeps_the_mean():
    block = AimBlock(8, 2, 1, 1.0, 0.25).train()
    torch.manual_seed(0)
    dropped = block._drop(torch.ones(4000, 2, 3, 1)).flatten(1)
    assert (dropped == dropped[:, :1]).all()
    values, counts = dropped[:, 0].unique(return_counts=True)
    assert values.tolist() == pytest.approx([0, 4 / 3])
    assert counts[0].item() / 4000 == pytest.approx(0.25, abs=0.03)
    assert torch.equal(block.eval()._drop(torch.ones(4, 1, 1, 1)), torch.ones(4, 1, 1, 1))
    rates = [
        block.drop_path
        for block in Aim(tiny_tower(num_hidden_layers=3), num_frames=2, drop_path=0.2).adapters
    ]
    assert rates == pytest.approx([0, 0.1, 0.2])


def test_drop_path_is_of_the_temporal_and_the_joint_branch():
    layer, tokens = tiny_tower().encoder.layers[0], torch.randn(2, 3, 5, TINY["hidden_size"])
    block = AimBlock(TINY["hidden_size"], 8, 1, 0.5, 1 - 1e-9).train()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    dropped = block(tokens, layer, False)
    assert (block.eval()(tokens, layer, False) - dropped).abs().max() > 0.1
    for adapter in (block.T_Adapter, block.MLP_Adapter):
        for parameter in adapter.D_fc2.parameters():
            torch.nn.init.zeros_(parameter)
    assert (block(tokens, layer, False) - dropped).abs().max() < TOLERANCE


def test_the_last_layer_computes_the_class_token_alone():
    aim = trained_aim()
    shapes = []
    for layer in aim.tower.encoder.layers:
        layer.layer_norm2.register_forward_hook(
            lambda module, inputs, output: shapes.append(tuple(output.shape[:3]))
        )
    aim(clips())
    assert shapes == [(2, 4, 5), (2, 4, 1)]


def test_checkpointing_changes_no_gradient():
    aim = trained_aim(drop_path=0.5).train()
    plain = gradients(aim, clips(8))
    aim.gradient_checkpointing = True
    again = gradients(aim, clips(8))
    assert plain.keys() == again.keys() and len(plain) == len(aim.trainable_parameters())
    for name in plain:
        assert torch.allclose(plain[name], again[name], rtol=1e-5, atol=1e-6), name


def test_checkpointing_recomputes(monkeypatch):
    calls = []
    run = AimBlock.forward
    monkeypatch.setattr(AimBlock, "forward", lambda *arguments: calls.append(1) or run(*arguments))
    aim = trained_aim().train()
    aim.gradient_checkpointing = True
    gradients(aim, clips())
    assert len(calls) == 2 * TINY["num_hidden_layers"]


def test_bfloat16_autocast_stays_close():
    aim = trained_aim(num_tadapter=2)
    expected, exact = aim(clips()), gradients(aim, clips())
    with torch.autocast("cpu", torch.bfloat16):
        features, rough = aim(clips()), gradients(aim, clips())
    assert 0 < (features - expected).abs().max() < 0.1 * expected.abs().max()
    for name, gradient in rough.items():
        assert gradient.dtype == torch.float32
        similarity = torch.nn.functional.cosine_similarity(gradient.flatten(), exact[name].flatten(), dim=0)
        assert similarity > 0.95, name


def test_attention_on_a_cpu_is_in_float32_under_autocast():
    class Attentions(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), options=None):
            if "scaled_dot_product" in str(function):
                dtypes.append(arguments[0].dtype)
            return function(*arguments, **(options or {}))

    dtypes = []
    with Attentions(), torch.autocast("cpu", torch.bfloat16):
        trained_aim()(clips())
    assert dtypes == [torch.float32] * 2 * TINY["num_hidden_layers"]


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler on a CPU"
)
def test_compiles_whole():
    aim = trained_aim({"num_hidden_layers": 1})
    compiled = torch.compile(aim, fullgraph=True)
    exact, found = gradients(aim, clips()), gradients(compiled, clips())
    for name, gradient in exact.items():
        assert (
            found[f"_orig_mod.{name}"] - gradient
        ).abs().max() <= GRADIENT_TOLERANCE * gradient.abs().max(), name


def test_wrong_calls_say_what_to_do():
    with pytest.raises(ValueError, match="num_tadapter is 3"):
        Aim(tiny_tower(), num_frames=4, num_tadapter=3)
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 16, 16\); pass clips as \(B, T, 3, H, W\)"):
        Aim(tiny_tower(), num_frames=4)(clips().transpose(1, 2))


# ---- files


@pytest.mark.parametrize(
    "make", [lambda aim: aim, lambda aim: AimClassifier(aim, ["back salto", "front salto"], dropout=0.3)]
)
def test_saved_and_read_again(tmp_path, make):
    model = make(
        trained_aim(num_tadapter=2, scale=0.7, adapter_ratio=0.5, drop_path=0.1, mean=MEAN, std=STD)
    ).eval()
    save_pretrained(model, tmp_path / "stage1")
    again = load_pretrained(tmp_path / "stage1")
    assert type(again) is type(model) and not again.training
    assert torch.equal(again(clips()), model(clips()))
    assert getattr(again, "backbone", again).settings == getattr(model, "backbone", model).settings
    assert len(again.trainable_parameters()) == len(model.trainable_parameters())
    if isinstance(model, AimClassifier):
        assert (again.labels, again.dropout.p) == (model.labels, 0.3)


def test_a_folder_with_other_weights_is_refused(tmp_path):
    save_pretrained(trained_aim(), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if name != "temporal_embedding"},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(ValueError, match="lacks temporal_embedding"):
        load_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="no config.json"):
        load_pretrained(tmp_path / "nowhere")


def test_a_folder_of_another_model_is_refused(tmp_path):
    tiny_tower().save_pretrained(tmp_path)
    said = f"{tmp_path} is no checkpoint file and holds no config.json of an AIM; train one with"
    with pytest.raises(FileNotFoundError, match=said):
        load_encoder("aim", str(tmp_path))


# ---- the encoder


def frames(num_clips=2, num_frames=4):
    return np.random.default_rng(0).integers(0, 256, (num_clips, num_frames, 16, 16, 3), dtype=np.uint8)


def test_encodes_clips_from_a_saved_folder(tmp_path):
    model = AimClassifier(trained_aim(mean=MEAN, std=STD), ["a", "b"])
    save_pretrained(model, tmp_path)
    encoder = load_encoder("aim", str(tmp_path))
    pixels = (torch.tensor(frames()) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    expected = model.backbone(pixels.permute(0, 1, 4, 2, 3))
    assert isinstance(encoder, Encoder) and encoder.name in ENCODERS
    assert (encoder.encode_frames(frames()) - expected).abs().max() < TOLERANCE
    assert (encoder.encode_clips(frames()) - expected.mean(1)).abs().max() < TOLERANCE
    with pytest.raises(NotImplementedError, match="aim reads no text"):
        encoder.encode_texts(["a jump"])


def test_identity_is_of_what_decides_the_features(tmp_path):
    def identity(aim, **options):
        save_pretrained(aim, tmp_path)
        found = load_encoder("aim", str(tmp_path), **options).identity
        return json.dumps(found, sort_keys=True)

    first = identity(trained_aim())
    assert identity(AimClassifier(trained_aim(), ["a"])) == first  # the head gives no features
    other = trained_aim()
    other.temporal_embedding.data[0, 0, 0] += 1
    others = [
        identity(other),
        identity(trained_aim(scale=0.6)),
        identity(trained_aim(mean=MEAN)),
        identity(trained_aim(std=STD)),
        identity(trained_aim({"hidden_act": "gelu"})),
        identity(trained_aim({"num_attention_heads": 4})),
        identity(trained_aim({"layer_norm_eps": 1e-6})),
    ]
    assert len({first, *others}) == 1 + len(others)


def test_reads_an_official_file_with_its_options(tmp_path):
    tensors, model = load_fixture("aim_t1", tmp_path)
    pixels = tensors["input.video"].transpose(1, 2)
    expected = model.backbone(pixels)
    config = golden("aim_t1")[1]["config"]
    scale, heads = config["adapter_scale"], config["heads"]
    for options, same in (
        ({"scale": scale, "heads": heads}, True),
        ({"scale": 2 * scale, "heads": heads}, False),
        ({"scale": scale, "heads": 1}, False),
    ):
        encoder = load_encoder("aim", str(tmp_path / "official.pth"), **options)
        assert torch.equal(encoder.backbone(pixels), expected) == same
