"""What others share by a hub id: from the cache, else from the hub, else within seconds one sentence that says how to get it."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import model_info
from safetensors import SafetensorError
from transformers import AutoTokenizer

from ..machine.memory import require_memory
from .base import local_folder
from .catalogue import PUBLISHED, said_of

REACH_S = 5  # for the hub to answer; without it the hub's client tries again and again for half a minute


def from_hub(read: Callable, weights: str, whole: bool = True):
    """Give read(source, local_files_only=...) of a local folder, of what is cached of a hub id, or of the hub.

    whole: with the weights, whose size and licence are then said before they are fetched, and which must fit into memory.
    """
    source = local_folder(weights)
    if whole and source in PUBLISHED:
        require_memory(PUBLISHED[source].gigabytes * 1e9, source)
    try:
        return read(source, local_files_only=True)
    except (OSError, ValueError, SafetensorError) as error:
        if Path(source).is_dir():
            reason = re.split(r"[.]?\s*\n|[.] ", str(error))[0]
            raise FileNotFoundError(
                f"{weights} does not hold what a Hugging Face folder of this kind does ({reason}); "
                "make or fetch that folder again."
            ) from error
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", weights):
            raise FileNotFoundError(
                f"{weights} is no folder here and no hub id such as openai/clip-vit-base-patch16; fetch it, or make "
                "the rendered benchmark's weights by `tfcovr pretrain clip --out FOLDER`."
            ) from error
    try:
        model_info(source, timeout=REACH_S)
        if whole:
            print(f"{said_of(source)}; fetching what is not in the cache yet.", file=sys.stderr)
        return read(source, local_files_only=False)
    except MemoryError:
        raise
    except Exception as error:
        raise FileNotFoundError(
            f"{weights} is neither a folder here nor in the hub's cache, and the hub did not give it "
            f"({type(error).__name__}); where there is a network, run `hf download {weights}`."
        ) from error


class LateTokenizer:
    """A tokenizer by hub id or folder, read when the first text comes."""

    def __init__(self, source: str):
        self.source, self._tokenizer = source, None

    def __call__(self, texts: list[str], **options):
        self._tokenizer = self._tokenizer or from_hub(AutoTokenizer.from_pretrained, self.source, whole=False)
        return self._tokenizer(texts, **options)
