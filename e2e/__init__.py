"""End to end: what `rails new` makes, the real Kamal over ssh, a Docker engine, Litestream and S3.

Run as root by `make e2e`; needs the Debian packages in `NEEDED` and the optional `programs` of
pyproject.toml. Nothing that Copier rendered is changed. What has to be played by something else is
known to e2e/outside.py, printed at the end of a run and written to docs/reliability.md.
"""

NEEDED = (
    "busybox-static",
    "chromium",
    "chromium-driver",
    "docker-registry",
    "docker.io",
    "git",
    "iproute2",
    "mmdebstrap",
    "openssh-server",
    "ruby",
    "slirp4netns",
)
