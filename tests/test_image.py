"""The image adapts to the app: what is found, and what the Dockerfile becomes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kamalstream import facts, programs
from kamalstream.ask.image import image, still_pinned
from kamalstream.check import check_files
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import inspect_app
from kamalstream.inspect.image.dockerfile import dockerfile_packages
from kamalstream.inspect.stock import is_stock

from .conftest import requires
from .fixtures_template import render

Fresh = Callable[..., Path]


def package(**content: object) -> str:
    return json.dumps({"scripts": {"build": "esbuild app.js"}, **content})


def with_files(app: Path, files: dict[str, str]) -> Path:
    for file, text in files.items():
        (app / file).parent.mkdir(parents=True, exist_ok=True)
        (app / file).write_text(text)
    return app


def with_gems(app: Path, *names: str) -> Path:
    lock = (app / "Gemfile.lock").read_text()
    added = "".join(f"    {name} (1.0.0)\n" for name in names)
    (app / "Gemfile.lock").write_text(lock.replace("  specs:\n", f"  specs:\n{added}", 1))
    return app


def without_gems(app: Path, *names: str) -> Path:
    lines = (app / "Gemfile.lock").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.strip().startswith(names)]
    (app / "Gemfile.lock").write_text("".join(kept))
    return app


def found(app: Path) -> dict[str, Any]:
    return image(inspect_app(app))


def test_a_fresh_app_needs_nothing_else(sample_app: Callable[[str], Path]) -> None:
    assert found(sample_app("rails_8_1")) == {}


def test_assets_are_where_rails_lives_in_an_image_of_the_owners(
    sample_app: Callable[[str], Path],
) -> None:
    app = with_files(
        sample_app("rails_8_1"), {"Dockerfile": "FROM ruby:3.4\nWORKDIR /app\nCOPY . .\n"}
    )
    assert found(app)["asset_path"] == "/app/public/assets"


@pytest.mark.parametrize("gem", ["image_processing", "ruby-vips"])
def test_libvips_comes_with_the_gems_that_use_it(
    sample_app: Callable[[str], Path], gem: str
) -> None:
    app = sample_app("rails_8_0")
    assert "image_processing" not in inspect_app(app).lock.gems
    assert found(app) == {
        "packages": ["curl", "libjemalloc2", "sqlite3"],
        "build_packages": ["build-essential", "git", "libyaml-dev", "pkg-config"],
    }
    assert "packages" not in found(with_gems(app, gem))


def test_gems_that_are_not_there_take_their_steps_with_them(
    sample_app: Callable[[str], Path],
) -> None:
    app = without_gems(
        sample_app("rails_8_1"), "bootsnap", "thruster", "solid_queue", "propshaft", "sprockets"
    )
    assert found(app) == {
        "thruster": False,
        "bootsnap": False,
        "solid_queue": False,
        "asset_path": "",
    }


@pytest.mark.parametrize(
    ("gem", "here", "build"),
    [
        ("pg", "postgresql-client", "libpq-dev"),
        ("mysql2", "default-mysql-client", "default-libmysqlclient-dev"),
        ("rmagick", "imagemagick", "libmagickwand-dev"),
        ("grover", "chromium", ""),
    ],
)
def test_gems_bring_their_packages(
    sample_app: Callable[[str], Path], gem: str, here: str, build: str
) -> None:
    what = found(with_gems(sample_app("rails_8_1"), gem))
    assert here in what["packages"]
    assert set(facts.IMAGE["packages"]) < set(what["packages"])
    assert not build or build in what["build_packages"]


@pytest.mark.parametrize("written", ["test:ci", "test ci"])
def test_groups_that_the_dockerfile_leaves_out_stay_out(
    sample_app: Callable[[str], Path], written: str
) -> None:
    app = sample_app("rails_8_1")
    dockerfile = (app / "Dockerfile").read_text()
    changed = dockerfile.replace('WITHOUT="development"', f'WITHOUT="{written}"')
    assert changed != dockerfile
    (app / "Dockerfile").write_text(changed)
    assert found(app)["bundle_without"] == "test:ci"


@pytest.mark.parametrize(
    ("gem", "asking", "package"),
    [("mini_magick", "mini_magick", "imagemagick"), ("ferrum", "ferrum_pdf", "chromium")],
)
def test_gems_that_others_bring_along_count_only_where_they_are_asked_for(
    sample_app: Callable[[str], Path], gem: str, asking: str, package: str
) -> None:
    app = with_gems(sample_app("rails_8_1"), gem)
    assert "packages" not in found(app)
    with (app / "Gemfile").open("a") as gemfile:
        gemfile.write(f'\ngem "{asking}"\n')
    assert package in found(app)["packages"]


def test_packages_of_the_dockerfile_that_was_there_stay(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM ruby:3.4 AS base\n# apt-get install nothing\n"
        "RUN apt-get update -qq && \\\n    apt-get install -y curl ffmpeg \\\n"
        "      poppler-utils=1.0 && rm -rf /var/lib/apt\n"
        "FROM base AS build\nRUN apt-get -qq install -y libpq-dev; bundle install\n"
        "FROM node:22 AS assets\nRUN apt install -y python3 $EXTRA\n"
        "FROM base\nCOPY --from=build /rails /rails\nRUN apt-get install -y tini\n"
    )
    packages = dockerfile_packages(tmp_path)
    assert packages.image == ("curl", "ffmpeg", "poppler-utils=1.0", "tini")
    assert packages.build == ("libpq-dev", "python3")


def test_packages_of_a_script_stay(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM ruby:3.4\nRUN <<EOF\nset -e\napt-get update\napt-get install -y ffmpeg\nEOF\n"
        "RUN apt-get install -y tini\n"
    )
    assert dockerfile_packages(tmp_path).image == ("ffmpeg", "tini")


def test_packages_of_a_source_that_is_not_debian_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM ruby:3.4-slim\nRUN apt-get update && apt-get install -y curl gnupg && \\\n"
        "    echo 'deb https://example.com/deb x; y' > /etc/apt/sources.list.d/x.list && \\\n"
        "    apt-get update && apt-get install -y google-chrome-stable\n"
        "RUN apt-get install -y ffmpeg\n"
    )
    assert dockerfile_packages(tmp_path).image == ("curl", "ffmpeg", "gnupg")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"package.json": package(), "package-lock.json": "{}", ".node-version": "v20.11.1\n"},
            {"javascript": "npm", "node": "20.11.1"},
        ),
        (
            {"package.json": package(packageManager="yarn@1.22.19"), "yarn.lock": ""},
            {"javascript": "yarn", "javascript_version": "1.22.19"},
        ),
        (
            {
                "package.json": package(packageManager="pnpm@9.1.0", engines={"node": ">=20 <23"}),
                "pnpm-lock.yaml": "",
            },
            {"javascript": "pnpm", "javascript_version": "9.1.0", "node": "20"},
        ),
        (
            {"package.json": package(), "bun.lock": "{}", ".bun-version": "1.2.3"},
            {"javascript": "bun", "javascript_version": "1.2.3"},
        ),
        ({"package.json": package(), "yarn.lock": "", ".nvmrc": "lts/*"}, {"javascript": "yarn"}),
        (
            {
                "package.json": package(),
                "yarn.lock": "",
                "Dockerfile": "FROM ruby\nARG NODE_VERSION=20.1.0\nARG YARN_VERSION=1.22.19\n",
            },
            {"javascript": "yarn", "javascript_version": "1.22.19", "node": "20.1.0"},
        ),
        (
            {
                "package.json": package(),
                "bun.lock": "{}",
                "Dockerfile": 'FROM ruby\nARG BUN_VERSION="1.3.9"\n',
            },
            {"javascript": "bun", "javascript_version": "1.3.9"},
        ),
    ],
)
def test_the_javascript_side_is_found(
    sample_app: Callable[[str], Path], files: dict[str, str], expected: dict[str, str]
) -> None:
    what = found(with_files(sample_app("rails_8_1"), files))
    listed = what.pop("javascript_files")
    with_node = set(what.pop("build_packages", ())) - set(facts.IMAGE["build_packages"])
    assert what == expected
    assert with_node == (set() if what["javascript"] == "bun" else {"python-is-python3"})
    assert set(listed) == {
        name for name in files if name.startswith(("package", "yarn", "pnpm", "bun."))
    }


@pytest.mark.parametrize(
    "files",
    [
        {"package.json": package(workspaces=["packages/*"])},
        {"package.json": package(dependencies={"mine": "file:./mine"})},
        {"package.json": package(), ".yarn/releases/yarn-4.1.0.cjs": ""},
    ],
)
def test_an_install_that_reads_the_code_comes_after_it(
    sample_app: Callable[[str], Path], files: dict[str, str]
) -> None:
    what = found(with_files(sample_app("rails_8_1"), {**files, "yarn.lock": ""}))
    assert what["javascript"] == "yarn"
    assert "javascript_files" not in what


@pytest.mark.parametrize(
    ("files", "version"),
    [
        ({"yarn.lock": "__metadata:\n  version: 8\n"}, "4"),
        ({"yarn.lock": "__metadata:\n  version: 6\n  cacheKey: 8\n"}, "3"),
        ({"yarn.lock": "# yarn lockfile v1\n"}, None),
        (
            {
                "yarn.lock": "__metadata:\n  version: 8\n",
                ".yarnrc.yml": "nodeLinker: pnp\nyarnPath: .yarn/releases/yarn-4.6.0.cjs\n",
                "Dockerfile": "FROM ruby\nARG YARN_VERSION=1.22.19\n",
            },
            "4.6.0",
        ),
    ],
)
def test_yarn_is_one_that_takes_the_lockfile(
    sample_app: Callable[[str], Path], files: dict[str, str], version: str | None
) -> None:
    what = found(with_files(sample_app("rails_8_1"), {**files, "package.json": package()}))
    assert (what["javascript"], what.get("javascript_version")) == ("yarn", version)


def test_versions_that_a_replaced_dockerfile_said_are_not_lost_to_what_is_less_exact() -> None:
    before = {"javascript": "yarn", "javascript_version": "4.18.1", "node": "22.11.0"}
    less = {"javascript": "yarn", "javascript_version": "4", "node": "22"}
    assert still_pinned(less, before) == before
    assert still_pinned({"javascript": "yarn"}, before) == before
    other = {"javascript": "yarn", "javascript_version": "3", "node": "22.1"}
    assert still_pinned(other, before) == other
    assert still_pinned({"javascript": "npm"}, before) == {"javascript": "npm"}


@pytest.mark.parametrize(
    ("files", "manager"),
    [
        ({"package.json": package(), "yarn.lock": "", "package-lock.json": "{}"}, "yarn"),
        ({"package.json": package(), "pnpm-lock.yaml": "", "package-lock.json": "{}"}, "pnpm"),
        ({"package.json": package(), "bun.lockb": "", "yarn.lock": ""}, "bun"),
        (
            {
                "package.json": package(packageManager="npm@11.0.0"),
                "yarn.lock": "",
                "package-lock.json": "{}",
            },
            "npm",
        ),
    ],
)
def test_of_two_lockfiles_the_one_counts_that_rails_builds_with(
    sample_app: Callable[[str], Path], files: dict[str, str], manager: str
) -> None:
    what = found(with_files(sample_app("rails_8_1"), files))
    assert what["javascript"] == manager
    assert {*what["javascript_files"]} < {"package.json", *files}


@pytest.mark.parametrize(
    ("gem", "files", "expected"),
    [
        ("jsbundling-rails", {}, {"javascript": "yarn"}),
        (
            "cssbundling-rails",
            {
                "package.json": "{}",
                ".node-version": "22.1.0\n",
                "Dockerfile": "FROM ruby\nARG YARN_VERSION=4.18.1\n",
            },
            {"javascript": "yarn", "javascript_version": "4.18.1", "node": "22.1.0"},
        ),
        ("jsbundling-rails", {"bun.config.js": ""}, {"javascript": "bun"}),
    ],
)
def test_node_stays_where_there_is_no_lockfile_yet(
    sample_app: Callable[[str], Path], gem: str, files: dict[str, str], expected: dict[str, str]
) -> None:
    what = found(with_gems(with_files(sample_app("rails_8_1"), files), gem))
    what.pop("build_packages", None)
    assert what == expected


def test_node_of_debian_is_not_taken_over_beside_node(sample_app: Callable[[str], Path]) -> None:
    app = with_files(
        sample_app("rails_8_1"), {"package.json": package(), "package-lock.json": "{}"}
    )
    (app / "Dockerfile").write_text(
        "FROM ruby:3.4 AS base\nRUN apt-get install -y nodejs\n"
        "FROM base AS build\nRUN apt-get install -y node-gyp nodejs npm cmake\n"
        "FROM base\nCOPY --from=build /rails /rails\n"
    )
    what = found(app)
    assert "nodejs" in what["packages"], "it may be run there"
    assert {"cmake", "python-is-python3"} < {*what["build_packages"]}
    assert not {"node-gyp", "nodejs", "npm"} & {*what["build_packages"]}


@pytest.mark.parametrize(
    ("program", "mode"),
    [
        ("#!/usr/bin/env ruby\n", 0o644),
        ("#!/usr/bin/env ruby\r\n", 0o755),
        ("#!/usr/bin/env ruby.exe\n", 0o755),
    ],
)
def test_programs_as_windows_has_them_are_fixed_in_the_image(
    sample_app: Callable[[str], Path], program: str, mode: int
) -> None:
    app = sample_app("rails_8_1")
    (app / "bin/rails").write_bytes(program.encode())
    (app / "bin/rails").chmod(mode)
    assert found(app) == {"bin_fixups": True}


@pytest.mark.parametrize(
    "fixup", ["chmod +x bin/*", 'sed -i "s/\\r$//g" bin/*', "sed -i 's/ruby3.4$/ruby/' bin/*"]
)
def test_fixups_that_rails_wrote_stay(sample_app: Callable[[str], Path], fixup: str) -> None:
    app = sample_app("rails_8_1")
    dockerfile = (app / "Dockerfile").read_text()
    changed = dockerfile.replace(
        "# Precompiling assets",
        f"# Adjust binfiles to be executable on Linux\nRUN {fixup}\n\n# Precompiling assets",
    )
    assert is_stock("Dockerfile", changed)
    (app / "Dockerfile").write_text(changed)
    assert found(app) == {"bin_fixups": True}


def test_a_package_json_for_linters_needs_no_node(sample_app: Callable[[str], Path]) -> None:
    files = {"package.json": json.dumps({"devDependencies": {"eslint": "9"}}), "yarn.lock": ""}
    assert found(with_files(sample_app("rails_8_1"), files)) == {}


def test_what_bundler_reads_is_copied_before_it_runs(sample_app: Callable[[str], Path]) -> None:
    app = sample_app("rails_8_1")
    with_files(app, {"engines/shop/shop.gemspec": "", ".tool-versions": "ruby 3.4.7\n"})
    with_files(app, {"gemfiles/lint.gemfile": ""})
    with (app / "Gemfile").open("a") as gemfile:
        gemfile.write('\nruby file: ".tool-versions"\neval_gemfile "gemfiles/lint.gemfile"\n')
    lock = (app / "Gemfile.lock").read_text()
    (app / "Gemfile.lock").write_text(
        "PATH\n  remote: engines/shop\n  specs:\n    shop (0.1)\n\n" + lock
    )
    assert found(app) == {
        "bundle_files": ["Gemfile", "Gemfile.lock", ".tool-versions"],
        "local_gems": ["engines/shop", "gemfiles"],
    }


@pytest.mark.parametrize(
    ("gemfile", "lock", "folders"),
    [
        ('gem "shop", path: "vendor/gems/shop"', "vendor/gems/shop", ["vendor/gems/shop"]),
        ('Dir["vendor/gems/*/Gemfile"].each { eval_gemfile _1 }', "", ["vendor/gems"]),
        ('path "#{__dir__}/vendor" do gem "shop" end', "vendor/gems", ["vendor"]),
        ('# gem "shop", path: "vendor/gems/shop"', "", []),
        ('gem "shop", path: "vendor/not_there"', "", []),
    ],
)
def test_vendored_gems_are_copied_before_bundler_runs(
    sample_app: Callable[[str], Path], gemfile: str, lock: str, folders: list[str]
) -> None:
    app = with_files(sample_app("rails_8_1"), {"vendor/gems/shop/shop.gemspec": ""})
    with (app / "Gemfile").open("a") as file:
        file.write(f"\n{gemfile}\n")
    if lock:
        text = (app / "Gemfile.lock").read_text()
        path = f"PATH\n  remote: {lock}\n  specs:\n    shop (0.1)\n\n"
        (app / "Gemfile.lock").write_text(path + text)
    assert found(app).get("local_gems", []) == folders


# --- What the Dockerfile becomes ------------------------------------------------------------------

IMAGES: dict[str, dict[str, Any]] = {
    "bare": {"thruster": False, "bootsnap": False, "solid_queue": False, "asset_path": ""},
    "npm": {"javascript": "npm", "javascript_files": ["package.json", "package-lock.json"]},
    "yarn 1": {"javascript": "yarn", "javascript_files": ["package.json", "yarn.lock"]},
    "yarn 4": {"javascript": "yarn", "javascript_version": "4.1.0", "node": "20.11.1"},
    "pnpm": {"javascript": "pnpm", "javascript_version": "9.1.0"},
    "bun": {"javascript": "bun", "javascript_files": ["package.json", "bun.lock"]},
    "windows": {"bin_fixups": True},
    "local gems": {"local_gems": ["engines/shop"], "bundle_files": ["Gemfile", "Gemfile.lock"]},
    "packages": {"packages": ["curl", "ffmpeg", "libjemalloc2", "sqlite3"]},
}
INSTALLS = {
    "npm": "npm ci",
    "yarn 1": "yarn install --frozen-lockfile",
    "yarn 4": "yarn install --immutable",
    "pnpm": "pnpm install --frozen-lockfile",
    "bun": "bun install --frozen-lockfile",
}


@requires("hadolint", "kamal")
@pytest.mark.parametrize("name", IMAGES)
def test_every_image_is_accepted_by_hadolint_and_kamal(fresh: Fresh, name: str) -> None:
    folder = fresh(image=IMAGES[name])
    dockerfile = (folder / "Dockerfile").read_text()
    hadolint, kamal = programs.find("hadolint"), programs.find("kamal")
    assert hadolint
    assert kamal
    linted = subprocess.run(
        [hadolint, "--failure-threshold", "warning", "Dockerfile"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout
    config = subprocess.run(
        [kamal, "config", "--version", "x"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert config.returncode == 0, config.stderr
    assert ("RUN " + INSTALLS.get(name, "nothing") in dockerfile) == (name in INSTALLS)
    assert ("corepack prepare yarn@4.1.0 --activate" in dockerfile) == (name == "yarn 4")
    assert "\n\n\n" not in dockerfile
    install = dockerfile.find("RUN " + INSTALLS.get(name, "bundle install"))
    code = dockerfile.index("COPY . .")
    assert (install < code) == (
        "javascript" not in IMAGES[name] or "javascript_files" in IMAGES[name]
    )


def test_a_bare_app_is_started_by_puma_on_its_port(fresh: Fresh) -> None:
    folder = fresh(image=IMAGES["bare"])
    dockerfile = (folder / "Dockerfile").read_text()
    deploy = yaml.safe_load((folder / "config/deploy.yml").read_text())
    assert 'EXPOSE 3000\nCMD ["./bin/rails", "server"]\n' in dockerfile
    assert deploy["proxy"]["app_port"] == 3000
    assert "bootsnap" not in dockerfile
    assert "assets:precompile" not in dockerfile
    assert "asset_path" not in deploy
    assert deploy["env"]["clear"] == {"WEB_CONCURRENCY": 0}


def test_a_missing_thruster_is_a_note_that_names_the_gem(
    template: Path, sample_app: Callable[[str], Path]
) -> None:
    app = without_gems(sample_app("rails_8_1"), "thruster")
    render(template, app, {"image": {"thruster": False}})
    [note] = [f for f in check_files(App(app)) if f.id == "gems.thruster"]
    assert note.level == "note"
    assert "bundle add thruster" in note.fix
    assert not [f for f in check_files(App(app)) if f.id == "gems.missing"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"trhuster": False}, "is nothing that the image knows"),
        ({"thruster": "no"}, "is no value for thruster"),
        ({"packages": ["curl && rm -rf /"]}, "does not belong into packages"),
        ({"packages": "curl"}, "is no value for packages"),
        ("curl", "is not a mapping"),
    ],
)
def test_a_bad_image_is_refused(template: Path, tmp_path: Path, answer: object, said: str) -> None:
    from kamalstream.ask.questions import Asking
    from kamalstream.ask.validators import RefusedAnswers
    from kamalstream.render.with_copier import in_place
    from kamalstream.render.with_copier import render as quietly

    from .fixtures_template import ANSWERS

    with pytest.raises(RefusedAnswers, match=said):
        quietly(in_place(template), tmp_path / "x", Asking({**ANSWERS, "image": answer}))


def test_a_gem_that_came_later_and_its_package(
    template: Path, sample_app: Callable[[str], Path]
) -> None:
    app = sample_app("rails_8_0")
    render(template, app, {"image": image(inspect_app(app))})
    assert not [f for f in check_files(App(app)) if f.id == "image.packages"]
    with_gems(app, "image_processing")
    [warning] = [f for f in check_files(App(app)) if f.id == "image.packages"]
    assert (warning.file, warning.level) == ("Dockerfile", "warning")
    assert "does not install libvips, which the gem image_processing needs" in warning.message
    render(template, app, {"image": image(inspect_app(app))})
    assert not [f for f in check_files(App(app)) if f.id == "image.packages"]


def test_a_lockfile_that_is_not_there_yet_is_said(
    template: Path, sample_app: Callable[[str], Path]
) -> None:
    app = with_gems(sample_app("rails_8_1"), "cssbundling-rails")
    render(template, app, {"image": image(inspect_app(app))})
    dockerfile = (app / "Dockerfile").read_text()
    assert "\nFROM docker.io/library/node:" in dockerfile
    assert dockerfile.index("COPY . .") < dockerfile.index("\nRUN yarn install")
    [warning] = [f for f in check_files(App(app)) if f.id == "javascript.lockfile"]
    assert "no lockfile of yarn" in warning.message
    (app / "yarn.lock").write_text("")
    assert not [f for f in check_files(App(app)) if f.id == "javascript.lockfile"]


def test_an_app_without_active_storage_reads_nothing_of_it(
    rendered: Callable[..., Path], sample_app: Callable[[str], Path]
) -> None:
    app = sample_app("rails_8_1")
    application = app / "config/application.rb"
    railties = 'require "rails"\nrequire "active_record/railtie"\nrequire "active_job/railtie"'
    application.write_text(application.read_text().replace('require "rails/all"', railties))
    assert found(app)["active_storage"] is False
    files = (facts.GUIDE, facts.DEPLOY)
    plain, without = rendered(), rendered(image={"active_storage": False})
    for file in files:
        assert "Active Storage" in (plain / file).read_text()
        assert "Active Storage" not in (without / file).read_text()
    guide = (without / facts.GUIDE).read_text()
    assert "\n\n## Before the first deploy\n" in guide
    assert "\n\n\n" not in guide
