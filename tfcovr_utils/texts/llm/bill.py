"""Whom a run asks, what it is going to ask, what an answer says of itself, and what was paid."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from ...profiles import data_dir
from .cache import Answers
from .prompt import PRICED_ON, TYPICAL_TOKENS, cost, estimate_tokens

OPENAI_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Asking:
    """Whom to ask, and how. Times are in seconds."""

    model: str = "gpt-4o"
    base_url: str = OPENAI_URL
    batch: bool = False
    cache_path: Path = field(default_factory=lambda: data_dir() / "modifications" / "answers.jsonl")
    concurrency: int = 8
    timeout_s: float = 60.0
    retries: int = 6  # of one request, on top of the first try
    poll_s: float = 30.0

    @property
    def provider(self) -> str:
        """The base URL without what may be secret in it."""
        parts = urlsplit(self.base_url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path.rstrip('/')}"


def plan(n_pairs: int, style: str, bodies: Iterable[dict], asking: Asking) -> str:
    """Say what a run is going to ask for, and its cost, before the first call."""
    prompts = [estimate_tokens(body) for body in bodies]
    completion = TYPICAL_TOKENS[style] * len(prompts)
    dollars = cost(asking.model, sum(prompts), 0, completion, asking.batch)
    price = _say_dollars(dollars, asking, 2)
    return (
        f"{n_pairs} pairs, {len(prompts)} requests to {asking.model} at {asking.provider}: "
        f"{sum(prompts)} prompt and {completion} completion tokens, estimated at four characters a "
        f"token; {price}; second attempts come on top."
    )


class Bill:
    """Keeps the answers of a run in the cache as they come, and adds up what they cost."""

    def __init__(self, asking: Asking, cache: Answers):
        self.asking = asking
        self.cache = cache
        self.usages: list[tuple[dict, bool]] = []

    def keep(self, key: str, completion: dict, batch: str = "") -> None:
        """Keep the answer to a request, a chat completion as the provider sent it."""
        if self.cache.get(key) is not None:
            return
        message, choice = completion["choices"][0]["message"], completion["choices"][0]
        usage = completion.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        answer = {
            "content": message.get("content"),
            "refusal": message.get("refusal"),
            "finish_reason": choice.get("finish_reason"),
            "provider": self.asking.provider,
            "asked_model": self.asking.model,
            "model": completion.get("model"),
            "fingerprint": completion.get("system_fingerprint"),
            "id": completion.get("id"),
            "batch": batch,
            "usage": {
                "prompt": usage.get("prompt_tokens", 0),
                "cached": details.get("cached_tokens") or 0,
                "completion": usage.get("completion_tokens", 0),
            },
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self.cache.add(key, answer)
        self.usages.append((answer["usage"], bool(batch)))

    def line(self) -> str:
        """Say the tokens as the provider counted them, and their cost at list price."""
        total = {k: sum(usage[k] for usage, _ in self.usages) for k in ("prompt", "cached", "completion")}
        costs = [cost(self.asking.model, **usage, batch=batch) for usage, batch in self.usages]
        dollars = None if None in costs else sum(costs)
        return (
            f"{len(self.usages)} answers, {total['prompt']} prompt tokens ({total['cached']} of them "
            f"reused) and {total['completion']} completion tokens; {_say_dollars(dollars, self.asking, 6)}."
        )


def _say_dollars(dollars: float | None, asking: Asking, digits: int) -> str:
    if dollars is None:
        return f"cost unknown, as no price is listed for model {asking.model!r}"
    return f"{dollars:.{digits}f} USD at list prices of {PRICED_ON}"
