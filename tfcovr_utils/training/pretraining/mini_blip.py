"""More foundation weights of the rendered benchmark: a BLIP, its captioner, and a BLIP-2 Q-Former on its frozen ViT.

    tfcovr pretrain blip --out data/weights

They learn from the same pictures as `pretraining` and no more: single frames and captions of what one shows; the captioner then learns to say
all of it. Where the published models learned composition from web videos (CoVR), these learn it from pairs of pictures and the facts in which
the second differs from the first.
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
from tokenizers import pre_tokenizers
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForImageTextRetrieval,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipImageProcessor,
)
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ...encoders.base import normalise
from ...encoders.tokens import Tokens, official_text, tokenise
from ...machine.files import replacing, replacing_files
from ...rendering.captions import caption
from ...rendering.pretraining_pictures import SIZE, SOURCES, render_pictures
from .mini_clip import (
    FACTS,
    Pretraining,
    contrast,
    draw_batches,
    draw_captions,
    make_optimiser,
    read_words,
    vocabulary_texts,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"]
NAMES = ("mini-blip", "mini-captioner", "mini-blip2")


@dataclass(frozen=True)
class BlipPretraining(Pretraining):
    """Size of the models and of their training; they share widths and data. `projection` and `words_weight` are as there."""

    text_layers: int = 2
    qformer_layers: int = 2  # the first with cross-attention
    query_tokens: int = 8
    positions: int = 256  # a dense text of 120 words stays whole
    steps: int = 3000
    qformer_steps: int = 2000
    captioner_steps: int = 1500
    batch: int = 96
    temperature: float = 0.07


def build_word_tokenizer(texts: list[str]) -> BertTokenizer:
    """BERT's kind of tokenizer (lower case, WordPiece) that knows the words of `texts` and all of ASCII's letters, with BLIP's two tokens more."""
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    split = pre_tokenizers.BertPreTokenizer()
    known = {word for text in texts for word, _ in split.pre_tokenize_str(text.lower())}
    words = sorted({*letters, *(f"##{letter}" for letter in letters), *known} - set(SPECIAL))
    ordered = [*SPECIAL[:5], *words, *SPECIAL[5:]]  # [ENC] is the last, as in BLIP
    return BertTokenizer(
        vocab={token: place for place, token in enumerate(ordered)},
        extra_special_tokens=SPECIAL[5:],
        model_max_length=512,
    )


def build_blip(
    tokenizer: BertTokenizer, settings: BlipPretraining
) -> tuple[BlipForImageTextRetrieval, BlipForConditionalGeneration]:
    """The model that retrieves and the one that captions, with one ViT."""
    shared = {
        "hidden_size": settings.width,
        "intermediate_size": 4 * settings.width,
        "num_attention_heads": settings.heads,
    }
    ids = {
        name: tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("bos_token_id", "[DEC]"),
            ("eos_token_id", "[SEP]"),
            ("sep_token_id", "[SEP]"),
            ("pad_token_id", "[PAD]"),
        )
    }
    config = BlipConfig(
        text_config={
            **shared,
            **ids,
            "num_hidden_layers": settings.text_layers,
            "vocab_size": len(tokenizer),
            "projection_dim": settings.projection,
            "encoder_hidden_size": settings.width,
            "max_position_embeddings": settings.positions,
            "initializer_range": 0.02,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        vision_config={
            **shared,
            "num_hidden_layers": settings.layers,
            "image_size": SIZE,
            "patch_size": settings.patch,
            "layer_norm_eps": 1e-6,
            "initializer_range": 0.02,
        },
        projection_dim=settings.projection,
        image_text_hidden_size=settings.projection,
    )
    retrieval, captioner = BlipForImageTextRetrieval(config), BlipForConditionalGeneration(deepcopy(config))
    captioner.vision_model = retrieval.vision_model
    return retrieval, captioner


def build_blip2(
    tokenizer: BertTokenizer, settings: BlipPretraining, vit: nn.Module
) -> Blip2ForImageTextRetrieval:
    """A Q-Former on a BLIP's ViT, which stays as it is."""
    shared = {
        "hidden_size": settings.width,
        "intermediate_size": 4 * settings.width,
        "num_attention_heads": settings.heads,
    }
    model = Blip2ForImageTextRetrieval(
        Blip2Config(
            vision_config={
                **shared,
                "num_hidden_layers": settings.layers,
                "image_size": SIZE,
                "patch_size": settings.patch,
                "layer_norm_eps": 1e-6,
                "initializer_range": 0.02,
                "hidden_act": "gelu",
            },
            qformer_config={
                **shared,
                "num_hidden_layers": settings.qformer_layers,
                "vocab_size": len(tokenizer),
                "use_qformer_text_input": True,
                "encoder_hidden_size": settings.width,
                "max_position_embeddings": settings.positions,
                "cross_attention_frequency": 2,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
            },
            num_query_tokens=settings.query_tokens,
            image_text_hidden_size=settings.projection,
        )
    )
    nn.init.normal_(model.query_tokens, std=0.02)
    model.vision_model.load_state_dict(vit.state_dict())
    model.vision_model.requires_grad_(False)
    return model


def draw_changes(
    facts: pd.DataFrame, other: np.ndarray, rng: np.random.Generator, kept: float = 0.8
) -> list[str]:
    """Instructions (N,) that lead from each picture to picture `other` (N,): what it shows otherwise, in a random order."""
    rows = facts[list(FACTS)].to_dict("records")
    texts = []
    for own, target in zip(rows, (rows[place] for place in other)):
        changed = [name for name in rng.permutation(FACTS) if own[name] != target[name]]
        said = [name for name in changed if rng.random() < kept] or changed[:1]
        texts.append("show " + ", ".join(target[name] for name in said) if said else "show the same")
    return texts


class _Blip(nn.Module):
    """BLIP's four losses: texts and pictures apart, together, captions, and changes."""

    def __init__(
        self,
        retrieval: BlipForImageTextRetrieval,
        captioner: BlipForConditionalGeneration,
        tokenizer: BertTokenizer,
    ):
        super().__init__()
        self.retrieval, self.decoder = retrieval, captioner.text_decoder
        self.enc, self.dec = tokenizer.convert_tokens_to_ids(["[ENC]", "[DEC]"])

    def see(self, pixels):
        tokens = self.retrieval.vision_model(pixels).last_hidden_state
        return tokens, self.retrieval.vision_proj(tokens[:, 0])

    def read(self, texts: Tokens):
        return self.retrieval.text_proj(self._encode(texts))

    def compose(self, tokens, texts: Tokens):
        return self.retrieval.text_proj(self._encode(_starting(texts, self.enc), tokens))

    def match(self, tokens, texts: Tokens):
        return self.retrieval.itm_head(self._encode(_starting(texts, self.enc), tokens))

    def caption_loss(self, tokens, texts: Tokens):
        return _caption_loss(self.decoder, tokens, _starting(texts, self.dec))

    def _encode(self, texts, tokens=None):
        return self.retrieval.text_encoder(
            texts.input_ids, attention_mask=texts.attention_mask, encoder_hidden_states=tokens
        ).last_hidden_state[:, 0]


class _Blip2(nn.Module):
    """The Q-Former's losses: those of `_Blip` without captions."""

    caption_loss = None

    def __init__(self, model: Blip2ForImageTextRetrieval):
        super().__init__()
        self.model = model

    def see(self, pixels):
        with torch.no_grad():
            tokens = self.model.vision_model(pixels).last_hidden_state
        seen = self.model.qformer(
            self.model.query_tokens.expand(len(tokens), -1, -1), encoder_hidden_states=tokens
        ).last_hidden_state
        return tokens, F.normalize(self.model.vision_projection(seen), dim=-1).mean(1)

    def read(self, texts: Tokens):
        read = self.model.qformer(
            self.model.embeddings(texts.input_ids), query_length=0, attention_mask=texts.attention_mask
        )
        return self.model.text_projection(read.last_hidden_state[:, 0])

    def compose(self, tokens, texts: Tokens):
        return F.normalize(self.model.text_projection(self._together(tokens, texts)), dim=-1).mean(1)

    def match(self, tokens, texts: Tokens):
        return self.model.itm_head(self._together(tokens, texts)).mean(1)

    def _together(self, tokens, texts):
        queries = self.model.query_tokens.expand(len(tokens), -1, -1)
        mask = torch.cat([texts.attention_mask.new_ones(queries.shape[:2]), texts.attention_mask], 1)
        read = self.model.qformer(
            self.model.embeddings(texts.input_ids, query_embeds=queries),
            query_length=queries.shape[1],
            attention_mask=mask,
            encoder_hidden_states=tokens,
        )
        return read.last_hidden_state[:, : queries.shape[1]]


def _caption_loss(decoder: nn.Module, tokens: torch.Tensor, texts: Tokens) -> torch.Tensor:
    wanted = texts.input_ids.masked_fill(texts.attention_mask == 0, -100)
    wanted[:, 0] = -100
    return decoder(
        texts.input_ids, attention_mask=texts.attention_mask, encoder_hidden_states=tokens, labels=wanted
    ).loss


def _starting(texts: Tokens, first: int) -> Tokens:
    ids = texts.input_ids.clone()
    ids[:, 0] = first
    return Tokens(ids, texts.attention_mask)


def train(
    model: nn.Module,
    tokenizer: BertTokenizer,
    frames: np.ndarray,
    facts: pd.DataFrame,
    words: list[str],
    settings: BlipPretraining,
    steps: int,
    progress: bool = True,
) -> pd.DataFrame:
    """Train in place on frames (N, H, W, 3) uint8 and their facts; return the losses.

    contrast: captions and pictures apart. match: whether a caption and a picture, read together, belong together. changes: a picture and
    an instruction, read together, against the picture it leads to. caption: the decoder's. words: a linear layer, thrown away
    afterwards, reads the words of a text back from it; it keeps apart words that no caption holds.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    to_words = nn.Linear(settings.projection, len(tokenizer))
    nn.init.constant_(to_words.bias, -4.0)
    log_scale = nn.Parameter(torch.tensor(math.log(1 / settings.temperature)))
    parameters = [p for p in (*model.parameters(), *to_words.parameters(), log_scale) if p.requires_grad]
    optimiser, schedule = make_optimiser(parameters, settings, steps)
    rows, losses = draw_batches(len(frames), settings.batch, rng), []
    mixed = torch.cpu._is_avx512_bf16_supported()

    def tokens_of(texts: list[str]) -> Tokens:
        return tokenise([official_text(text, None) for text in texts], tokenizer, settings.positions)

    for _ in (bar := tqdm(range(steps), desc="pretrain", disable=not progress, mininterval=5)):
        chosen = next(rows)
        seen = facts.iloc[chosen]
        pixels = normalise(
            torch.from_numpy(frames[chosen]).permute(0, 3, 1, 2), OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
        )
        captions, own = np.unique(draw_captions(seen, rng, settings.kept_facts), return_inverse=True)
        strings = [" ".join(rng.choice(words, rng.integers(3, 12))) for _ in range(settings.batch // 8)]
        texts, own = tokens_of([*captions, *strings]), torch.from_numpy(own)
        other = rng.permutation(len(chosen))
        changes = tokens_of(draw_changes(seen, other, rng))
        wrong = own[
            torch.from_numpy(rng.permutation(len(chosen)))
        ]  # a caption that may belong to another picture
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            image_tokens, image_emb = model.see(pixels)
            text_emb = model.read(texts)
            parts = {
                "contrast": contrast(image_emb.float(), text_emb[: len(captions)].float(), own, log_scale)
            }
            asked = torch.cat([own[::2], wrong[1::2]])
            belongs = torch.cat([torch.ones(len(own[::2])), (wrong == own)[1::2].float()]).long()
            matched = model.match(torch.cat([image_tokens[::2], image_tokens[1::2]]), texts[asked])
            parts["match"] = F.cross_entropy(matched.float(), belongs)
            composed = model.compose(image_tokens, changes)
            scores = (
                log_scale.exp()
                * F.normalize(composed.float(), dim=-1)
                @ F.normalize(image_emb.float(), dim=-1).T
            )
            parts["changes"] = F.cross_entropy(scores, torch.from_numpy(other))
            if model.caption_loss:
                parts["caption"] = model.caption_loss(image_tokens, texts[own])
            bags = torch.zeros(len(text_emb), len(tokenizer)).scatter_(1, texts.input_ids, 1.0)
            parts["words"] = settings.words_weight * (
                read_words(to_words, image_emb, bags[own]) + read_words(to_words, text_emb, bags)
            )
        loss = sum(parts.values())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        log_scale.data.clamp_(0, math.log(100))
        losses.append({name: value.item() for name, value in parts.items()})
        bar.set_postfix({name: f"{value:.2f}" for name, value in losses[-1].items()}, refresh=False)
    model.eval()
    return pd.DataFrame(losses)


def train_captioner(
    captioner: BlipForConditionalGeneration,
    tokenizer: BertTokenizer,
    frames: np.ndarray,
    facts: pd.DataFrame,
    settings: BlipPretraining,
    progress: bool = True,
) -> pd.DataFrame:
    """Teach the decoder, on the ViT as it is, to say all facts of a picture in their order; return the losses."""
    torch.manual_seed(settings.seed)
    captioner.vision_model.requires_grad_(False)
    parameters = list(captioner.text_decoder.parameters())
    optimiser, schedule = make_optimiser(parameters, settings, settings.captioner_steps)
    rows, losses = draw_batches(len(frames), settings.batch, np.random.default_rng(settings.seed)), []
    start = tokenizer.convert_tokens_to_ids("[DEC]")
    for _ in (
        bar := tqdm(range(settings.captioner_steps), desc="captions", disable=not progress, mininterval=5)
    ):
        chosen = next(rows)
        pixels = normalise(
            torch.from_numpy(frames[chosen]).permute(0, 3, 1, 2), OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
        )
        texts = tokenise(
            [official_text(caption(row), None) for row in facts.iloc[chosen][list(FACTS)].to_dict("records")],
            tokenizer,
            settings.positions,
        )
        with torch.no_grad():
            seen = captioner.vision_model(pixels).last_hidden_state
        loss = _caption_loss(captioner.text_decoder, seen, _starting(texts, start))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        losses.append({"caption": loss.item()})
        bar.set_postfix(caption=f"{losses[-1]['caption']:.2f}", refresh=False)
    return pd.DataFrame(losses)


def pretrain(
    settings: BlipPretraining, frames: np.ndarray, facts: pd.DataFrame, progress: bool = True
) -> tuple[dict, BertTokenizer, dict]:
    """Train all three; return the models by name, their tokenizer, and what each took and reached."""
    torch.manual_seed(settings.seed)
    phrases = [caption({name: value}) for name in FACTS for value in facts[name].unique()]
    texts = [official_text(text, None) for text in (*phrases, *vocabulary_texts(), "show the same")]
    words = sorted({word for text in texts for word in text.split()})
    tokenizer = build_word_tokenizer(texts)
    retrieval, captioner = build_blip(tokenizer, settings)
    models, reports = {}, {}
    for names, model, steps in (
        ((*NAMES[:2],), lambda: _Blip(retrieval, captioner, tokenizer), settings.steps),
        (
            (NAMES[2],),
            lambda: _Blip2(build_blip2(tokenizer, settings, retrieval.vision_model)),
            settings.qformer_steps,
        ),
    ):
        started, trained = time.monotonic(), model()
        losses = train(trained, tokenizer, frames, facts, words, settings, steps, progress)
        made = (retrieval, captioner) if names[0] == NAMES[0] else (trained.model,)
        for name, one in zip(names, made):
            models[name] = one.eval()
            reports[name] = {
                **asdict(settings),
                "frames": len(frames),
                "seconds": round(time.monotonic() - started),
                "parameters": one.num_parameters(),
                "last losses": losses.tail(100).mean().round(3).to_dict(),
            }
    losses = train_captioner(captioner, tokenizer, frames, facts, settings, progress)
    reports[NAMES[1]]["last losses"] = losses.tail(100).mean().round(3).to_dict()
    return models, tokenizer, reports


CARD = """\
---
license: mit
library_name: transformers
---
# {name}

{what} for the rendered benchmark `mini` of this repository: {parameters:,} parameters, `{cls}` of transformers.

- **Taught on** {frames:,} rendered frames of 64 x 64 pixels from sources that no split of any benchmark shares, each with a caption of what that
  frame shows, and on pairs of them with the facts in which the second differs from the first.
- **Not taught** any label, count, direction of travel or order of frames; no caption or instruction holds one.
- **Stands for** {stands_for}. It is a small stand-in that shows the idea at work, not that model.
- **Made again** by `tfcovr pretrain blip --out data/weights`. Weights and all they were taught on are this
  repository's own, under its MIT licence.

What the command printed:

```json
{report}
```
"""
_ABOUT = {
    "mini-blip": ("A BLIP", "BLIP as CoVR fine-tuned it (`webvid-covr.ckpt`)"),
    "mini-captioner": ("BLIP's captioner", "the captioners of ECDE, TF-CVR and BSE-CoVR"),
    "mini-blip2": ("BLIP-2's Q-Former on the frozen ViT of mini-blip", "`blip2_finetune_coco.pth`"),
}


def save(name: str, model: nn.Module, tokenizer: BertTokenizer, report: dict, folder: Path) -> None:
    """Write a Hugging Face folder, weights in half precision, with its card."""
    with replacing_files(folder, "config.json") as temporary:
        deepcopy(model).half().save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        BlipImageProcessor(size={"height": SIZE, "width": SIZE}).save_pretrained(temporary)
    what, stands_for = _ABOUT[name]
    with replacing(Path(folder) / "README.md") as temporary:
        temporary.write_text(
            CARD.format(
                name=name,
                what=what,
                stands_for=stands_for,
                cls=type(model).__name__,
                report=json.dumps(report, indent=1),
                parameters=report["parameters"],
                frames=report["frames"],
            )
        )


def run(
    out: Path, steps: int | None = None, qformer_steps: int | None = None, sources: int | None = None
) -> dict:
    """Train the small models, write a folder for each, and return their reports."""
    given = {"steps": steps, "qformer_steps": qformer_steps}
    settings = BlipPretraining(**{name: value for name, value in given.items() if value})
    models, tokenizer, reports = pretrain(settings, *render_pictures(sources or SOURCES))
    for name, model in models.items():
        save(name, model, tokenizer, reports[name], out / name)
    return reports
