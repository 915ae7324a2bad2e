"""``python -m quorate`` is ``quorate``."""

from __future__ import annotations

from quorate.cli import main

if __name__ == "__main__":
    main()
