"""A small web service that greets people and says how it is: something real to deploy."""

from pathlib import Path

_VERSION_FILE = Path(__file__).resolve().parent.parent / "VERSION"

# A release has the file; a checkout has not.
__version__ = _VERSION_FILE.read_text().strip() if _VERSION_FILE.exists() else "dev"
