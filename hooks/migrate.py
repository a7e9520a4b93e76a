"""Copier runs this where a release renames something; see `_migrations` in copier.yml.

`migrate.py rename_answer OLD NEW` before the update, `migrate.py move_file OLD NEW` after it. Only
what Copier brings may be imported (see kamalstream/hooks/__init__.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
TEMPLATE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEMPLATE))

from kamalstream.hooks.of_update import migrate

sys.exit(migrate(Path.cwd(), TEMPLATE, *sys.argv[1:]))
