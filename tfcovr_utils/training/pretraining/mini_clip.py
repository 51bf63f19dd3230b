"""The foundation weights of the rendered benchmark: a tiny CLIP trained on single frames and their captions.

tfcovr pretrain clip --out data/weights/mini-clip

It takes the place of OpenAI's CLIP, which learned from the web: it knows what one picture shows, and no
label, count or direction of travel. The result is a Hugging Face folder that `CLIPModel.from_pretrained`
loads.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from ...rendering.pretraining_pictures import SIZE
from ..loop import seeded
from . import captioned
from .captioned import CAPTIONED, Pictures, Pretraining, WordReader


def build_tokenizer(texts: list[str], vocab_size: int = 1400) -> CLIPTokenizer:
    """Train CLIP's kind of tokenizer (byte-level BPE, lower case, </w>); it can write any string."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    # As CLIP splits: letters together, digits one by one, the rest together.
    splits = [
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Punctuation("contiguous"),
        pre_tokenizers.Digits(True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    bpe.pre_tokenizer = pre_tokenizers.Sequence(splits)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options = {"initial_alphabet": alphabet, "end_of_word_suffix": "</w>", "show_progress": False}
    bpe.train_from_iterator(sorted(texts), trainers.BpeTrainer(vocab_size=vocab_size, **options))
    learned = json.loads(bpe.to_str())["model"]
    tokens = [*sorted(alphabet), *(token + "</w>" for token in sorted(alphabet))]
    known = set(tokens)
    tokens += [token for token in sorted(learned["vocab"], key=learned["vocab"].get) if token not in known]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: place for place, token in enumerate(tokens)}
    merges = [tuple(merge) for merge in learned["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def build_model(tokenizer: CLIPTokenizer, settings: Pretraining) -> CLIPModel:
    """Make an untrained CLIP for the tokenizer's words."""
    start, end = tokenizer.convert_tokens_to_ids(["<|startoftext|>", "<|endoftext|>"])
    shared = {**settings.tower, "projection_dim": settings.projection}
    text = {"num_hidden_layers": settings.text_layers, "vocab_size": len(tokenizer)}
    text |= {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end, "max_position_embeddings": 77}
    vision = {"num_hidden_layers": settings.layers, "image_size": SIZE, "patch_size": settings.patch}
    config = {"text_config": shared | text, "vision_config": shared | vision}
    return CLIPModel(CLIPConfig(**config, projection_dim=settings.projection))


def pretrain(
    settings: Pretraining, frames: np.ndarray, facts: pd.DataFrame, progress: bool = True
) -> tuple[CLIPModel, CLIPTokenizer, pd.DataFrame]:
    """Train on frames (N, H, W, 3) uint8 and their facts; return the model, its tokenizer and the losses.

    contrast is CLIP's, where equal captions are equally right. words asks both embeddings for the tokens of
    their text. It keeps words apart that no caption holds ("2.5 twists"): the text tower reads strings of
    random words too.
    """
    pictures, rng = Pictures(frames, facts), np.random.default_rng(settings.seed)
    texts = pictures.phrases() + captioned.vocabulary_texts()
    tokenizer = build_tokenizer(texts)
    words = sorted({word for text in texts for word in text.lower().split()})
    rows = captioned.draw_batches(len(frames), settings.batch, rng)

    def losses(chosen: np.ndarray) -> dict[str, torch.Tensor]:
        captions = captioned.draw_captions(pictures.records(chosen), rng, settings.kept_facts)
        captions, own = np.unique(captions, return_inverse=True)
        strings, own = captioned.draw_strings(words, settings.batch // 8, rng), torch.from_numpy(own)
        tokens = tokenizer([*captions, *strings], padding=True, truncation=True, return_tensors="pt")
        text_emb = model.get_text_features(**tokens).pooler_output
        image_emb = model.get_image_features(pictures.pixels(chosen)).pooler_output
        return {
            "contrast": captioned.contrast(image_emb, text_emb[: len(captions)], own, model.logit_scale),
            "words": word_reader.loss(image_emb, text_emb, own, tokens["input_ids"]),
        }

    with seeded(settings.seed, torch.device("cpu")):
        model = build_model(tokenizer, settings)
        word_reader = WordReader(settings.projection, len(tokenizer))
        trained = nn.ModuleList([model, word_reader])
        curve = captioned.fit(trained, losses, rows, settings, settings.steps, model.logit_scale, progress)
    return model, tokenizer, curve


def save(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the Hugging Face folder."""
    size = {"height": SIZE, "width": SIZE}
    captioned.save_folder(model, tokenizer, CLIPImageProcessor(size=size, do_center_crop=False), folder)


def run(out: Path, steps: int | None = None, sources: int | None = None) -> dict:
    """Train the small CLIP, write its weights and card, and return the report."""
    settings = Pretraining(**({} if steps is None else {"steps": steps}))
    frames, facts = captioned.render(out, sources)
    started = time.monotonic()
    model, tokenizer, curve = pretrain(settings, frames, facts)
    save(model, tokenizer, out)
    report = {
        **asdict(settings),
        "frames": len(frames),
        "seconds": round(time.monotonic() - started),
        "parameters": model.num_parameters(),
        "last losses": captioned.last_losses(curve),
    }
    said = {"name": "mini-clip", "what": "A CLIP", "model": "CLIPModel"}
    said["texts"] = f"{CAPTIONED}; the tokenizer also knows the words of labels and modifications"
    said["stands_for"] = "OpenAI's CLIP; notebook 04 measures what it reads from one frame"
    captioned.write_card(out, report, **said, command="tfcovr pretrain clip --out data/weights/mini-clip")
    return report
