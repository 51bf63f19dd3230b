"""Batches at a provider that speaks OpenAI's protocol: submit, wait, collect, resume.

A batch is written down before it is created, and again with its id: a killed run finds it, and nothing is
submitted twice. The client comes from outside.
"""

import json
import time

from ...machine.hashing import digest_json
from .bill import Bill

ENDPOINT = "/v1/chat/completions"
_TAG = "tfcovr_requests"  # in the metadata of a batch, to find one whose id was not written down
_ENDED = ("completed", "failed", "expired", "cancelled")


class Batches:
    """The batches of one model at one provider, as the cache remembers them."""

    def __init__(self, bill: Bill):
        self.bill, self.cache = bill, bill.cache
        self._prefix = f"batch:{bill.asking.provider}:{bill.asking.model}:"

    def open(self) -> list[str]:
        """List the batches that were submitted, or about to be, and not collected."""
        return [key for key in self._keys() if self.cache[key]["state"] != "collected"]

    def submit(self, client, requests: dict[str, dict]) -> list[str]:
        """Have requests (key -> body) answered in one batch; return the keys that got no answer."""
        tag = digest_json([sorted(requests), len(self._keys())])[:32]
        self.cache.add(self._prefix + tag, {"state": "intended", "batch": ""})
        lines = [
            json.dumps({"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body})
            for key, body in requests.items()
        ]
        file = client.files.create(file=("requests.jsonl", "\n".join(lines).encode()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint=ENDPOINT, completion_window="24h", metadata={_TAG: tag}
        )
        self.cache.add(self._prefix + tag, {"state": "created", "batch": batch.id})
        answered = self._collect(client, self._prefix + tag, batch.id)
        return [key for key in requests if key not in answered]

    def collect_open(self, client) -> None:
        """Wait for the batches that earlier runs left open, and keep their answers."""
        for key in self.open():
            batch_id = self.cache[key]["batch"] or _find(client, key.removeprefix(self._prefix))
            if batch_id:
                self._collect(client, key, batch_id)
            else:  # the run was killed before it created the batch
                self.cache.add(key, {"state": "collected", "batch": ""})

    def _keys(self) -> list[str]:
        return [key for key in self.cache if key.startswith(self._prefix)]

    def _collect(self, client, key: str, batch_id: str) -> set[str]:
        while (batch := client.batches.retrieve(batch_id)).status not in _ENDED:
            time.sleep(self.bill.asking.poll_s)
        answered = set()
        # A batch that expired or was cancelled has the answers that it got until then.
        content = client.files.content(batch.output_file_id).text if batch.output_file_id else ""
        for line in filter(None, content.splitlines()):
            row = json.loads(line)
            response = row.get("response") or {}
            if response.get("status_code") == 200 and not row.get("error"):
                self.bill.keep(row["custom_id"], response["body"], batch_id)
                answered.add(row["custom_id"])
        self.cache.add(key, {"state": "collected", "batch": batch_id})
        if batch.status == "failed":
            errors = (batch.errors and batch.errors.data) or []
            reasons = "; ".join(str(error.message) for error in errors) or "no reason given"
            raise RuntimeError(f"batch {batch_id} failed: {reasons}; correct the cause and run again.")
        return answered


def _find(client, tag: str) -> str:
    return next((batch.id for batch in client.batches.list() if (batch.metadata or {}).get(_TAG) == tag), "")
