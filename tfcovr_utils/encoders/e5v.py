"""E5-V: a LLaVA-NeXT that is asked for one word; its feature is the state in front of that word."""

from transformers import LlavaNextForConditionalGeneration, LlavaNextModel, LlavaNextProcessor

from .mllm import MllmEncoder

_HEADER = "<|start_header_id|>{}<|end_header_id|>\n\n"
TEMPLATE = _HEADER.format("user") + "{}<|eot_id|>" + _HEADER.format("assistant") + " \n"
# How its own code asks: "summary" of an image or a sentence, "modify" in composed retrieval, misspelt there
# too.
ASKED = {
    "summary": "<image>\nSummary above image in one word: ",
    "modify": "<image>\n Describe this image in one word:",
    "text": "{text}\nSummary above sentence in one word: ",
    "composed": '<image>Modify this image with "{text}", desribe modified image in one word:',
}


class E5VEncoder(MllmEncoder):
    """asked: how an image is asked for, "summary", or "modify" to go with `compose`."""

    name, hub_id = "e5_v", "royokong/e5-v"
    model_class, processor_class = LlavaNextForConditionalGeneration, LlavaNextProcessor

    def __init__(self, model, processor, instruction: str | None = None, asked: str = "summary", **choices):
        if asked not in ("summary", "modify"):
            raise ValueError(f"asked {asked!r} is not known; choose summary or modify.")
        if instruction:
            raise ValueError(
                f"E5-V takes no instruction such as {instruction!r}; choose asked='modify' or 'summary'."
            )
        self.asked = asked
        complete_processor(processor, model)
        super().__init__(model, processor, asked=asked, **choices)

    def prompt(self, text: str | None, picture: str | None, query: bool) -> str:
        """Write a prompt; queries and gallery items are asked for alike."""
        kind = self.asked if text is None else "text" if picture is None else "composed"
        return TEMPLATE.format(ASKED[kind].replace("{text}", text or ""))


def complete_processor(processor: LlavaNextProcessor, model: LlavaNextModel) -> None:
    """Set what older files leave to the model's config, and check that both mean the same image token."""
    config, tokenizer = model.config, processor.tokenizer
    processor.patch_size = config.vision_config.patch_size
    processor.num_additional_image_tokens = 1  # CLIP's class token
    processor.vision_feature_select_strategy = config.vision_feature_select_strategy
    if processor.image_token_id != config.image_token_id:
        raise ValueError(
            f"the tokenizer writes {processor.image_token} as {processor.image_token_id}, but the model "
            f"reads {config.image_token_id} as an image; use the tokenizer published with these weights."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
