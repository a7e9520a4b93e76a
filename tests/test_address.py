"""What is pasted in place of a provider: endpoints, addresses of buckets, pages of consoles."""

from __future__ import annotations

import pytest

from kamalstream.ask.address import answers_of
from kamalstream.ask.validators import problems
from kamalstream.facts import PROVIDERS

from .fixtures_template import ANSWERS

ACCOUNT = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("address", "provider", "region", "bucket"),
    [
        ("https://my-app.nyc3.digitaloceanspaces.com", "digitalocean", "nyc3", "my-app"),
        ("nyc3.digitaloceanspaces.com", "digitalocean", "nyc3", None),
        (" https://ams3.digitaloceanspaces.com/my-app/ ", "digitalocean", "ams3", "my-app"),
        ("s3.eu-central-003.backblazeb2.com", "backblaze", "eu-central-003", None),
        ("https://my-app.s3.eu-west-1.amazonaws.com/", "aws", "eu-west-1", "my-app"),
        (
            "https://us-east-1.console.aws.amazon.com/s3/buckets/my-app?tab=objects&region=eu-west-1",
            "aws",
            "eu-west-1",
            "my-app",
        ),
        (f"https://{ACCOUNT}.r2.cloudflarestorage.com", "cloudflare_r2", "auto", None),
        (f"https://{ACCOUNT}.eu.r2.cloudflarestorage.com/b-1", "cloudflare_r2", "auto", "b-1"),
        (
            f"https://dash.cloudflare.com/{ACCOUNT}/r2/eu/buckets/my-app/settings",
            "cloudflare_r2",
            "auto",
            "my-app",
        ),
        ("https://fsn1.your-objectstorage.com", "hetzner", "fsn1", None),
        (
            "https://console.scaleway.com/object-storage/buckets/nl-ams/my-app/files",
            "scaleway",
            "nl-ams",
            "my-app",
        ),
        ("https://my-app.t3.storage.dev", "tigris", "auto", "my-app"),
        ("https://console.cloud.google.com/storage/browser/my-app", "gcs", "us-east-1", "my-app"),
        ("https://ref.supabase.co/storage/v1/s3", "supabase", None, None),
        ("https://my-app.s3.eu-west-par.io.cloud.ovh.net", "ovh", "eu-west-par", "my-app"),
        ("s3.us-west-1.idrivee2.com", "idrive_e2", "us-west-1", None),
        ("https://sos-ch-gva-2.exo.io/my-app", "exoscale", "ch-gva-2", "my-app"),
        ("https://my-app.7mf5k.upcloudobjects.com", "upcloud", None, "my-app"),
        ("https://gateway.storjshare.io/my-app", "storj", "global", "my-app"),
        ("https://de-s3.storage.bunnycdn.com/my-app", "bunny", "de", "my-app"),
        ("http://10.0.0.5:9000/my-app", "custom", None, "my-app"),
    ],
)
def test_an_address_gives_provider_region_and_bucket(
    address: str, provider: str, region: str | None, bucket: str | None
) -> None:
    found = answers_of(address)
    assert (found["storage_provider"], found.get("region")) == (provider, region)
    assert found.get("bucket") == bucket
    given = {key: value for key, value in ANSWERS.items() if key not in found}
    assert problems({**given, **found}) == {}


def test_the_jurisdiction_of_a_bucket_is_part_of_its_address() -> None:
    page = f"https://dash.cloudflare.com/{ACCOUNT}/r2/{{}}/buckets/my-app"
    endpoint = "https://{}.r2.cloudflarestorage.com"
    assert answers_of(page.format("eu"))["endpoint"] == endpoint.format(f"{ACCOUNT}.eu")
    assert answers_of(page.format("default"))["endpoint"] == endpoint.format(ACCOUNT)


@pytest.mark.parametrize("text", ["", "my-app-backups", "fish", "https://", "us-east-1"])
def test_what_is_no_address_gives_nothing(text: str) -> None:
    assert answers_of(text) == {}


@pytest.mark.parametrize("name", [name for name, one in PROVIDERS.items() if "regions" in one])
def test_every_region_is_found_in_its_endpoint(name: str) -> None:
    for region in PROVIDERS[name]["regions"]:
        endpoint = PROVIDERS[name]["endpoint"].replace("REGION", region)
        address = endpoint or f"https://s3.{region}.amazonaws.com"
        expected = {"storage_provider": name, "region": region, "endpoint": endpoint}
        assert answers_of(address) == expected
