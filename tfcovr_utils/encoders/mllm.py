"""What encoders share that are multimodal language models: prompts with pictures in them, read in batches that memory holds.

A family says how its prompts are written and which class its files are of; nothing of a hub's code is ever run.
"""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import AutoImageProcessor, PreTrainedModel, ProcessorMixin
from transformers.utils import logging as transformers_logging

from ..machine.memory import free_memory, require_memory
from .base import Encoder, hash_weights
from .hub import from_hub

MEMORY_SHARE = 0.4  # of the free memory that what passes through the layers may take, by the estimate below
AT_MOST = 64  # prompts at once
COPIES = 12  # of a token's state that are alive at once in a layer: its input, queries, keys, values, sums
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class MllmEncoder(Encoder):
    """Unit features of frames, of texts, and of both in one prompt: the state of the prompt's last token, unless a family says otherwise.

    N clips, T frames, D the language model's width. Pictures go through the family's own processor, so frames keep their shape.
    """

    hub_id: str  # where the published weights are
    model_class: type[
        PreTrainedModel
    ]  # the whole one, which knows the names of all layouts; its head is left away
    processor_class: type[ProcessorMixin]
    document_instruction: str | None = (
        None  # the family's own, in front of what is searched; queries have it unless told otherwise
    )
    ignored = r"lm_head\.weight"  # names that no feature depends on, whether a file has them or not

    def __init__(
        self, model: PreTrainedModel, processor: ProcessorMixin, instruction: str | None = None, **choices
    ):
        super().__init__()
        self.model, self.processor = model, processor
        self.instruction = instruction or self.document_instruction
        self.at_once: dict[
            tuple, int
        ] = {}  # shape of a picture -> prompts in a batch; () where there is none
        config = model.config.to_dict()
        self.identity = {
            "family": self.name,
            "weights": hash_weights(model),
            "instruction": self.instruction,
            **choices,
            "sizes": {key: config[key] for key in ("text_config", "vision_config")},
            "pixels": self.pixel_choices(),
            "vocabulary": len(processor.tokenizer),
        }

    @classmethod
    def load(
        cls,
        weights: str | None = None,
        *,
        instruction: str | None = None,
        dtype: str | None = None,
        **choices,
    ) -> "MllmEncoder":
        """Load a folder or hub id of the family's class, of this transformers' or an older one's names.

        instruction: what a query is asked for, in the family's words by default. dtype: float32 or bfloat16, by default
        bfloat16 where there is a GPU. choices: of the family.
        """
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}.")
        dtype = dtype or ("bfloat16" if torch.cuda.is_available() else "float32")
        weights = weights or cls.hub_id
        model, processor, told, beside = from_hub(partial(cls.read_files, dtype=DTYPES[dtype]), weights)
        account_for(told, cls.ignored, weights, cls.hub_id)
        return cls(model, processor, instruction, dtype=dtype, **beside, **choices)

    @classmethod
    def read_files(cls, source: str, local_files_only: bool, dtype: torch.dtype) -> tuple:
        """Model, processor, what transformers says of names that did not meet, and what else a family is made of, by name."""
        options = {"local_files_only": local_files_only, "trust_remote_code": False}
        config = cls.model_class.config_class.from_pretrained(source, **options)
        require_room(cls.model_class, config, dtype, source)
        cls.correct(config, source, local_files_only)
        processor = cls.processor_class.from_pretrained(source, **options)
        # The published numbers come from PIL's resizing; torchvision's differs in the last places.
        processor.image_processor = AutoImageProcessor.from_pretrained(source, backend="pil", **options)
        model, told = read_model(cls.model_class, source, config=config, dtype=dtype, **options)
        return getattr(model, "model", model), processor, told, {}

    @classmethod
    def correct(cls, config, source: str, local_files_only: bool) -> None:
        """Set in a config what a family's published one has wrong."""

    def pixel_choices(self) -> dict:
        """What decides how a picture becomes patches, for the record."""
        made_by = self.processor.image_processor.to_dict()
        return {
            key: made_by.get(key)
            for key in ("size", "image_mean", "image_std", "resample", "image_grid_pinpoints", "patch_size")
        }

    def prompt(self, text: str | None, picture: str | None, query: bool) -> str:
        """Write a prompt. picture: None, "image" or "video", of which there is one; query: or else something that is searched."""
        raise NotImplementedError(f"{self.name} does not say how its prompts are written.")

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> unit features of each as something to be found (N, T, D)."""
        pictures = np.asarray(frames).reshape(-1, *frames.shape[2:])
        return self.read_all([self.prompt(None, "image", query=False)] * len(pictures), pictures).unflatten(
            0, frames.shape[:2]
        )

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts -> unit features of each as a query (M, D)."""
        return self.read_all([self.prompt(text, None, query=True) for text in texts])

    def compose(self, frames: np.ndarray | torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Frames uint8 (N, 1, H, W, 3) and N texts, each pair in one prompt -> unit queries (N, D)."""
        if len(frames) != len(texts) or frames.shape[1] != 1:
            raise ValueError(
                f"{self.name} reads one frame together with a text, and was given {len(texts)} texts and frames of shape "
                f"{tuple(frames.shape)}; pass (N, 1, H, W, 3) and N texts, by frames=1 and the policy middle."
            )
        return self.read_all(
            [self.prompt(text, "image", query=True) for text in texts], np.asarray(frames)[:, 0]
        )

    def read_all(self, prompts: Sequence[str], pictures: np.ndarray | None = None) -> torch.Tensor:
        """Any number of prompts, each with its picture where there are pictures -> (N, D), in batches of a size found by itself.

        The size is an estimate from free memory, and is halved for good when a GPU does not hold it after all.
        """
        shape = () if pictures is None else pictures.shape[1:]
        if shape not in self.at_once:
            largest = self.make_inputs([max(prompts, key=len)], None if pictures is None else pictures[:1])
            self.at_once[shape] = fitting(self.model, largest)
        values, start = [], 0
        while start < len(prompts):
            rows = slice(start, start + self.at_once[shape])
            try:
                inputs = self.make_inputs(list(prompts[rows]), None if pictures is None else pictures[rows])
                values.append(self.read(inputs.to(self.device)))
            except torch.cuda.OutOfMemoryError:
                if self.at_once[shape] == 1:
                    raise
                self.at_once[shape] //= 2
                continue
            start = rows.stop
        return torch.cat(values)

    def make_inputs(self, prompts: list[str], pictures: np.ndarray | None):
        """What the model is given: tokens padded on the left, so that the last one is each prompt's own, and pixels."""
        images = None if pictures is None else [Image.fromarray(picture) for picture in pictures]
        return self.processor(
            text=prompts, images=images, padding=True, padding_side="left", return_tensors="pt"
        )

    def read(self, inputs) -> torch.Tensor:
        """One batch -> unit features (B, D)."""
        states = self.model(**_as(self.model.dtype, inputs), use_cache=False).last_hidden_state
        return F.normalize(states[:, -1].float(), dim=-1)


def _as(dtype: torch.dtype, inputs) -> dict:
    return {
        name: value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value
        for name, value in inputs.items()
    }


def require_room(model_class: type[PreTrainedModel], config, dtype: torch.dtype, source: str) -> None:
    """Refuse a model that memory cannot hold, on its sizes alone."""
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in model_class(config).parameters())
    require_memory(parameters * dtype.itemsize, source)
    if torch.cuda.is_available():
        require_memory(parameters * dtype.itemsize, source, torch.device("cuda"))


def read_model(model_class: type[PreTrainedModel], source: str, **options) -> tuple[PreTrainedModel, dict]:
    """A model, and what transformers would else print of names that did not meet, for `account_for`."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(transformers_logging.ERROR)
    try:
        return model_class.from_pretrained(
            source,
            attn_implementation="sdpa",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
        )
    finally:
        transformers_logging.set_verbosity(level)


def account_for(told: dict, ignored: str, weights: str, hub_id: str) -> None:
    """Raise unless each weight of the model came from its file, and each name of the file is the model's or is ignored."""
    lacking, more = (
        sorted(name for name in told[key] if not re.fullmatch(ignored, name))
        for key in ("missing_keys", "unexpected_keys")
    )
    wrong = {
        "lacks": lacking,
        "also holds": more,
        "has in another shape": sorted(
            str(name[0] if isinstance(name, tuple) else name) for name in told["mismatched_keys"]
        ),
    }
    if any(wrong.values()):
        said = "; ".join(
            f"{what} {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}"
            for what, names in wrong.items()
            if names
        )
        raise ValueError(f"{weights} {said}; pass a folder or hub id of the same layout as {hub_id}.")


def fitting(model: PreTrainedModel, inputs) -> int:
    """How many prompts like this one go through at once: a power of two, so that it is the same on most days."""
    device, text = next(model.parameters()).device, model.config.get_text_config()
    tokens = inputs["input_ids"].numel()
    each = tokens * (COPIES * text.hidden_size + 3 * text.intermediate_size) * model.dtype.itemsize
    each += tokens**2 * text.num_attention_heads * 4  # scores, where attention is not fused
    each += (
        COPIES * sum(value.numel() for name, value in inputs.items() if name.startswith("pixel_values")) * 4
    )
    return 2 ** int(np.log2(max(1, min(AT_MOST, MEMORY_SHARE * free_memory(device) / each))))
