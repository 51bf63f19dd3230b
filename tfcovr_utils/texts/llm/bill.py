"""Which provider a run asks, what its requests cost, and the answers that it keeps."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from ...labels.word_tables import read_rows
from ...profiles import data_dir
from .cache import Answers
from .dialogue import Job, Progress, follow

OPENAI_URL = "https://api.openai.com/v1"
CHARACTERS_PER_TOKEN = 4  # English, roughly; only for the estimate before the first request
TYPICAL_TOKENS = {"short": 20, "dense": 90}  # of an answer, for the same estimate
PRICED_ON = "2026-03"  # list prices; the provider's bill decides
BATCH_DISCOUNT = 0.5
# US dollars for a million tokens: of the prompt, of the part of it that the provider reuses, of the answer.
PRICES = {
    model: tuple(map(float, prices)) for model, *prices in read_rows(Path(__file__).with_name("prices.csv"))
}


@dataclass(frozen=True)
class Asking:
    """Which provider and model to ask, and how."""

    model: str = "gpt-4o"
    base_url: str = OPENAI_URL
    batch: bool = False
    cache_path: Path = field(default_factory=lambda: data_dir() / "modifications" / "answers.jsonl")
    concurrency: int = 8
    timeout_s: float = 60.0
    retries: int = 6  # of one request, after the first try
    poll_s: float = 30.0

    @property
    def provider(self) -> str:
        """The base URL without the parts that may be secret."""
        parts = urlsplit(self.base_url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"


def cost(model: str, prompt: int, cached: int, completion: int, batch: bool) -> float | None:
    """Return US dollars at list price, None for unknown models; `cached` tokens are part of `prompt`.

    >>> cost("gpt-4o-2024-08-06", 1_000_000, 0, 0, batch=True)
    1.25
    """
    undated = re.sub(r"-\d{4}-\d{2}-\d{2}$", "", model)  # a dated model costs what the undated does
    if not (prices := PRICES.get(undated)):
        return None
    dollars = sum(n * price for n, price in zip((prompt - cached, cached, completion), prices))
    return dollars / 1e6 * (BATCH_DISCOUNT if batch else 1.0)


class Bill:
    """What a run has asked and still has to ask: keeps each answer in the cache, and adds up the cost."""

    def __init__(self, asking: Asking, cache: Answers | dict):
        self.asking, self.cache = asking, cache
        self.usages: list[dict] = []

    def follow(self, job: Job) -> Progress:
        """Follow a job through the answers so far."""
        return follow(job, self.asking.provider, self.asking.model, self.cache.get)

    def pending(self, jobs: Iterable[Job]) -> dict[str, dict]:
        """Return the next requests by their key; pairs with the same label texts share one."""
        return {progress.key: progress.body for progress in map(self.follow, jobs) if progress.body}

    def plan(self, jobs: list[Job]) -> str:
        """Say what a run will ask and what that costs, before the first request."""
        bodies = self.pending(jobs).values()
        lengths = [sum(len(message["content"]) for message in body["messages"]) for body in bodies]
        prompt = sum(length // CHARACTERS_PER_TOKEN for length in lengths)
        completion = TYPICAL_TOKENS[jobs[0].style if jobs else "short"] * len(lengths)
        price = self._price(cost(self.asking.model, prompt, 0, completion, self.asking.batch), 2)
        return (
            f"{len(jobs)} pairs, {len(lengths)} requests to {self.asking.model} at {self.asking.provider}: "
            f"{prompt} prompt and {completion} completion tokens, estimated at four characters a token; "
            f"{price}; second attempts cost extra."
        )

    def keep(self, key: str, completion: dict, batch: str = "") -> None:
        """Keep the answer to a request: a chat completion as the provider sent it."""
        if key in self.cache:
            return
        choice = completion["choices"][0]
        usage = completion.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        tokens = {
            "prompt": usage.get("prompt_tokens", 0),
            "cached": details.get("cached_tokens") or 0,
            "completion": usage.get("completion_tokens", 0),
        }
        answer = {
            "content": choice["message"].get("content"),
            "refusal": choice["message"].get("refusal"),
            "finish_reason": choice.get("finish_reason"),
            "provider": self.asking.provider,
            "asked_model": self.asking.model,
            "model": completion.get("model"),
            "fingerprint": completion.get("system_fingerprint"),
            "id": completion.get("id"),
            "batch": batch,
            "usage": tokens,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self.cache.add(key, answer)
        self.usages.append({**tokens, "batch": bool(batch)})

    def line(self) -> str:
        """Say the tokens as the provider counted them, and their cost at list price."""
        kinds = ("prompt", "cached", "completion")
        prompt, cached, completion = (sum(usage[kind] for usage in self.usages) for kind in kinds)
        costs = [cost(self.asking.model, **usage) for usage in self.usages]
        return (
            f"{len(self.usages)} answers, {prompt} prompt tokens ({cached} of them reused) and {completion} "
            f"completion tokens; {self._price(None if None in costs else sum(costs), 6)}."
        )

    def _price(self, dollars: float | None, digits: int) -> str:
        if dollars is None:
            return f"cost unknown, as no price is listed for model {self.asking.model!r}"
        return f"{dollars:.{digits}f} USD at list prices of {PRICED_ON}"
