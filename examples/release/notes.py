"""Usage: notes.py CHANGELOG VERSION. Prints the changelog's entry for that version; fails if it is missing or empty."""

import re
import sys
from pathlib import Path


def entry(changelog: str, version: str) -> str:
    """The text under `## VERSION`, up to the next heading of that level. Raises ValueError."""
    heading = re.compile(rf"^## \[?v?{re.escape(version)}\]?(?![\w.]).*$", re.MULTILINE)
    found = heading.search(changelog)
    if found is None:
        raise ValueError(f"there is no entry `## {version}`")
    text = re.split(r"^## ", changelog[found.end() :], maxsplit=1, flags=re.MULTILINE)[0].strip()
    if not text:
        raise ValueError(f"the entry `## {version}` is empty")
    return text


if __name__ == "__main__":
    path, version = Path(sys.argv[1]), sys.argv[2]
    try:
        text = entry(path.read_text(encoding="utf-8"), version)
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")
    print(f"# cerebelum {version}\n\n{text}")
