"""Texts as the official loaders write them, and as a tokenizer gives them."""

import re
from dataclasses import dataclass

import torch

from ..labels.numbers import spell_numbers

MAX_WORDS, MAX_TOKENS = 30, 32  # pre_caption and max_txt_len of the official code


@dataclass(frozen=True)
class Tokens:
    """Texts as a tokenizer gives them, padded on the right: both (M, L) int64. Indexing takes rows."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor

    def __len__(self) -> int:
        return len(self.input_ids)

    def __getitem__(self, rows: torch.Tensor) -> "Tokens":
        return Tokens(self.input_ids[rows], self.attention_mask[rows])

    def to(self, device: torch.device) -> "Tokens":
        return Tokens(self.input_ids.to(device), self.attention_mask.to(device))


def official_text(text: str, max_words: int | None = MAX_WORDS) -> str:
    """Write a text as the official loaders hand it to the tokenizer.

    Counts up to 7 in half steps are spelled ("2.5" is "two and a half", "0.25" stays), all is lower case,
    some punctuation is dropped, and what follows the 30th word is cut (`max_words`; None keeps all).
    """
    return " ".join(re.sub(r'[!"()*#:;~]', " ", spell_numbers(text).lower()).split()[:max_words])


def tokenise(texts: list[str], tokenizer, max_tokens: int = MAX_TOKENS) -> Tokens:
    """Tokenise texts once, padded to the longest of them and cut at `max_tokens`, officially 32."""
    rows = tokenizer(texts, padding="longest", truncation=True, max_length=max_tokens, return_tensors="pt")
    return Tokens(rows["input_ids"], rows["attention_mask"])
