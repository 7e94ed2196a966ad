"""Modules that are put off are the true ones as soon as anybody looks, and nothing is lost for code of users."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from cerebelum.core.digests import sha256

_START = "import sys\nfrom cerebelum.start import lean, lean_yaml\nlean.prepare()\nimport click, msgspec\n"


def said(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _START + code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_click_and_msgspec_load_nothing_that_was_put_off() -> None:
    assert said("print([name for name in ('dis', '_lzma', 'tokenize') if name in sys.modules])") == "[]"
    assert said("print(type(sys.modules['inspect']).__name__)") == "_Later"


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("import inspect; print(inspect.signature(lambda a, b=1: 0))", "(a, b=1)"),
        ("from inspect import cleandoc; print(repr(cleandoc('  a\\n    b\\n    c')))", repr("a\nb\nc")),
        ("import inspect; print(repr(inspect.cleandoc('\\ta ')))", repr("a ")),
        ("import textwrap; print(textwrap.dedent('  a'))", "a"),
        ("import ast; print(ast.dump(ast.parse('1').body[0].value))", "Constant(value=1)"),
        ("import bz2, lzma; print(lzma.decompress(lzma.compress(b'x')), bz2.BZ2File.__name__)", "b'x' BZ2File"),
        ("import platform, os; print(platform.system() == os.uname().sysname)", "True"),
        ("import platform; print(platform.python_version()[:2])", "3."),
        ("import platform; platform.machine(); print(platform.system.__module__)", "platform"),
        ("import msgspec.inspect as i; print(type(i.type_info(int)).__name__)", "IntType"),
        ("import json; from json import decoder; print(json.loads('[1]'), decoder.__name__)", "[1] json.decoder"),
        ("import importlib.util; print(importlib.util.find_spec('inspect').name)", "inspect"),
        ("import pathlib; print(*(pathlib.Path(name).as_uri() for name in ('/a b', '/ä')))", "file:///a%20b file:///%C3%A4"),
        ("from urllib.parse import quote_from_bytes as q, unquote; print(q(b'a b/'), unquote('a%20b'))", "a%20b/ a b"),
        ("import urllib.parse as p; print(p.quote_from_bytes(b'a b'), p.quote('c d'))", "a%20b c%20d"),
        ("from importlib import metadata as m; print(m.version('click')[0], m.version('mypy')[0])", "8 2"),
        ("import importlib.metadata as m, psycopg; print(m.entry_points.__module__)", "importlib.metadata"),
        ("import importlib.metadata as m, psycopg as p; m.files; print(p.__version__ == m.version('psycopg'))", "True"),
        ("import urllib.request, urllib.parse; print(urllib.request.quote is urllib.parse.quote)", "True"),
        ("import textwrap; textwrap.dedent = 7; print(textwrap.dedent, textwrap.fill('a'))", "7 a"),
        ("import inspect; print('signature' in dir(inspect))", "True"),
        ("lean.take_back(); import gettext; print(gettext.gettext.__module__)", "gettext"),
        ("from inspect import cleandoc; print(cleandoc('a\\n b'), cleandoc('c\\n d'))", "a\nb c\nd"),
        ("import typing_extensions; print(typing_extensions.__name__)", "typing_extensions"),
        ("import datetime as d; print(type(d).__name__, d.date(2026, 1, 2).isoformat())", "_Later 2026-01-02"),
        ("from datetime import *; print(UTC, date.__module__)", "UTC datetime"),
        ("import datetime as d; a = d.date; d.__all__; print(a is d.date, a(2026, 1, 2))", "True 2026-01-02"),
        ("import datetime as d; d.datetime = 7; print(d.datetime, d.date.__name__)", "7 date"),
        ("import datetime as d, pickle; print(pickle.loads(pickle.dumps(d.timedelta(1))))", "1 day, 0:00:00"),
        ("from datetime import datetime as d; print(d.strptime('2026', '%Y').year)", "2026"),
        ("import pathlib as p; print(p.PureWindowsPath('C:/a', 'b').name, [*p.Path('/').glob('nothing*')])", "b []"),
        ("import fnmatch, ntpath; print(fnmatch.fnmatch('ab', 'a*'), ntpath.join('a', 'b'))", r"True a\b"),
        ("import typing; print(typing.ForwardRef('int').__forward_arg__)", "int"),
        ("import locale, subprocess as s; print(s.run(['echo', 'ä'], capture_output=True, text=True).stdout)", "ä"),
        ("import pickle, inspect; print(pickle.loads(pickle.dumps(inspect.cleandoc)) is inspect.cleandoc)", "True"),
    ],
)  # fmt: skip
def test_what_is_put_off_is_there_when_it_is_used(code: str, result: str) -> None:
    assert said(code) == result


def test_threads_that_look_at_once_get_the_same_module() -> None:
    code = """
import threading, inspect, json
ready, found = threading.Barrier(8), []
def look():
    ready.wait()
    found.append((inspect.Signature, inspect.signature(look), json.JSONDecoder))
threads = [threading.Thread(target=look) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(len({f[0] for f in found}), len({f[2] for f in found}), len(found))
"""
    assert said(code) == "1 1 8"


def test_a_digest_is_sha256() -> None:
    for data in (b"", b"abc", bytes(100_000)):
        assert sha256(data) == hashlib.sha256(data).hexdigest()


_PARTS = "('composer', 'constructor', 'emitter', 'parser', 'reader', 'representer', 'scanner', 'serializer')"


def test_events_are_read_without_the_rest_of_pyyaml_which_is_there_when_it_is_used() -> None:
    code = f"""
import re, sys
parser = lean_yaml.parser()
found = parser("a: [1]")
while found.check_event():
    found.get_event()
print([name for name in ("re", *{_PARTS}) if type(sys.modules.get("yaml." + name)).__name__ == "module"])
print("yaml.loader" in sys.modules, "yaml.cyaml" in sys.modules)
import yaml
print(yaml.safe_load("[2001-02-03, 0x1F, 1.5, yes]"), yaml.dump({{"a": [1, "b"]}}).split(), type(yaml).__name__)
print(yaml.__with_libyaml__, yaml.scanner.__name__, yaml.__spec__.loader is yaml.__loader__)
print(lean_yaml.parser() is parser)
"""
    assert said(code).splitlines() == [
        "[]",
        "False False",
        "[datetime.date(2001, 2, 3), 31, 1.5, True] ['a:', '-', '1', '-', 'b'] module",
        "True yaml.scanner True",
        "True",
    ]


@pytest.mark.parametrize(
    ("part", "error", "text"),
    [
        ("scanner", "ScannerError", "a: b: c"),
        ("parser", "ParserError", "[1, 2"),
        ("composer", "ComposerError", "*nobody"),
        ("reader", "ReaderError", "a\\x01"),
        ("constructor", "ConstructorError", "!unknown 1"),
    ],
)
def test_errors_of_pyyaml_are_the_ones_that_users_know(part: str, error: str, text: str) -> None:
    code = f"""
try:
    found = lean_yaml.parser()("{text}")
    while found.check_event():
        found.get_event()
except Exception as raised:
    print(type(raised).__name__)
import yaml
from yaml.{part} import {error}
for loader in (yaml.CSafeLoader, yaml.SafeLoader):
    try:
        yaml.load("{text}", Loader=loader)
    except {error} as raised:
        print(loader.__name__, type(raised) is yaml.{part}.{error}, {error}.__module__, "\\n" in str(raised))
"""
    told = said(code).splitlines()
    assert told[-2:] == [f"{c}SafeLoader True yaml.{part} True" for c in ("C", "")]
    # These two are of no concern to the events.
    assert told[:-2] == [] if part in ("composer", "constructor") else [error]


def test_an_error_of_pyyaml_can_be_made_and_have_kinds_before_it_is_loaded() -> None:
    code = """
lean_yaml.parser()
import yaml
class Mine(yaml.scanner.ScannerError):
    made = 0
    def __init__(self, problem):
        Mine.made += 1
        super().__init__(problem=problem)
print(repr(str(Mine("odd"))), Mine.made, str(yaml.reader.ReaderError("n", 1, 0x7F, "unicode", reason="why")).split()[0])
"""
    assert said(code) == "'odd' 1 unacceptable"


def test_a_module_of_the_users_with_that_name_is_theirs(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("class SafeLoader: mine = True")
    code = f"sys.path.insert(0, {str(tmp_path)!r}); print(lean_yaml.parser().mine)"
    assert said(code) == "True"


def test_without_the_parser_in_c_it_is_the_one_in_python() -> None:
    code = """
sys.modules["yaml._yaml"] = None
parser = lean_yaml.parser()
found, kinds = parser("a: 1"), []
while found.check_event():
    kinds.append(type(found.get_event()).__name__)
import yaml
print(parser is yaml.SafeLoader, yaml.__with_libyaml__, kinds[3], yaml.safe_load("a: 1"))
"""
    assert said(code) == "True False ScalarEvent {'a': 1}"


def test_threads_that_want_all_of_pyyaml_meanwhile_get_it() -> None:
    code = """
import threading
ready, found = threading.Barrier(8), []
def parse():
    ready.wait()
    found.append(lean_yaml.parser()("a: 1").check_event())
def load():
    ready.wait()
    import yaml
    found.append(yaml.safe_load("a: 1") == {"a": 1})
threads = [threading.Thread(target=each) for each in (parse, load) * 4]
for t in threads: t.start()
for t in threads: t.join()
print(found, [type(each).__name__ for each in sys.meta_path if type(each).__name__ == "_Finder"])
"""
    assert said(code) == f"{[True] * 8} []"
