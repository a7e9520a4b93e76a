"""Copier runs this after it has written the files: `after_render.py OPERATION GIVEN`, in the app.

GIVEN names the answers that Copier was given as data, with commas between them.

Only what Copier brings may be imported (see kamalstream/hooks/__init__.py).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.dont_write_bytecode = True
TEMPLATE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TEMPLATE))

if sys.argv[1] != "copy":
    from kamalstream.hooks.of_update import during_update

    sys.exit(during_update(Path.cwd()))

try:
    from kamalstream.hooks.after_copy import after_copy
except KeyboardInterrupt:
    # What Copier wrote before this; kamalstream.facts.NEW_ANSWERS.
    Path(".copier-answers.new.yml").unlink(missing_ok=True)
    sys.exit("\nkamalstream: nothing was changed.")
sys.exit(after_copy(Path.cwd(), TEMPLATE, sys.argv[2].split(",")))
