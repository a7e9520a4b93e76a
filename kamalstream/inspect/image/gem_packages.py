"""Debian packages that gems need."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from kamalstream.inspect.code_lines import code_lines
from kamalstream.inspect.image.dockerfile import DockerfilePackages

# Gem → packages that the image needs, and that building the gem needs.
_PACKAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "image_processing": (("libvips",), ("libvips-dev",)),
    "ruby-vips": (("libvips",), ("libvips-dev",)),
    "mini_magick": (("imagemagick",), ()),
    "rmagick": (("imagemagick",), ("libmagickwand-dev",)),
    "pg": (("postgresql-client",), ("libpq-dev",)),
    "mysql2": (("default-mysql-client",), ("default-libmysqlclient-dev",)),
    "charlock_holmes": (("libicu-dev",), ("libicu-dev",)),
    "rugged": (("libssh2-1",), ("cmake", "libssh2-1-dev", "libssl-dev")),
    "grover": (("chromium",), ()),
    "ferrum": (("chromium",), ()),
}
# What says that it is used: image_processing brings the one along, cuprite (for tests) the other.
_BROUGHT_ALONG = {
    "mini_magick": r"\bgem[\s(]+[\"']mini_magick[\"']|variant_processor\s*=\s*:mini_magick",
    "ferrum": r"\bgem[\s(]+[\"']ferrum",
}


def gem_packages(app: Path, gems: Iterable[str]) -> dict[str, DockerfilePackages]:
    """Return what those of the `gems` need that need a package: gem → packages.

    A gem that another one brings along counts only where the app in the folder `app` asks for it.
    """
    return {
        gem: DockerfilePackages(*_PACKAGES[gem])
        for gem in gems
        if gem in _PACKAGES
        and (gem not in _BROUGHT_ALONG or _is_asked_for(app, _BROUGHT_ALONG[gem]))
    }


def _is_asked_for(app: Path, said: str) -> bool:
    files = ("Gemfile", "config/application.rb", "config/environments/production.rb")
    return any(re.search(said, line) for file in files for _, line in code_lines(app / file))
