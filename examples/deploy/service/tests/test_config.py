# The service's tests need nothing but Python, so they are unittest's.
# ruff: noqa: PT009, PT027

import tempfile
import unittest
from pathlib import Path

from greeter.config import Config, ConfigError, load


class Loading(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "config.json")

    def test_the_greeting_is_read(self) -> None:
        self.path.write_text('{"greeting": "Grüezi"}', encoding="utf-8")
        self.assertEqual(load(self.path), Config("Grüezi"))

    def test_a_missing_file_is_named(self) -> None:
        with self.assertRaisesRegex(ConfigError, r"config\.json cannot be read: No such file"):
            load(self.path)

    def test_what_is_not_json_is_refused(self) -> None:
        self.path.write_text('{"greeting": ')
        with self.assertRaisesRegex(ConfigError, "is not JSON"):
            load(self.path)

    def test_a_greeting_is_needed(self) -> None:
        for text in ("{}", "[]", '{"greeting": ""}', '{"greeting": 3}'):
            self.path.write_text(text)
            with self.subTest(text), self.assertRaisesRegex(ConfigError, "has no `greeting`"):
                load(self.path)
