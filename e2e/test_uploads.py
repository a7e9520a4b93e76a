"""Uploaded files when something breaks: what was copied comes back, and what was not is named."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from e2e import app
from e2e.stage import Stage
from e2e.steps import SYNCED, container, setup

# A new file is in the bucket within a minute.
COPIED = 60
# In the rows of a server that is lost meanwhile, the newest are the last.
UPLOADS = """
COUNT.times do |number|
  content = SecureRandom.random_bytes(SIZE)
  Note.create!(body: %q(a file), picture: {io: StringIO.new(content), filename: %q(a.bin)})
  sleep PAUSE
end
"""


def upload(stage: Stage, count: int, size: int = 5_000, pause: float = 0) -> None:
    """Have the app store `count` files, without a visitor; ends where the server is lost."""
    code = UPLOADS.replace("COUNT", str(count)).replace("SIZE", str(size))
    code = code.replace("PAUSE", str(pause))
    command = ("exec", container(stage, "web"), "bin/rails", "runner", code)
    stage.engine.docker(*command, check=False)


def files(stage: Stage) -> list[str]:
    """Return the uploaded files that are on the server."""
    script = "cd /rails/storage && find . -path './.*' -prune -o -path './??/??/*' -type f -print"
    return stage.engine.docker("exec", container(stage, "web"), "sh", "-c", script).split()


def wait_until_copied(stage: Stage, within: float = COPIED) -> None:
    """Wait until every uploaded file of the server is in the bucket, and none is to come."""
    ends = time.monotonic() + within
    while True:
        status = ("exec", container(stage, "uploads"), "copy-uploads", "status")
        said = stage.engine.docker(*status, check=False)
        count = re.search(r"^(\d+) files .* are here and in the bucket", said, re.M)
        if count and int(count[1]) == len(files(stage)):
            return
        assert time.monotonic() < ends, said
        time.sleep(2)


def in_the_bucket(stage: Stage) -> list[str]:
    """Return the uploaded files that are in the bucket."""
    listing = ("copy-uploads", "lsf", "--recursive", "--files-only", "uploads:files")
    listed = stage.engine.docker("exec", container(stage, "uploads"), *listing)
    return [f"./{path}" for path in listed.split()]


def wait_until_said(stage: Stage, words: str) -> None:
    """Wait until the accessory's log has `words`."""
    ends = time.monotonic() + 90
    while words not in (
        said := stage.engine.docker("logs", "--since", "60s", container(stage, "uploads"))
    ):
        assert time.monotonic() < ends, said
        time.sleep(0.5)


def test_the_bucket_is_away_while_files_are_uploaded(
    deployed: Stage, drill: Callable[..., None]
) -> None:
    before = files(deployed)
    deployed.s3.stop()
    try:
        upload(deployed, 20)
        wait_until_said(deployed, "it is tried again")
        said = deployed.kamal("uploads").text
    finally:
        deployed.s3.start()
    assert "20 (100000 bytes) are here and not in the bucket yet" in said, said
    assert "it is tried again" in said
    here = files(deployed)
    assert len(here) == len(before) + 20
    wait_until_copied(deployed)
    drill(
        "Bucket unreachable while files are uploaded",
        {"files": here},
        {"files": in_the_bucket(deployed)},
        "`kamal uploads` says how many wait; copied when it was back",
    )


def test_the_copy_is_killed_again_and_again(deployed: Stage, drill: Callable[..., None]) -> None:
    upload(deployed, 300, size=30_000)
    kill_again_and_again(deployed)
    wait_until_copied(deployed)
    drill(
        "`uploads` killed three times while it copies 300 files",
        {"files": files(deployed)},
        {"files": in_the_bucket(deployed)},
        "each went on from there",
    )


def kill_again_and_again(stage: Stage) -> None:
    for after in (0.3, 0.6, 0.9):
        time.sleep(after)
        name = container(stage, "uploads")
        stage.engine.docker("kill", "--signal", "KILL", name)
        stage.engine.docker("start", name)


# Addresses of the oldest file: through the app, and by way of the disk service.
ADDRESSES = """
picture = Note.joins(:picture_attachment).order(:id).first.picture
routes = Rails.application.routes.url_helpers
here = {only_path: true}
puts routes.rails_storage_proxy_path(picture, **here)
puts routes.rails_storage_redirect_path(picture, **here)
"""


def test_the_server_is_lost_under_uploads_and_the_new_disk_is_full_at_first_and_later(
    deployed: Stage, drill: Callable[..., None]
) -> None:
    docker = deployed.engine.docker
    wait_until_copied(deployed)
    copied = files(deployed)
    uploading = threading.Thread(target=upload, args=(deployed, 400), kwargs={"pause": 0.1})
    uploading.start()
    while len(files(deployed)) < len(copied) + 20:
        time.sleep(0.2)
    time.sleep(SYNCED)
    deployed.server.lose()
    uploading.join()

    options = ("--opt", "type=tmpfs", "--opt", "device=tmpfs")
    options += ("--opt", "o=size=400m,uid=1000,gid=1000")
    docker("volume", "create", "--driver", "local", *options, f"{app.NAME}_storage")
    mount = ("--volume", f"{app.NAME}_storage:/s", "kamalstream/debian")
    holder = docker("run", "--detach", *mount, "sleep", "900")

    def fill(size: str) -> None:
        program = f"dd if=/dev/zero of=/s/fill bs=1M {size} 2>/dev/null; true"
        docker("exec", holder, "sh", "-c", program)

    # Less than what is kept free for the databases.
    fill("count=200")
    setup(deployed)
    runner = ("exec", container(deployed, "web"), "bin/rails", "runner", ADDRESSES)
    through_the_app, redirect = docker(*runner).split()
    by_disk = deployed.site.answer(redirect)[1]
    wait_until_said(deployed, "No room for the next")
    assert "No room for the next" in deployed.kamal("uploads").text
    assert deployed.site.answer(through_the_app)[0] == 404
    assert deployed.site.answer(by_disk)[0] == 404
    assert deployed.site.answer("/up")[0] == 200
    assert files(deployed) == []
    docker("exec", holder, "rm", "/s/fill")
    kill_again_and_again(deployed)
    wait_until_copied(deployed)
    assert deployed.site.answer(through_the_app)[0] == 200
    assert deployed.site.answer(by_disk)[0] == 200
    after = files(deployed)
    said = deployed.developer.run(deployed.folder, "bin/restore", "--check-files").text
    found = re.search(r"(?:All|(\d+) of) (\d+) uploaded files are here and whole", said)
    assert found, said
    named, whole = int(found[2]), int(found[1] or found[2])
    assert whole >= len(copied)
    # Each that was not copied yet is a row without its file, and none is damaged.
    assert said.count(" lacks") == min(named - whole, 20), (said, named, whole, len(copied))
    assert "has another checksum" not in said
    assert "bytes instead of" not in said
    forgotten = (
        "Note.find_each { |note| note.destroy if note.picture.attached? && !note.picture_there? }"
    )
    docker("exec", container(deployed, "web"), "bin/rails", "runner", forgotten)
    time.sleep(SYNCED)
    drill(
        "Server lost while files are uploaded; no room for them on the new one's disk at first; "
        "`uploads` killed three times on their way back",
        {"files": copied},
        {"files": after},
        "the app is up and answers 404 for them until there is room; what was copied is back; of "
        f"the last seconds {named - whole} rows have no file, and are named by "
        "`bin/restore --check-files`",
    )

    uploads = container(deployed, "uploads")
    docker("pause", uploads)
    upload(deployed, 20)
    fill("")
    docker("unpause", uploads)
    wait_until_said(deployed, "No room for what is known of uploaded files")
    docker("exec", holder, "rm", "/s/fill")
    here = files(deployed)
    assert len(here) == len(after) + 20
    wait_until_copied(deployed)
    drill(
        "Disk full before uploaded files are copied",
        {"files": here},
        {"files": in_the_bucket(deployed)},
        "none is taken for deleted; copied once there is room again",
    )
