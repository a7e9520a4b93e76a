"""Copier runs this at the end of an update: `after_update.py VERSION_BEFORE VERSION_NOW`.

The owner's own edits are merged back by then. Only what Copier brings may be imported (see
kamalstream/hooks/__init__.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
TEMPLATE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEMPLATE))

from kamalstream.hooks.after_update import after_update

sys.exit(after_update(Path.cwd(), TEMPLATE, (sys.argv[1], sys.argv[2])))
