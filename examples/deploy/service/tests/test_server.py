# The service's tests need nothing but Python, so they are unittest's.
# ruff: noqa: PT009, PT027

import json
import tempfile
import threading
import unittest
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from greeter.server import Handler, Server


class Quiet(Handler):
    def log_message(self, *args: object) -> None:
        pass


class Answers(unittest.TestCase):
    def serve(self, config: str) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "config.json")
        path.write_text(config)
        server = Server(path)
        server.RequestHandlerClass = Quiet
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.port}"

    def test_it_greets(self) -> None:
        with urlopen(self.serve('{"greeting": "Hello"}') + "/hello/J%C3%BCrg") as answer:
            self.assertEqual(json.load(answer), {"text": "Hello, Jürg!"})

    def test_it_is_well(self) -> None:
        with urlopen(self.serve('{"greeting": "Hello"}') + "/health") as answer:
            self.assertEqual(json.load(answer), {"status": "ok", "version": "dev"})

    def test_without_settings_it_says_so(self) -> None:
        with self.assertRaises(HTTPError) as refusal:
            urlopen(self.serve("{}") + "/health")
        with refusal.exception as answer:
            self.assertEqual(answer.code, 503)
            self.assertIn("has no `greeting`", json.load(answer)["status"])

    def test_other_addresses_are_not_there(self) -> None:
        with self.assertRaises(HTTPError) as refusal:
            urlopen(self.serve('{"greeting": "Hello"}') + "/admin")
        with refusal.exception as answer:
            self.assertEqual(answer.code, 404)
