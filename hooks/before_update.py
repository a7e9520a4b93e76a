"""Copier runs this before an update writes anything.

Only what Copier brings may be imported (see kamalstream/hooks/__init__.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
TEMPLATE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEMPLATE))

from kamalstream.hooks.of_update import before_update

sys.exit(before_update(Path.cwd(), TEMPLATE))
