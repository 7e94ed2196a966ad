"""Writes the pictures of docs/terminal.md: what a real terminal shows while the example deployment runs.

python -m docs.pictures
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.cli.conftest import Home
from tests.cli.screens import Window

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "terminal.md"
_PICTURE = re.compile(r"(<!-- picture: (\w+) -->\n```text\n).*?(```\n)", re.DOTALL)


def pictures() -> dict[str, str]:
    """What is shown at each of the moments that the page has pictures of."""
    taken = {}
    with tempfile.TemporaryDirectory(prefix="cerebelum-pictures-") as name:
        home = Home(Path(name))
        shutil.copy(ROOT / "docs" / "terminal.yaml", home.folder / "deploy.yaml")
        first = Window(home, "run", "deploy.yaml", "--id", "deploy-1", columns=90, rows=24)
        taken["running"] = _text(first.until(lambda lines: any("100 of 240" in line for line in lines)))
        taken["failed"] = _text(first.finish()[1][-26:])
        first.close()
        (home.folder / "mended").touch()
        again = Window(home, "resume", "deploy-1", columns=90, rows=24)
        asked = again.until(lambda lines: sum("Switch over?" in line for line in lines) > 1)
        taken["asking"] = _text(asked)
        home("approve", "deploy-1")
        taken["completed"] = _text(again.finish()[1][-24:])
        again.close()
        between = Window(home, "run", "deploy.yaml", "--id", "deploy-2", columns=90, rows=24)
        between.until(lambda lines: sum("Switch over?" in line for line in lines) > 1)
        home("approve", "deploy-2")
        between.finish()
        between.close()
        second = Window(home, "run", "deploy.yaml", "--id", "deploy-3", columns=90, rows=24)
        taken["learnt"] = _text(second.until(lambda lines: any("100 of 240" in line for line in lines)))
        second.close()
    return taken


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    """Bring the pictures up to date."""
    taken = pictures()
    page = PAGE.read_text("utf-8")
    PAGE.write_text(_PICTURE.sub(lambda found: found[1] + taken[found[2]] + found[3], page), "utf-8")


if __name__ == "__main__":
    os.environ.pop("NO_COLOR", None)
    sys.exit(main())
