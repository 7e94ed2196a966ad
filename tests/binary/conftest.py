"""The program in a fresh home."""

from tests.cli.conftest import cli  # noqa: F401
