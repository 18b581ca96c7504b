"""``python -m turso_sync_nb``: the command line; see ``server/command.py``."""

from __future__ import annotations

import sys

from turso_sync_nb.server.command import main

if __name__ == "__main__":
    sys.exit(main())
