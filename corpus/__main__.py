"""`make corpus APPS=FOLDER`: adopt a copy of every app in a folder of checkouts, and print a table.

Nothing in the folder is changed. Kamal and Ruby evaluate the ERB of these apps: read it first.
"""

from __future__ import annotations

import sys
from pathlib import Path

from corpus.table import table_of


def main(arguments: list[str]) -> int:
    """Try the checkouts in a folder, or those that are named; 1 where one came out wrong."""
    if not arguments or not Path(arguments[0]).is_dir():
        print("make corpus APPS=FOLDER: a folder of checkouts of Rails apps", file=sys.stderr)
        return 2
    names = set(arguments[1:])
    folders = sorted(one for one in Path(arguments[0]).iterdir() if one.is_dir())
    return table_of([one for one in folders if not names or one.name in names])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
