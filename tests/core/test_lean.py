"""Modules that are put off are the true ones as soon as anybody looks, and nothing is lost for code of users."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from cerebelum.core.digests import sha256

_START = "import sys\nfrom cerebelum.start import lean\nlean.prepare()\nimport click, msgspec\n"


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


def test_a_load_that_was_interrupted_is_tried_again() -> None:
    code = """
import bz2
loader = vars(bz2)["__loader__"]
def interrupted(module):
    del loader.exec_module
    raise KeyboardInterrupt
loader.exec_module = interrupted
try:
    bz2.compress
except KeyboardInterrupt:
    print(bz2.decompress(bz2.compress(b"again")), type(bz2).__name__)
"""
    assert said(code) == "b'again' module"


def test_a_digest_is_sha256() -> None:
    for data in (b"", b"abc", bytes(100_000)):
        assert sha256(data) == hashlib.sha256(data).hexdigest()


def test_a_pattern_that_is_compiled_later_is_one_when_it_is_used() -> None:
    code = """
lean.import_with_patterns_later("yaml")
import re, yaml
assert isinstance(re.compile("x"), re.Pattern)
assert not isinstance(yaml.reader.Reader.NON_PRINTABLE, re.Pattern)
print(yaml.safe_load("[2001-02-03, 0x1F, 1.5, yes]"))
try:
    yaml.safe_load("a\\x01b")
except yaml.YAMLError as error:
    print("refused", error.character)
"""
    assert said(code) == "[datetime.date(2001, 2, 3), 31, 1.5, True]\nrefused 1"


def test_threads_that_compile_meanwhile_get_patterns_and_all_of_that_ends() -> None:
    code = """
import re, threading
ours, compile, made = threading.Barrier(9), re.compile, []
def load():
    ours.wait()
    lean.import_with_patterns_later("yaml")
def others():
    ours.wait()
    while threads[0].is_alive() or threads[-2].is_alive():
        made.append(re.compile("x"))
threads = [*(threading.Thread(target=load) for _ in range(8)), threading.Thread(target=others)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(re.compile is compile, {type(each).__name__ for each in made} <= {"Pattern"})
"""
    assert said(code) == "True True"
