"""Copier runs this at the end of an update, once the owner's own edits are merged back.

Only what Copier brings may be imported (see kamalstream/render/hooks.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kamalstream.render.hooks import after_update

sys.exit(after_update(Path.cwd()))
