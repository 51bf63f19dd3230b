"""The foundation weights of the rendered benchmark: a tiny CLIP taught on single frames and their captions.

    tfcovr pretrain clip --out data/weights/mini-clip

It stands for the CLIP that others learned from the web: it knows what one picture shows, and no label,
count or direction of travel. The result is a Hugging Face folder that `CLIPModel.from_pretrained` loads.
"""

import json
import math
import time
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ...labels import label_text
from ...machine.files import replacing, replacing_files
from ...profiles import ROOT
from ...rendering.captions import caption
from ...rendering.pretraining_pictures import SIZE, SOURCES, render_pictures
from ...rendering.skills import SKILLS
from ...texts import read_table

FACTS = ("place", "shape", "head", "chest", "arms", "phase")


CARD = """\
---
license: mit
library_name: transformers
---
# mini-clip

A CLIP of {parameters:,} parameters for the rendered benchmark `mini` of this repository. It stands where the paper has OpenAI's CLIP:
frozen, it turns frames and texts into vectors of {projection} numbers. Loaded by `CLIPModel.from_pretrained`.

- **Taught on** {frames:,} frames of 64 x 64 pixels, rendered from sources that no split of any benchmark shares, each with a caption of
  what that frame shows: place, shape, head, chest, arms, support.
- **Not taught** any label, count, direction of travel or order of frames; no caption holds one (tested). Its tokenizer was learned from
  the captions, the labels and the short modification texts; its text tower was asked to keep words apart by strings of random words,
  which no picture goes with.
- **What it reads from one frame**, and that it reads no count, is measured in `notebooks/04_stage1_temporal_pretraining.ipynb`.
- **Not for** anything but this benchmark's pictures.
- **Made again** by `tfcovr pretrain clip --out data/weights/mini-clip`: seven minutes of rendering, then the seconds below
  on one thread. Weights and everything they were taught on are this repository's own, under its MIT licence.

What the command printed:

```json
{report}
```
"""


@dataclass(frozen=True)
class Pretraining:
    """Size of the model and of its training."""

    width: int = 128
    layers: int = 4
    heads: int = 4
    patch: int = 16
    text_layers: int = 3
    projection: int = 128
    steps: int = 5000
    batch: int = 128
    lr: float = 1e-3
    weight_decay: float = 0.05
    warm_up: int = 200
    kept_facts: float = 0.6  # share of a picture's facts that its caption mentions
    words_weight: float = 1.0  # of the loss that asks both embeddings for their words
    seed: int = 0


def build_tokenizer(texts: list[str], vocab_size: int = 1400) -> CLIPTokenizer:
    """CLIP's own kind of tokenizer (byte-level BPE, lower case, </w>), learned from `texts`; any string can be written in it."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    # As CLIP splits: letters together, digits one by one, the rest together.
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation("contiguous"),
            pre_tokenizers.Digits(True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        sorted(texts),
        trainers.BpeTrainer(
            vocab_size=vocab_size, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
        ),
    )
    learned = json.loads(bpe.to_str())["model"]
    tokens = [*sorted(alphabet), *(token + "</w>" for token in sorted(alphabet))]
    tokens += [
        token for token in sorted(learned["vocab"], key=learned["vocab"].get) if token not in set(tokens)
    ]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    merges = [tuple(merge) for merge in learned["merges"]]
    return CLIPTokenizer(
        vocab={token: place for place, token in enumerate(tokens)}, merges=merges, model_max_length=77
    )


def vocabulary_texts() -> list[str]:
    """What the tokenizer learns its words from: captions' phrases, modification texts and labels. No picture is paired with any here."""
    labels = [label_text(skill.text) if skill.family == "dive" else skill.text for skill in SKILLS["sim"]]
    return sorted(set(read_table(ROOT / "data" / "modifications" / "tfcovr_short.csv").text) | set(labels))


def build_model(tokenizer: CLIPTokenizer, settings: Pretraining) -> CLIPModel:
    start, end = tokenizer.convert_tokens_to_ids(["<|startoftext|>", "<|endoftext|>"])
    shared = {
        "hidden_size": settings.width,
        "intermediate_size": 4 * settings.width,
        "num_attention_heads": settings.heads,
        "projection_dim": settings.projection,
    }
    return CLIPModel(
        CLIPConfig(
            text_config={
                **shared,
                "num_hidden_layers": settings.text_layers,
                "vocab_size": len(tokenizer),
                "max_position_embeddings": 77,
                "bos_token_id": start,
                "eos_token_id": end,
                "pad_token_id": end,
            },
            vision_config={
                **shared,
                "num_hidden_layers": settings.layers,
                "image_size": SIZE,
                "patch_size": settings.patch,
            },
            projection_dim=settings.projection,
        )
    )


def draw_captions(facts: pd.DataFrame, rng: np.random.Generator, kept: float) -> list[str]:
    """A caption a row, mentioning some of its facts in a random order."""
    names = np.array(FACTS)
    return [
        caption({name: row[name] for name in rng.permutation(names[rng.random(len(names)) < kept])})
        for row in facts[list(FACTS)].to_dict("records")
    ]


def pretrain(
    settings: Pretraining, frames: np.ndarray, facts: pd.DataFrame, progress: bool = True
) -> tuple[CLIPModel, CLIPTokenizer, pd.DataFrame]:
    """Train on frames (N, H, W, 3) uint8 and their facts; return the model, its tokenizer and the losses.

    Two losses. CLIP's contrast, where equal captions are equally right. And words: one linear layer, thrown
    away afterwards, reads a text's tokens back from either embedding. It keeps apart words that no caption
    holds ("2.5 twists"): strings of random words are read back from the text tower alone.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    phrases = [caption({name: value}) for name in FACTS for value in facts[name].unique()]
    texts = vocabulary_texts()
    tokenizer = build_tokenizer(phrases + texts)
    words = sorted({word for text in phrases + texts for word in text.lower().split()})
    model = build_model(tokenizer, settings)
    to_words = nn.Linear(settings.projection, len(tokenizer))
    nn.init.constant_(to_words.bias, -4.0)  # a text holds few of the tokens
    parameters = [*model.parameters(), *to_words.parameters()]
    optimiser, schedule = make_optimiser(parameters, settings, settings.steps)
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    rows, losses = draw_batches(len(frames), settings.batch, rng), []
    for step in (bar := tqdm(range(settings.steps), desc="pretrain", disable=not progress, mininterval=5)):
        chosen = next(rows)
        pixels = (torch.from_numpy(frames[chosen]).permute(0, 3, 1, 2).float() - mean) / std
        captions, own = np.unique(
            draw_captions(facts.iloc[chosen], rng, settings.kept_facts), return_inverse=True
        )
        strings = [" ".join(rng.choice(words, rng.integers(3, 12))) for _ in range(settings.batch // 8)]
        tokens = tokenizer([*captions, *strings], padding=True, truncation=True, return_tensors="pt")
        text_emb = model.get_text_features(**tokens).pooler_output
        image_emb = model.get_image_features(pixels).pooler_output
        own = torch.from_numpy(own)
        bags = torch.zeros(len(text_emb), len(tokenizer)).scatter_(1, tokens["input_ids"], 1.0)
        paired = contrast(image_emb, text_emb[: len(captions)], own, model.logit_scale)
        read = read_words(to_words, image_emb, bags[own]) + read_words(to_words, text_emb, bags)
        loss = paired + settings.words_weight * read
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        model.logit_scale.data.clamp_(0, math.log(100))
        losses.append({"step": step, "contrast": paired.item(), "words": read.item()})
        bar.set_postfix(contrast=f"{paired.item():.2f}", words=f"{read.item():.2f}", refresh=False)
    return model.eval(), tokenizer, pd.DataFrame(losses)


def make_optimiser(
    parameters: list[nn.Parameter], settings: Pretraining, steps: int
) -> tuple[torch.optim.AdamW, LambdaLR]:
    """AdamW that does not decay biases and scales, with a linear warm-up and a cosine to 0."""
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        settings.lr,
        betas=(0.9, 0.98),
        weight_decay=settings.weight_decay,
    )
    return optimiser, LambdaLR(
        optimiser,
        lambda step: min(1, (step + 1) / settings.warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps)),
    )


def draw_batches(n: int, size: int, rng: np.random.Generator):
    """Rows of a batch, sorted within it since frames lie on disk; every row once an epoch."""
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            yield np.sort(order[start : start + size])


def contrast(image_emb, text_emb, own, logit_scale):
    """Image (B, D) to distinct text (M, D) and back; `own` (B,) is the text of each image."""
    scores = logit_scale.exp() * F.normalize(image_emb, dim=-1) @ F.normalize(text_emb, dim=-1).T
    of_text = F.one_hot(own, len(text_emb)).float()  # several images may share a text
    return F.cross_entropy(scores, own) + F.cross_entropy(scores.T, (of_text / of_text.sum(0)).T)


def read_words(to_words, embedding, bags):
    """Binary cross-entropy of every token, in units of one text's own tokens."""
    scores = to_words(F.normalize(embedding, dim=-1) * math.sqrt(embedding.shape[1]))
    return F.binary_cross_entropy_with_logits(scores, bags, reduction="sum") / bags.sum()


def save(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the Hugging Face folder, weights in half precision."""
    size = {"height": SIZE, "width": SIZE}
    with replacing_files(folder, "config.json") as temporary:
        deepcopy(model).half().save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        CLIPImageProcessor(size=size, do_center_crop=False).save_pretrained(temporary)


def write_card(report: dict, folder: Path) -> None:
    """Write the model card: what the weights are, and the report of the run that made them."""
    with replacing(Path(folder) / "README.md") as temporary:
        temporary.write_text(CARD.format(**report | {"report": json.dumps(report, indent=1)}))


def run(out: Path, steps: int | None = None, sources: int | None = None) -> dict:
    """Train the small CLIP, write its weights and card, and return the report."""
    settings = Pretraining(**({"steps": steps} if steps else {}))
    frames, facts = render_pictures(sources or SOURCES)
    started = time.monotonic()
    model, tokenizer, losses = pretrain(settings, frames, facts)
    save(model, tokenizer, out)
    report = {
        **asdict(settings),
        "frames": len(frames),
        "seconds": round(time.monotonic() - started),
        "parameters": model.num_parameters(),
        "last losses": losses.drop(columns="step").tail(100).mean().round(3).to_dict(),
    }
    write_card(report, out)
    return report
