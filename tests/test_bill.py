"""What the backups will cost, where it is said; `make bench` measures whether it is so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kamalstream import cli
from kamalstream.ask.bill import bill, in_words
from kamalstream.ask.validators import completed
from kamalstream.facts import PROVIDERS

from .fixtures_template import ANSWERS

#: Of the usual configuration for Rails 8, measured: docs/bill.md.
USUAL = 278


def answers(provider: str, **others: Any) -> dict[str, Any]:
    return completed({**ANSWERS, "storage_provider": provider, **others})


@pytest.mark.parametrize("series", ["0.5", "0.3"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_defaults_make_a_quarter_of_the_usual_requests_at_most(
    provider: str, series: str
) -> None:
    found = bill(answers(provider, litestream_version=series))
    assert sum(found.requests["busy"].values()) < USUAL / 4


@pytest.mark.parametrize("series", ["0.5", "0.3"])
def test_databases_that_nothing_writes_to_cost_next_to_nothing(series: str) -> None:
    only = {"primary": "storage/production.sqlite3"}
    found = bill(answers("aws", databases=only, litestream_version=series))
    assert found.a_month("idle") < 10_000
    assert found.money["idle"] < 0.05


def test_what_is_chosen_shows_in_the_bill() -> None:
    often, seldom = (bill(answers("aws", queue_loss=loss)) for loss in ("2s", "1m"))
    assert often.money["busy"] > 2 * seldom.money["busy"]
    long, short = (bill(answers("aws", retention=kept)) for kept in ("8760h", "24h"))
    assert long.requests["busy"]["list"] > 5 * short.requests["busy"]["list"]
    assert (long.copies, short.copies) == (366, 2)
    alone = bill(answers("aws"))
    staging = bill(answers("aws", destinations={"staging": {}}))
    assert alone.money["busy"] < staging.money["busy"] < alone.money["busy"] + 2


def test_what_is_free_is_not_charged_for() -> None:
    assert bill(answers("cloudflare_r2")).money["idle"] == 0
    found = bill(answers("backblaze"))
    charged = found.requests["busy"]["list"] * 30 * 24 * 60 - 75_000
    assert found.money["busy"] == pytest.approx(charged * 4 / 1_000_000, rel=0.01)


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("aws", "Estimated bill of AWS S3: $1.46 to $9.17 a month for requests (300,000"),
        ("digitalocean", "DigitalOcean Spaces charges $5 a month, whatever is written"),
        ("scaleway", "Scaleway Object Storage charges nothing, whatever is written"),
        ("minio", "The backups make 300,000 requests a month at rest, 2.3 million with half"),
    ],
)
def test_the_bill_is_said_in_words(provider: str, said: str) -> None:
    words = in_words(answers(provider))
    assert words.startswith(said)
    assert "each GB of databases takes up to 31 GB" in words


def test_the_guide_and_the_check_say_it(
    deployable: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = deployable(tmp_path / "notes", storage_provider="aws")
    guide = (app / "docs/DEPLOYMENT.md").read_text("utf-8")
    assert "| the app at rest | 300,000 | $1.46 |" in guide
    assert "Of `queue` it is the last 10 seconds" in guide
    monkeypatch.setattr(cli, "check_with_programs", lambda app, on_step: [])
    monkeypatch.setattr("sys.argv", ["kamalstream", "check", str(app)])
    with pytest.raises(SystemExit):
        cli.main()
    assert "Estimated bill of AWS S3" in capsys.readouterr().out
