"""What fetching backups costs at their provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kamalstream.facts import PROVIDERS

# Litestream lists each of its levels several times: 41 for one database with 0.5.17, counted by
# SeaweedFS, and a page more for each thousand objects of a level.
_LISTS = 100


@dataclass(frozen=True)
class Cost:
    """Money at most, as if nothing were left of what is free; `at_most` is None where not known.

    `free` is how many GB a month are free. `source` is where the price of traffic is from.
    """

    provider: str
    currency: str = ""
    at_most: float | None = None
    free: int = 0
    source: str = ""

    def in_words(self) -> str:
        """Return it as a sentence."""
        if self.at_most is None:
            return f"What {self.provider} charges for that is not known."
        if not self.at_most:
            return f"{self.provider} charges nothing for that."
        money = f"{self.currency}{self.at_most:.2f}"
        if self.at_most < 0.01:
            money = f"less than {self.currency}0.01"
        free = f", and nothing for the first {self.free:,} GB a month" if self.free else ""
        return f"{self.provider} charges {money} for that at most{free}."


def cost(provider: str, databases: int, files: int, size: int) -> Cost:
    """Reckon what it costs at `provider` (of facts/providers.yml) to fetch that.

    Args:
        provider: its key; one that is not there is unknown.
        databases: how many backups, each of which is listed.
        files: how many objects.
        size: their bytes.
    """
    known: Mapping[str, Any] = PROVIDERS.get(provider, {})
    label = str(known.get("label", provider))
    prices: Mapping[str, Any] = known.get("prices", {})
    traffic: Mapping[str, Any] | None = prices.get("egress")
    if traffic is None:
        return Cost(label)
    made = {"list": databases * _LISTS, "get": files}
    requests = sum(
        made.get(kind, 0) * one["million"] / 1e6 for one in prices["requests"] for kind in one["of"]
    )
    at_most = requests + size / 1e9 * traffic["gb"]
    return Cost(label, prices["currency"], round(at_most, 6), traffic["free"], traffic["source"])
