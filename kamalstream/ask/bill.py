"""What the backups will cost, in words; it is reckoned in bill.jinja, for the guide as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kamalstream.ask.validators import form
from kamalstream.facts import PROVIDERS


@dataclass(frozen=True)
class Bill:
    """What a month makes, by "idle" and "busy" (the load of facts/replication.yml).

    `requests` a minute, by kind; `money` for them; `copies`: GB stored for each GB of databases.
    """

    requests: Mapping[str, Mapping[str, float]]
    money: Mapping[str, float]
    copies: float

    def a_month(self, when: str) -> float:
        """Return how many requests are made in a month of 30 days."""
        return sum(self.requests[when].values()) * 30 * 24 * 60


def bill(answers: Mapping[str, Any]) -> Bill:
    """Estimate the bill for `answers`; docs/bill.md says how."""
    found = form().worked_out("bill", answers)
    return Bill(
        {when: found[when]["requests"] for when in ("idle", "busy")},
        {when: found[when]["money"] for when in ("idle", "busy")},
        found["copies"],
    )


def in_words(answers: Mapping[str, Any]) -> str:
    """Return the estimate for `answers` as a paragraph."""
    estimate, provider = bill(answers), PROVIDERS[answers["storage_provider"]]
    prices = provider.get("prices")
    requests = (
        f"{_round(estimate.a_month('idle'))} requests a month at rest, "
        f"{_round(estimate.a_month('busy'))} with half a write a second and two more to the queue, "
        "day and night"
    )
    copies = f"each GB of databases takes up to {estimate.copies:.0f} GB there"
    if not prices:
        return f"The backups make {requests}; {copies}."
    money, base = prices["currency"], prices["base"]
    storage = f"{copies}, at {money}{prices['storage']:g} a month each"
    included = f" {prices['included']} GB are included." if prices["included"] else ""
    flat = f"{money}{base:g} a month" if base else "nothing"
    if not prices["requests"]:
        return (
            f"{provider['label']} charges {flat}, whatever is written: requests are free "
            f"(estimated: {requests}). Storage: {storage}.{included}"
        )
    idle, busy = (f"{money}{estimate.money[when]:.2f}" for when in ("idle", "busy"))
    return (
        f"Estimated bill of {provider['label']}: {idle} to {busy} a month for requests "
        f"({requests}). Storage: {storage}.{included}"
    )


def _round(number: float) -> str:
    """Return a number as one says it: 1,300 or 2.2 million."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:.1f} million"
    digits = max(0, len(str(round(number))) - 2)
    return f"{round(number, -digits):,.0f}"
