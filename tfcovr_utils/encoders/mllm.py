"""The base of multimodal language models as encoders: prompts with pictures, in batches that fit into memory.

A subclass says how its prompts are written and which class its files are of. No code of a hub is ever run.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import AutoImageProcessor, PreTrainedModel, ProcessorMixin

from ..machine.memory import free_memory, require_memory
from .base import Encoder
from .hub import HubFolder, from_hub

MEMORY_SHARE = 0.4  # of the free memory that activations may take, by the estimate below
MAX_BATCH = 64  # prompts
COPIES = 12  # of a token's state that are alive at once in a layer: its input, queries, keys, values, sums
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PIXELS = ("size", "image_mean", "image_std", "resample", "image_grid_pinpoints", "patch_size")


class MllmEncoder(Encoder):
    """Unit features of frames, texts, or both in one prompt: by default the state of the prompt's last token.

    N clips, T frames, D the language model's width. The model's own processor reads frames as they are.
    """

    hub_id: str  # of the published weights
    model_class: type[PreTrainedModel]  # with its head, whose class knows the names of all layouts
    processor_class: type[ProcessorMixin]
    document_instruction: str | None = None  # for gallery items, and for queries without `instruction`
    ignored = r"lm_head\.weight"  # names that no feature depends on, whether a file has them or not

    def __init__(self, model, processor, instruction: str | None = None, **choices):
        super().__init__()
        self.model, self.processor = model, processor
        self.instruction = instruction or self.document_instruction
        self.batch_sizes = {}  # shape of a picture, () without pictures -> prompts in a batch
        sizes = pick(model.config.to_dict(), ("text_config", "vision_config"))
        pixels = pick(processor.image_processor.to_dict(), PIXELS)
        words = len(processor.tokenizer)
        choices |= {"instruction": self.instruction, "sizes": sizes, "pixels": pixels, "vocabulary": words}
        self.identify(model, **choices)

    @classmethod
    def load(cls, weights: str | None = None, *, instruction: str | None = None, **choices) -> "MllmEncoder":
        """Load a folder or hub id of the class's layout, in this transformers' names or an older one's.

        The weights become bfloat16 where there is a GPU, else float32. instruction: what queries ask for, by
        default the class's own. choices: of the class.
        """
        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
        read = partial(cls.read_folder, dtype=DTYPES[dtype])
        model, processor, parts = from_hub(read, weights or cls.hub_id)
        return cls(model, processor, instruction, dtype=dtype, **parts, **choices)

    @classmethod
    def read_folder(cls, folder: HubFolder, dtype: torch.dtype) -> tuple:
        """Read the model, its processor, and what else the class is made of, by name."""
        config = folder.load(cls.model_class.config_class)
        require_room(cls.model_class, config, dtype, folder.source)
        cls.correct(config, folder)
        processor = folder.load(cls.processor_class)
        # The published numbers come from PIL's resizing; torchvision's differs in the last places.
        processor.image_processor = folder.load(AutoImageProcessor, backend="pil")
        choices = {"config": config, "dtype": dtype, "attn_implementation": "sdpa"}
        model, _ = folder.load_model(cls.model_class, layout_of(cls.hub_id), cls.ignored, **choices)
        return getattr(model, "model", model), processor, {}

    @classmethod
    def correct(cls, config, folder: HubFolder) -> None:
        """Correct what the published config has wrong."""

    def prompt(self, text: str | None, picture: str | None, query: bool) -> str:
        """Write a prompt. picture: None, or "image" or "video" for one. query: False for a gallery item."""
        raise NotImplementedError(f"{self.name} does not say how its prompts are written.")

    def encode_frames(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> unit features of each as a gallery item (N, T, D)."""
        pictures = np.asarray(frames).reshape(-1, *frames.shape[2:])
        features = self.read_all([self.prompt(None, "image", query=False)] * len(pictures), pictures)
        return features.unflatten(0, frames.shape[:2])

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts -> unit features of each as a query (M, D)."""
        return self.read_all([self.prompt(text, None, query=True) for text in texts])

    def compose(self, frames: np.ndarray | torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Frames uint8 (N, 1, H, W, 3) and N texts, each pair in one prompt -> unit queries (N, D)."""
        if len(frames) != len(texts) or frames.shape[1] != 1:
            raise ValueError(
                f"{self.name} reads one frame together with a text, but got {len(texts)} texts and frames of "
                f"shape {tuple(frames.shape)}; pass (N, 1, H, W, 3) and N texts, by frames=1, policy middle."
            )
        prompts = [self.prompt(text, "image", query=True) for text in texts]
        return self.read_all(prompts, np.asarray(frames)[:, 0])

    def read_all(self, prompts: Sequence[str], pictures: np.ndarray | None = None) -> torch.Tensor:
        """Any number of prompts, each with its picture where there are pictures -> (N, D).

        The batch size is estimated from free memory, and halved for good when a GPU is too small for it.
        """
        shape = () if pictures is None else pictures.shape[1:]
        if shape not in self.batch_sizes:
            largest = self.make_inputs([max(prompts, key=len)], None if pictures is None else pictures[:1])
            self.batch_sizes[shape] = estimate_batch_size(self.model, largest)
        features, start = [], 0
        while start < len(prompts):
            rows = slice(start, start + self.batch_sizes[shape])
            try:
                inputs = self.make_inputs(list(prompts[rows]), None if pictures is None else pictures[rows])
                features.append(self.read(inputs.to(self.device)))
            except torch.cuda.OutOfMemoryError:
                if self.batch_sizes[shape] == 1:
                    raise
                self.batch_sizes[shape] //= 2
                continue
            start = rows.stop
        return torch.cat(features)

    def make_inputs(self, prompts: list[str], pictures: np.ndarray | None):
        """Make pixels, and tokens padded on the left, so that the last one is the prompt's own."""
        images = None if pictures is None else [Image.fromarray(picture) for picture in pictures]
        options = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
        return self.processor(text=prompts, images=images, **options)

    def read(self, inputs) -> torch.Tensor:
        """One batch -> unit features (B, D)."""
        dtype = self.model.dtype
        inputs = {
            name: value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value
            for name, value in inputs.items()
        }
        states = self.model(**inputs, use_cache=False).last_hidden_state
        return F.normalize(states[:, -1].float(), dim=-1)


def pick(settings: dict, keys: Sequence[str]) -> dict:
    """Take some settings, None where there is none, for an identity."""
    return {key: settings.get(key) for key in keys}


def layout_of(hub_id: str) -> str:
    """Name what to pass instead of other weights."""
    return f"a folder or hub id of the same layout as {hub_id}"


def require_room(model_class: type[PreTrainedModel], config, dtype: torch.dtype, source: str) -> None:
    """Refuse a model that memory cannot hold, judged by its sizes alone."""
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in model_class(config).parameters())
    require_memory(parameters * dtype.itemsize, source)
    if torch.cuda.is_available():
        require_memory(parameters * dtype.itemsize, source, torch.device("cuda"))


def estimate_batch_size(model: PreTrainedModel, inputs) -> int:
    """How many prompts like this one fit into memory: a power of two, which rarely varies between runs."""
    text, device = model.config.get_text_config(), next(model.parameters()).device
    tokens = inputs["input_ids"].numel()
    pixels = sum(value.numel() for name, value in inputs.items() if name.startswith("pixel_values"))
    each = tokens * (COPIES * text.hidden_size + 3 * text.intermediate_size) * model.dtype.itemsize
    each += tokens**2 * text.num_attention_heads * 4  # scores, where attention is not fused
    each += COPIES * pixels * 4
    return 2 ** int(np.log2(max(1, min(MAX_BATCH, MEMORY_SHARE * free_memory(device) / each))))
