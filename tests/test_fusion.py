"""The fusion against the official classes' numbers, its options, its text tower, and official checkpoints
read safely."""

import json
import pickle
import re
import sys
import types
from pathlib import Path

import pytest
import torch
from golden import golden, weights
from stage2_problem import SIZES, tiny_tower

from tfcovr_utils.encoders.key_maps import rename
from tfcovr_utils.encoders.loading import read_checkpoint
from tfcovr_utils.encoders.tokens import Tokens, official_text, tokenise
from tfcovr_utils.training.fusion import Combiner, Fusion, unit, unit_average
from tfcovr_utils.training.official_checkpoint import STAGE2 as OFFICIAL_NAMES
from tfcovr_utils.training.official_checkpoint import load_stage2
from tfcovr_utils.training.towers import TEXTS_AT_ONCE, load_text_tower, load_tokenizer, read_tokens

COMBINER, COMBINER_JSON = golden("tfcovr_combiner")
STAGE2, STAGE2_JSON = golden("tfcovr_stage2")
HEADS = STAGE2_JSON["config"]["num_attention_heads"]
TOKENS = Tokens(STAGE2["input.input_ids"], STAGE2["input.attention_mask"])


def tolerance(fixture: dict) -> float:
    return float(fixture["suggested_tolerance"].split()[-1])


def distance(one, other):
    return (one - other).abs().max().item()


@pytest.fixture
def combiner():
    sizes = [COMBINER_JSON["config"][name] for name in ("feature_dim", "projection_dim", "hidden_dim")]
    made = Combiner(*sizes).eval()
    made.load_state_dict(weights(COMBINER))
    return made


@pytest.fixture
def official(monkeypatch):
    """Writes stage-2 checkpoints as the official code does, whose classes are gone when they are read."""

    def write(path, model, scheduler="CosineSchedule"):
        names = ("src", "src.tools", "src.tools.scheduler")
        with monkeypatch.context() as patch:
            for name in names:
                patch.setitem(sys.modules, name, types.ModuleType(name))
            cls = type(scheduler, (), {"__module__": names[-1]})
            setattr(sys.modules[names[-1]], scheduler, cls)
            pickled = cls()
            pickled.__dict__.update(init_lr=1e-5, min_lr=0.0, max_epoch=100)
            optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))]).state_dict()
            torch.save({"epoch": 3, "model": model, "optimizer": optimizer, "scheduler": pickled}, path)
        return path

    return write


def test_combiner_equals_the_official_one(combiner):
    with torch.no_grad():
        query = combiner(COMBINER["input.video"], COMBINER["input.text"])
        swapped = combiner(COMBINER["input.text"], COMBINER["input.video"])
        unit_video = combiner(unit(COMBINER["input.video"]), COMBINER["input.text"])
    assert distance(query, COMBINER["output.query"]) <= tolerance(COMBINER_JSON)
    wrong = COMBINER_JSON["difference_when_wrong"]
    assert distance(swapped, COMBINER["output.query"]) == pytest.approx(
        wrong["arguments exchanged"], rel=0.05
    )
    assert distance(unit_video, COMBINER["output.query"]) == pytest.approx(wrong["video made unit"], rel=0.05)


def test_combiner_drops_out_what_the_official_one_does(combiner):
    """Both projections, the hidden layer and the gate's, by half and anew each time."""
    dropouts = [module for module in combiner.modules() if isinstance(module, torch.nn.Dropout)]
    assert {module.p for module in dropouts} == {float(COMBINER_JSON["config"]["dropout"].split()[0])}
    seen = []
    for module in dropouts:
        module.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[-1]))
    combiner.train()(COMBINER["input.video"], COMBINER["input.text"])
    config = COMBINER_JSON["config"]
    assert sorted(seen) == sorted([2 * config["projection_dim"], config["hidden_dim"], config["hidden_dim"]])


def test_an_official_checkpoint_gives_the_official_queries(official, tmp_path):
    fusion = load_stage2(official(tmp_path / "best_val_3.ckpt", weights(STAGE2)), heads=HEADS)
    with torch.no_grad():
        text, query = fusion.embed_text(TOKENS), fusion(STAGE2["input.video"], TOKENS)
        no_padding = Tokens(TOKENS.input_ids, torch.ones_like(TOKENS.attention_mask))
        masked_wrongly = fusion.embed_text(no_padding)
        cls = read_tokens(fusion.tower, TOKENS)
    assert distance(text, STAGE2["output.text"]) <= tolerance(STAGE2_JSON)
    assert distance(query, STAGE2["output.query"]) <= tolerance(STAGE2_JSON)
    assert distance(cls, STAGE2["output.text_cls"]) <= tolerance(STAGE2_JSON)
    assert distance(masked_wrongly, STAGE2["output.text"]) > 10 * tolerance(STAGE2_JSON)
    unused = re.search(r"Keys that the query does not use \((\d+)\)", " ".join(STAGE2_JSON["notes"]))
    assert len(weights(STAGE2)) - len(used_keys()) == int(unused[1])


def used_keys() -> list[str]:
    return [key for key in weights(STAGE2) if rename({key: torch.zeros(1)}, OFFICIAL_NAMES)[0]]


def test_every_key_of_a_checkpoint_is_asked_for(official, tmp_path):
    for key in used_keys():
        rest = {name: value for name, value in weights(STAGE2).items() if name != key}
        with pytest.raises(ValueError, match="lacks .*pass the `model` of an official stage-2 checkpoint"):
            load_stage2(official(tmp_path / "short.ckpt", rest), heads=HEADS)
    for key in ("visual_encoder.x", "combiner.x"):
        with pytest.raises(ValueError, match=rf"long.ckpt also holds {key}; pass"):
            load_stage2(official(tmp_path / "long.ckpt", weights(STAGE2) | {key: torch.ones(2)}), heads=HEADS)


def test_a_checkpoint_of_a_wrapped_model_or_of_weights_alone_loads(official, tmp_path):
    wrapped = {f"_forward_module.module.{key}": value for key, value in weights(STAGE2).items()}
    torch.save(weights(STAGE2), tmp_path / "weights.pth")
    for path in (official(tmp_path / "wrapped.ckpt", wrapped), tmp_path / "weights.pth"):
        fusion = load_stage2(path, heads=HEADS)
        assert distance(fusion(STAGE2["input.video"], TOKENS), STAGE2["output.query"]) <= tolerance(
            STAGE2_JSON
        )


class Touch:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def test_a_checkpoint_that_names_another_class_is_refused_and_nothing_runs(official, tmp_path):
    other = official(tmp_path / "other.ckpt", weights(STAGE2), scheduler="OtherSchedule")
    with pytest.raises(
        ValueError,
        match=r"other.ckpt holds more .* names src.tools.scheduler.OtherSchedule.*nothing of it was run",
    ):
        read_checkpoint(other)
    torch.save({"model": Touch(tmp_path / "canary")}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="was refused"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "canary").exists()
    torch.load(tmp_path / "evil.ckpt", weights_only=False)
    assert (tmp_path / "canary").exists()


def test_other_files_are_no_checkpoints(official, tmp_path):
    whole = official(tmp_path / "whole.ckpt", weights(STAGE2)).read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "lfs.ckpt").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps([1], 2))
    torch.save(torch.ones(2), tmp_path / "tensor.ckpt")
    for name in ("cut", "lfs", "plain"):
        with pytest.raises(ValueError, match=rf"{name}.ckpt .*get the file again"):
            read_checkpoint(tmp_path / f"{name}.ckpt")
    with pytest.raises(ValueError, match="holds a Tensor; expected a dict"):
        read_checkpoint(tmp_path / "tensor.ckpt")
    with pytest.raises(FileNotFoundError, match="nothing.ckpt does not exist; expected"):
        read_checkpoint(tmp_path / "nothing.ckpt")


# Options


def small_fusion(**options) -> Fusion:
    torch.manual_seed(0)
    return Fusion(6, 4, 8, 16, **options).eval()


def inputs(n=5):
    generator = torch.Generator().manual_seed(1)
    return 3 * torch.randn(n, 6, generator=generator) + 1, torch.randn(n, 4, generator=generator)


def test_unit_average_is_halfway_in_angle():
    video, text = torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 0.1]])
    assert unit_average(video, text)[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])


def test_half_precision_vectors_become_unit_in_float32():
    short = unit(torch.full((1, 300), 0.3, dtype=torch.bfloat16))
    assert short.dtype == torch.float32 and short.norm().item() == pytest.approx(1, abs=1e-6)


@torch.no_grad()
def test_a_text_of_many_clips_is_read_once_and_gives_the_same_queries():
    fusion, (video, texts) = small_fusion(), inputs()
    idx = torch.tensor([3, 1, 3, 3, 0])
    read = []
    fusion.text_projection.register_forward_hook(lambda _, given, __: read.append(len(given[0])))
    shared = fusion(video, texts, idx)
    assert read == [3]
    torch.testing.assert_close(shared, fusion(video, texts[idx]))


@torch.no_grad()
def test_the_control_does_not_see_the_clip():
    video, texts = inputs()
    fusion = small_fusion(use_video=False)
    assert torch.equal(fusion(video.flip(0), texts), fusion(video, texts))
    assert distance(fusion(video, texts.flip(0)), fusion(video, texts)) > 0.01


@torch.no_grad()
def test_centring_takes_the_means_from_every_side():
    video, texts = inputs()
    target = video.flip(0) + 2
    plain, centred = small_fusion(), small_fusion(centre=True)
    centred.set_means(video, target, texts)
    torch.testing.assert_close(centred(video, texts), plain(video - video.mean(0), texts - texts.mean(0)))
    torch.testing.assert_close(centred.embed_target(target), unit(target - target.mean(0)))
    torch.testing.assert_close(plain.embed_target(target), unit(target))


@torch.no_grad()
def test_a_unit_video_has_no_length():
    video, texts = inputs()
    fusion = small_fusion(unit_video=True)
    torch.testing.assert_close(fusion(7 * video, texts), fusion(video, texts))
    torch.testing.assert_close(fusion(video, texts), small_fusion()(unit(video), texts))
    assert distance(small_fusion()(7 * video, texts), small_fusion()(video, texts)) > 0.01


@torch.no_grad()
def test_a_saved_fusion_comes_back_with_tower_and_means(tmp_path):
    video, texts = inputs()
    fusion = small_fusion(centre=True, unit_video=True)
    fusion.set_means(video, video, texts)
    fusion.save_pretrained(tmp_path / "features")
    assert torch.equal(Fusion.load(tmp_path / "features")(video, texts), fusion(video, texts))
    tokens = Tokens(torch.tensor([[2, 7, 3]]), torch.ones(1, 3, dtype=torch.int64))
    towered = Fusion(6, 8, 8, 16, tower=tiny_tower()).eval()
    towered.save_pretrained(tmp_path / "tower")
    assert torch.equal(Fusion.load(tmp_path / "tower")(video[:1], tokens), towered(video[:1], tokens))
    with pytest.raises(FileNotFoundError, match="no config.json of a fusion; give the folder"):
        Fusion.load(tmp_path)


# The text tower


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Show with 2.5 Twists", "show with two and a half twists"),
        ("show with 0.5 turn, 7 times (7.5)", "show with half turn, seven times 7.5"),
        ("1.0 or 0.25 or 0 or 1.75 or 10", "one or 0.25 or 0 or 1.75 or 10"),
        ('say "it": now!  *#~;', "say it now"),
        ("end in a full stop.", "end in a full stop."),
        ("word " * 31, " ".join(["word"] * 30)),
    ],
)
def test_texts_are_prepared_as_officially(text, expected):
    assert official_text(text) == expected


@torch.no_grad()
def test_texts_keep_their_order_whatever_their_length():
    tower = tiny_tower()
    generator = torch.Generator().manual_seed(0)
    length = torch.randint(3, 17, (2 * TEXTS_AT_ONCE + 5,), generator=generator)
    mask = (torch.arange(16) < length[:, None]).long()
    tokens = Tokens(torch.randint(4, 40, mask.shape, generator=generator) * mask, mask)
    passes = []
    tower.qformer.register_forward_hook(lambda _, given, __: passes.append(given[0].shape[1]))
    together = read_tokens(tower, tokens)
    assert passes == sorted(passes) and passes[0] < 16
    one_by_one = torch.cat(
        [tower(tokens.input_ids[k : k + 1, :n], mask[k : k + 1, :n]) for k, n in enumerate(length)]
    )
    torch.testing.assert_close(together, one_by_one, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_tower_of_a_bert_folder_is_bert_without_token_types(tmp_path):
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    bert = BertModel(BertConfig(**SIZES)).eval()
    bert.embeddings.token_type_embeddings.weight.zero_()
    bert.save_pretrained(tmp_path)
    ids, mask = torch.tensor([[2, 9, 5, 3], [2, 7, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    torch.testing.assert_close(
        load_text_tower(str(tmp_path))(ids, mask),
        bert(ids, mask).last_hidden_state[:, 0],
        rtol=1e-4,
        atol=1e-5,
    )


@torch.no_grad()
def test_the_tower_of_a_blip2_folder_is_its_text_branch(tmp_path):
    from transformers import Blip2Config, Blip2TextModelWithProjection

    torch.manual_seed(0)
    config = Blip2Config(
        qformer_config={**SIZES, "use_qformer_text_input": True, "encoder_hidden_size": 8},
        image_text_hidden_size=8,
    )
    model = Blip2TextModelWithProjection(config).eval()
    model.save_pretrained(tmp_path)
    ids, mask = torch.tensor([[2, 9, 5, 3]]), torch.ones(1, 4, dtype=torch.int64)
    expected = model(ids, attention_mask=mask).last_hidden_state[:, 0]
    torch.testing.assert_close(load_text_tower(str(tmp_path))(ids, mask), expected)


def test_tokens_are_cut_at_the_official_length(tmp_path):
    from transformers import BertTokenizer

    words = {
        word: row for row, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "show", "twist"])
    }
    BertTokenizer(vocab=words).save_pretrained(tmp_path)
    tokens = tokenise(["show twist", "show " * 40], load_tokenizer(str(tmp_path)))
    assert tokens.input_ids.shape == (2, 32) and tokens.attention_mask.sum(1).tolist() == [4, 32]
    assert tokens.input_ids[0, :5].tolist() == [2, 5, 6, 3, 0]


def test_text_weights_that_are_not_to_be_had_say_what_to_do(tmp_path):
    for load in (load_tokenizer, load_text_tower):
        with pytest.raises(
            FileNotFoundError, match="could not be loaded .* run `hf download .* give it as --text-weights"
        ):
            load(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ValueError, match="type 'gpt2'; expected bert or blip-2"):
        load_text_tower(str(tmp_path))
