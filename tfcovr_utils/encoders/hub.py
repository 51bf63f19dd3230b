"""Hugging Face folders and hub ids: read from disk or cache, else fetched, else one sentence says how."""

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from huggingface_hub import model_info
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from ..machine.files import read_json
from ..machine.memory import require_memory
from .base import local_folder
from .catalogue import PUBLISHED, describe_published
from .loading import WrongWeights, check_names, find_file

# What libraries raise at a folder that lacks files, or whose configuration makes no model.
UNREADABLE = (OSError, ValueError, SafetensorError, TypeError, AttributeError, LookupError, ArithmeticError)
UNREADABLE += (RuntimeError, AssertionError)
REACH_S = 5  # for the hub to answer; without it the hub's client retries for half a minute


@dataclass(frozen=True)
class HubFolder:
    """The files of a local folder or of a hub id. local_files_only: read a hub id from the cache alone."""

    source: str
    local_files_only: bool

    def find(self, name: str) -> Path | None:
        """Return the path of a file, or None where there is none."""
        with suppress(OSError):
            return self.path(name)
        return None

    def path(self, name: str) -> Path:
        """Return the path of a file; an OSError says that there is none."""
        return Path(cached_file(self.source, name, local_files_only=self.local_files_only))

    def pixel_statistics(self) -> tuple[tuple, tuple]:
        """Return mean and standard deviation of the pixels that the model was trained on."""
        preprocessing = read_json(self.path("preprocessor_config.json"))
        return tuple(preprocessing["image_mean"]), tuple(preprocessing["image_std"])

    def load(self, cls: type, **options):
        """Return cls.from_pretrained of this folder. Code that it may hold is never run."""
        return cls.from_pretrained(
            self.source, local_files_only=self.local_files_only, trust_remote_code=False, **options
        )

    def load_model(
        self,
        cls: type[PreTrainedModel],
        expected: str,
        ignored: str = "",
        optional: frozenset = frozenset(),
        **options,
    ) -> tuple[PreTrainedModel, set[str]]:
        """Load a model and the names of `optional` that the folder lacks, if it lacks all of them.

        Every other name must be the model's and the folder's, unless the pattern `ignored` matches it.
        """
        level = transformers_logging.get_verbosity()
        transformers_logging.set_verbosity_error()
        try:
            model, report = self.load(cls, ignore_mismatched_sizes=True, output_loading_info=True, **options)
        finally:
            transformers_logging.set_verbosity(level)
        keys = report["missing_keys"], report["unexpected_keys"]
        lacks, more = ({name for name in names if not re.fullmatch(ignored, name)} for names in keys)
        absent = optional if optional <= lacks else frozenset()
        misshapen = [str(name[0] if isinstance(name, tuple) else name) for name in report["mismatched_keys"]]
        check_names(self.source, expected, lacks - absent, more, misshapen)
        return model, absent


def from_hub(read: Callable[[HubFolder], object], weights: str, whole: bool = True):
    """Return read(HubFolder) of a local folder, of the cached files of a hub id, or of the hub.

    whole: weights are read too. They must fit into memory; a download first prints their size and licence.
    """
    source = local_folder(weights)
    if whole and source in PUBLISHED:
        require_memory(PUBLISHED[source].gigabytes * 1e9, source)
    try:
        return read(HubFolder(source, local_files_only=True))
    except (WrongWeights, torch.OutOfMemoryError):
        raise
    except UNREADABLE as error:
        if Path(source).is_dir():
            reason = re.split(r"[.]?\s*\n|[.] ", str(error))[0]
            raise FileNotFoundError(
                f"{weights} is no complete Hugging Face folder of this kind ({reason}); "
                "make or fetch that folder again."
            ) from error
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", weights):
            raise FileNotFoundError(
                f"{weights} is neither a folder here nor a hub id such as openai/clip-vit-base-patch16; "
                "fetch it, or make the rendered benchmark's weights by `tfcovr pretrain clip --out FOLDER`."
            ) from error
    try:
        model_info(source, timeout=REACH_S)
        if whole:
            print(f"{describe_published(source)}; fetching what is not in the cache yet.", file=sys.stderr)
        return read(HubFolder(source, local_files_only=False))
    except (MemoryError, WrongWeights):
        raise
    except Exception as error:
        raise FileNotFoundError(
            f"{weights} is neither a folder here nor in the hub's cache, and the hub did not deliver it "
            f"({type(error).__name__}); where there is a network, run `hf download {weights}`."
        ) from error


def read_file_or_folder(
    weights: str | Path, expected: str, read_file: Callable, read_folder: Callable, **sizes: int
):
    """Read a checkpoint file, with sizes that no weight shows, or a folder or hub id."""
    file = find_file(weights, expected)
    if file is not None:
        return read_file(file, **sizes)
    if sizes:
        raise ValueError(f"{weights} is no file and has its own {' and '.join(sizes)}; leave them out.")
    return from_hub(read_folder, str(weights))


class LateTokenizer:
    """A tokenizer by hub id or folder, loaded when the first text comes."""

    def __init__(self, source: str, loaded: PreTrainedTokenizerBase | None = None):
        self.source = source
        if loaded is not None:
            self.loaded = loaded

    @cached_property
    def loaded(self) -> PreTrainedTokenizerBase:
        """The tokenizer itself."""
        return from_hub(lambda folder: folder.load(AutoTokenizer), self.source, whole=False)

    def __call__(self, texts: list[str], **options):
        """Tokenise texts."""
        return self.loaded(texts, **options)
