"""End to end: a real Docker engine, the real Kamal over ssh, the real Litestream, a real S3 server.

Run as root by `make e2e`; needs the Debian packages in `NEEDED` and the optional `programs` of
pyproject.toml. What has to be played by something else, and why:

- images of Docker Hub cannot be pulled: e2e/images says what stands in for each;
- rubygems.org: the gems are Debian's, in place before `bundle install` (e2e/images/ruby);
- docker's buildx plugin and BuildKit: e2e/docker_buildx.py, over Docker's classic builder;
- Thruster and Propshaft, which Debian 13 does not have: two files of e2e/subject.

All else is the real thing, and nothing that Copier rendered is changed.
"""

NEEDED = (
    "busybox-static",
    "docker-registry",
    "docker.io",
    "git",
    "iproute2",
    "mmdebstrap",
    "openssh-server",
    "ruby",
    "slirp4netns",
)
