"""Copier runs this after it has written the files: `after_render.py OPERATION`, in the app.

Only what Copier brings may be imported (see kamalstream/render/hooks.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
TEMPLATE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEMPLATE))

from kamalstream.hooks import after_render

sys.exit(after_render(Path.cwd(), operation=sys.argv[1], template=TEMPLATE))
