"""More foundation weights of the rendered benchmark: a BLIP, its captioner, and a BLIP-2 Q-Former on BLIP's
frozen ViT.

tfcovr pretrain blip --out data/weights

They learn from the same pictures as `mini_clip`; the captioner then learns to name all facts of a picture.
Where the published models learned composition from web videos (CoVR), these learn it from pairs of pictures
and the facts in which the second differs from the first.
"""

import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertTokenizer, BlipImageProcessor

from ...encoders.tokens import Tokens, official_text, tokenise
from ...rendering.captions import caption
from ...rendering.pretraining_pictures import SIZE
from ..loop import seeded
from . import captioned
from .blip_models import (
    Blip2Reader,
    BlipPretraining,
    BlipReader,
    build_blip,
    build_blip2,
    build_word_tokenizer,
    caption_loss,
    start_with,
)
from .captioned import CAPTIONED, FACTS, Pictures, WordReader

ABOUT = {
    "mini-blip": ("A BLIP", "BLIP as CoVR fine-tuned it (`webvid-covr.ckpt`)"),
    "mini-captioner": ("BLIP's captioner", "the captioners of ECDE, TF-CVR and BSE-CoVR"),
    "mini-blip2": ("BLIP-2's Q-Former on the frozen ViT of mini-blip", "`blip2_finetune_coco.pth`"),
}
NAMES = tuple(ABOUT)


def draw_changes(
    facts: list[dict[str, str]], other: np.ndarray, rng: np.random.Generator, kept: float = 0.8
) -> list[str]:
    """Write instructions (N,) from each picture to picture `other` (N,): some facts that differ."""
    texts = []
    for own, target in zip(facts, (facts[place] for place in other)):
        changed = [name for name in rng.permutation(FACTS) if own[name] != target[name]]
        said = [name for name in changed if rng.random() < kept] or changed[:1]
        texts.append("show " + ", ".join(target[name] for name in said) if said else "show the same")
    return texts


def train_reader(
    model: nn.Module, tokenizer, pictures: Pictures, words: list[str], settings, steps: int, progress: bool
) -> pd.DataFrame:
    """Train in place and return the losses.

    contrast: captions and pictures apart. match: whether a caption and a picture, read together, belong
    together. changes: a picture and an instruction, read together, against the picture it leads to. caption:
    the decoder's. words: as in `mini_clip`.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    word_reader = WordReader(settings.projection, len(tokenizer))
    log_scale = nn.Parameter(torch.tensor(math.log(1 / settings.temperature)))
    mixed = torch.cpu._is_avx512_bf16_supported()

    def losses(chosen: np.ndarray) -> dict[str, torch.Tensor]:
        facts = pictures.records(chosen)
        captions = captioned.draw_captions(facts, rng, settings.kept_facts)
        captions, own = np.unique(captions, return_inverse=True)
        strings, own = captioned.draw_strings(words, settings.batch // 8, rng), torch.from_numpy(own)
        texts, other = read_texts([*captions, *strings], tokenizer, settings), rng.permutation(len(chosen))
        changes = read_texts(draw_changes(facts, other, rng), tokenizer, settings)
        wrong = own[torch.from_numpy(rng.permutation(len(chosen)))]  # perhaps another picture's caption
        asked = torch.cat([own[::2], wrong[1::2]])
        belongs = torch.cat([torch.ones(len(own[::2])), (wrong == own)[1::2].float()]).long()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            tokens, image_emb = model.see(pictures.pixels(chosen))
            text_emb = model.read(texts)
            of_captions = text_emb[: len(captions)].float()
            parts = {"contrast": captioned.contrast(image_emb.float(), of_captions, own, log_scale)}
            matched = model.match(torch.cat([tokens[::2], tokens[1::2]]), texts[asked])
            parts["match"] = F.cross_entropy(matched.float(), belongs)
            composed = F.normalize(model.compose(tokens, changes).float(), dim=-1)
            scores = log_scale.exp() * composed @ F.normalize(image_emb.float(), dim=-1).T
            parts["changes"] = F.cross_entropy(scores, torch.from_numpy(other))
            if model.caption_loss:
                parts["caption"] = model.caption_loss(tokens, texts[own])
            parts["words"] = word_reader.loss(image_emb, text_emb, own, texts.input_ids)
        return parts

    trained = nn.ModuleList([model, word_reader, nn.ParameterList([log_scale])])
    rows = captioned.draw_batches(len(pictures.frames), settings.batch, rng)
    return captioned.fit(trained, losses, rows, settings, steps, log_scale, progress)


def train_captioner(
    captioner: nn.Module, tokenizer, pictures: Pictures, settings: BlipPretraining, progress: bool
) -> pd.DataFrame:
    """Teach the decoder, on the frozen ViT, to name all facts of a picture; return the losses."""
    torch.manual_seed(settings.seed)
    captioner.vision_model.requires_grad_(False)
    start = tokenizer.convert_tokens_to_ids("[DEC]")

    def losses(chosen: np.ndarray) -> dict[str, torch.Tensor]:
        texts = read_texts([caption(row) for row in pictures.records(chosen)], tokenizer, settings)
        with torch.no_grad():
            tokens = captioner.vision_model(pictures.pixels(chosen)).last_hidden_state
        return {"caption": caption_loss(captioner.text_decoder, tokens, start_with(start, texts))}

    rows = captioned.draw_batches(len(pictures.frames), settings.batch, np.random.default_rng(settings.seed))
    steps = settings.captioner_steps
    return captioned.fit(captioner.text_decoder, losses, rows, settings, steps, progress=progress)


def read_texts(texts: list[str], tokenizer: BertTokenizer, settings: BlipPretraining) -> Tokens:
    """Prepare texts as officially, uncut, and give their tokens."""
    return tokenise([official_text(text, None) for text in texts], tokenizer, settings.positions)


def pretrain(
    settings: BlipPretraining, frames: np.ndarray, facts: pd.DataFrame, progress: bool = True
) -> tuple[dict, BertTokenizer, dict]:
    """Train all three; return the models by name, their tokenizer, and what each took and reached."""
    pictures = Pictures(frames, facts)
    phrases = [*pictures.phrases(), *captioned.vocabulary_texts(), "show the same"]
    texts = [official_text(text, None) for text in phrases]
    words = sorted({word for text in texts for word in text.split()})
    tokenizer, models, reports = build_word_tokenizer(texts), {}, {}
    given = tokenizer, pictures, words, settings

    def report(curve: pd.DataFrame, started: float, **made: nn.Module) -> None:
        seconds = round(time.monotonic() - started)
        for name, model in made.items():
            name = name.replace("_", "-")
            about = {"frames": len(frames), "seconds": seconds, "parameters": model.num_parameters()}
            models[name] = model.eval()
            reports[name] = {**asdict(settings), **about, "last losses": captioned.last_losses(curve)}

    with seeded(settings.seed, torch.device("cpu")):
        retrieval, captioner = build_blip(tokenizer, settings)
        started, blip = time.monotonic(), BlipReader(retrieval, captioner, tokenizer)
        curve = train_reader(blip, *given, settings.steps, progress)
        report(curve, started, mini_blip=retrieval, mini_captioner=captioner)
        started = time.monotonic()
        blip2 = Blip2Reader(build_blip2(tokenizer, settings, retrieval.vision_model))
        curve = train_reader(blip2, *given, settings.qformer_steps, progress)
        report(curve, started, mini_blip2=blip2.model)
        curve = train_captioner(captioner, tokenizer, pictures, settings, progress)
    reports["mini-captioner"]["last losses"] = captioned.last_losses(curve)
    return models, tokenizer, reports


def save(name: str, model: nn.Module, tokenizer: BertTokenizer, report: dict, folder: Path) -> None:
    """Write a Hugging Face folder with its card."""
    captioned.save_folder(model, tokenizer, BlipImageProcessor(size={"height": SIZE, "width": SIZE}), folder)
    said = dict(zip(("what", "stands_for"), ABOUT[name])) | {"name": name, "model": type(model).__name__}
    said["texts"] = f"{CAPTIONED}, and on pairs of them with the facts in which they differ"
    captioned.write_card(folder, report, **said, command="tfcovr pretrain blip --out data/weights")


def run(
    out: Path, steps: int | None = None, qformer_steps: int | None = None, sources: int | None = None
) -> dict:
    """Train the small models, write a folder for each, and return their reports."""
    given = {"steps": steps, "qformer_steps": qformer_steps}
    settings = BlipPretraining(**{name: value for name, value in given.items() if value is not None})
    models, tokenizer, reports = pretrain(settings, *captioned.render(out, sources))
    for name, model in models.items():
        save(name, model, tokenizer, reports[name], out / name)
    return reports
