"""GME on Qwen2-VL, and Qwen3-VL-Embedding: chats with the instruction in the system's part."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import torch
from transformers import (
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
)

from .mllm import MllmEncoder

LIST_RATE = 2.0  # frames a second that Qwen's own loader assumes of a list of frames; sets the prompt's times


class QwenEncoder(MllmEncoder):
    """A Qwen model that embeds the last token of a chat."""

    ending: str
    image_tokens: tuple[int, int]  # least and most for a picture

    def __init__(self, model, processor, instruction: str | None = None, **choices):
        images = processor.image_processor
        least, most = (tokens * (images.patch_size * images.merge_size) ** 2 for tokens in self.image_tokens)
        images.size = {"shortest_edge": least, "longest_edge": most}
        super().__init__(model, processor, instruction, **choices)

    def prompt(self, text: str | None, picture: str | None, query: bool) -> str:
        """Write a chat; only a query has the instruction."""
        shown = f"<|vision_start|><|{picture}_pad|><|vision_end|>" if picture else ""
        instruction = self.instruction if query else self.document_instruction
        return (
            f"<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\n{shown}{text or ''}<|im_end|>\n"
            f"<|im_start|>assistant\n{self.ending}"
        )


class GmeEncoder(QwenEncoder):
    """GME, which reads the state of an end token of its own."""

    name, hub_id = "gme", "Alibaba-NLP/gme-Qwen2-VL-2B-Instruct"
    model_class, processor_class = Qwen2VLForConditionalGeneration, Qwen2VLProcessor
    document_instruction = "You are a helpful assistant."
    ending, image_tokens = "<|endoftext|>", (256, 1280)


class Qwen3VlEmbeddingEncoder(QwenEncoder):
    """Qwen3-VL-Embedding, which reads images and videos. Its tokenizer may append an end token."""

    name, hub_id = "qwen3_vl_embedding", "Qwen/Qwen3-VL-Embedding-2B"
    model_class, processor_class = Qwen3VLForConditionalGeneration, Qwen3VLProcessor
    document_instruction = "Represent the user's input."
    ending, image_tokens = "", (4, 1800)
    frame_tokens = (128, 768)  # least and most for a video's frame
    video_tokens = 15360  # most for all frames of a video

    def __init__(self, model, processor, instruction: str | None = None, **choices):
        if instruction and not unicodedata.category(instruction.strip()[-1]).startswith("P"):
            instruction = instruction.strip() + "."  # as officially
        processor.video_processor.cap_pixels_per_frame = False  # make_inputs gives sizes that do this
        super().__init__(model, processor, instruction, **choices)
        self.identity["frame_tokens"] = self.frame_tokens

    def encode_clips(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3) -> unit features of each clip as a video (N, D)."""
        return self.read_all([self.prompt(None, "video", query=False)] * len(frames), np.asarray(frames))

    def compose(self, frames: np.ndarray | torch.Tensor, texts: Sequence[str]) -> torch.Tensor:
        """Frames uint8 (N, T, H, W, 3), a video if T is not 1, and N texts -> unit queries (N, D)."""
        if frames.shape[1] == 1 or len(frames) != len(texts):
            return super().compose(frames, texts)
        return self.read_all([self.prompt(text, "video", query=True) for text in texts], np.asarray(frames))

    def make_inputs(self, prompts: list[str], pictures: np.ndarray | None):
        """Make the model's inputs; pictures are images (B, H, W, 3) or videos (B, T, H, W, 3)."""
        if pictures is None or pictures.ndim == 4:
            return super().make_inputs(prompts, pictures)
        processor, frames = self.processor.video_processor, pictures.shape[1]
        pixels = (processor.patch_size * processor.merge_size) ** 2  # of a token
        least, most = (tokens * frames for tokens in self.frame_tokens)
        metadata = {"fps": LIST_RATE, "frames_indices": list(range(frames)), "total_num_frames": frames}
        return self.processor(
            text=prompts,
            videos=[torch.from_numpy(video).permute(0, 3, 1, 2) for video in pictures],
            video_metadata=[metadata] * len(prompts),
            do_sample_frames=False,
            size={"shortest_edge": least * pixels, "longest_edge": min(most, self.video_tokens) * pixels},
            padding=True,
            padding_side="left",
            return_tensors="pt",
        )
