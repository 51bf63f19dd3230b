"""Texts as the official loaders write them, and as a tokenizer returns them."""

import re
import warnings
from dataclasses import dataclass

import torch

from ..labels.numbers import spell_numbers

MAX_WORDS, MAX_TOKENS = 30, 32  # pre_caption and max_txt_len of the official code


@dataclass(frozen=True)
class Tokens:
    """Texts as a tokenizer returns them, padded on the right: both (M, L) int64. Indexing takes rows."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor

    def __len__(self) -> int:
        return len(self.input_ids)

    def __getitem__(self, rows: torch.Tensor) -> "Tokens":
        return Tokens(self.input_ids[rows], self.attention_mask[rows])

    def to(self, device: torch.device) -> "Tokens":
        """Move both tensors."""
        return Tokens(self.input_ids.to(device), self.attention_mask.to(device))


def official_text(text: str, max_words: int | None = MAX_WORDS) -> str:
    """Write a text as the official loaders pass it to the tokenizer.

    Counts up to 7 in half steps are spelled, all is lower case, some punctuation is dropped, and words after
    the 30th are cut (`max_words`; None keeps all).

    >>> official_text("Show with 2.5 twists, not 0.25!")
    'show with two and a half twists, not 0.25'
    """
    return " ".join(re.sub(r'[!"()*#:;~]', " ", spell_numbers(text).lower()).split()[:max_words])


def covr_text(text: str, max_words: int | None = MAX_WORDS) -> str:
    """Write a text as CoVR's own loader does: digits stay, and full stops are dropped.

    >>> covr_text("Show with 2.5 twists.")
    'show with 2 5 twists'
    """
    return " ".join(re.sub(r'[.!"()*#:;~]', " ", text.lower()).split()[:max_words])


# Whose loader -> how it writes a text; BSE-CoVR leaves descriptions, unlike modifications, as they are.
WRITERS = {"tfcovr": official_text, "covr": covr_text, "as it is": lambda text, max_words: text}


def tokenise(texts: list[str], tokenizer, max_tokens: int = MAX_TOKENS) -> Tokens:
    """Tokenise texts once, padded to the longest of them and cut at `max_tokens`, officially 32."""
    rows = tokenizer(texts, padding="longest", truncation=True, max_length=max_tokens, return_tensors="pt")
    return Tokens(rows["input_ids"], rows["attention_mask"])


def tokenise_officially(
    texts: list[str], tokenizer, max_words: int | None, max_tokens: int, written_as: str = "tfcovr"
) -> Tokens:
    """Write texts as the official loaders do and tokenise them; warn if texts lose tokens."""
    texts = [WRITERS[written_as](text, max_words) for text in texts]
    lost = [len(ids) - max_tokens for ids in tokenizer(texts, verbose=False)["input_ids"]]
    if cut := [tokens for tokens in lost if tokens > 0]:
        warnings.warn(
            f"{len(cut)} of {len(texts)} texts lose {sum(cut)} tokens, since max_tokens is {max_tokens}; "
            "raise it or shorten the texts.",
            stacklevel=3,
        )
    return tokenise(texts, tokenizer, max_tokens)


def pad_and_cut(texts: list[str], tokenizer, length: int, padding: bool | str = True):
    """Tokenise texts for a tower of CLIP's kind, which reads `length` tokens at most."""
    return tokenizer(list(texts), padding=padding, truncation=True, max_length=length, return_tensors="pt")
