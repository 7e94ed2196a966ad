"""YAML text to nodes with positions, without ever building more than a bounded tree, whatever the text says.

The library's own composer recurses, follows the YAML 1.1 rules for scalars and keeps only the last of two equal keys;
this one works on its event stream.
"""

from __future__ import annotations

import re
from typing import Any

from cerebelum.definition.findings import Findings, quoted
from cerebelum.definition.nodes import AnyNode, Listing, OutOfRange, Scalar, Spot, Table, kind, resolve
from cerebelum.start import lean, tricks

MAX_DEPTH = 100
MAX_NODES = 1_000_000
MAX_ALIASED_NODES = 200_000
MAX_ALIASED_CHARACTERS = 16 * 1024 * 1024
MERGE = "<<"

_CORE = "tag:yaml.org,2002:"
_UNPRINTABLE_ASCII = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_UNPRINTABLE = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
_UNSTORABLE = "[\x00\ud800-\udfff]"


class Refused(Exception):
    """Reading cannot go on; what was found says why."""


class _Open:
    """A mapping or sequence that is still being read."""

    __slots__ = ("anchor", "height", "key", "merges", "node", "start")

    def __init__(self, node: Listing | Table, anchor: str | None, start: tuple[int, int]) -> None:
        self.node = node
        self.anchor = anchor
        self.start = start
        self.height = 1
        self.key: Scalar | None = None
        self.merges: list[Table] = []


class _Anchored:
    __slots__ = ("characters", "height", "node", "nodes")

    def __init__(self, node: AnyNode, nodes: int, characters: int, height: int) -> None:
        self.node = node
        self.nodes = nodes
        self.characters = characters
        self.height = height


def read(text: str, findings: Findings) -> AnyNode | None:
    """The one document in `text`, or None if it cannot be read or holds none; what is wrong goes to `findings`."""
    # Compiling the pattern for all of Unicode takes as long as reading a small file, which is nearly always ASCII.
    if bad := re.search(_UNPRINTABLE_ASCII if text.isascii() else _UNPRINTABLE, text):
        message = f"the character U+{ord(bad[0]):04X} cannot appear in a workflow file"
        findings.add(_spot(text, bad.start()), "", message, 'write it as an escape in a "double-quoted" text')
        return None
    try:
        return _Composer(text, findings).document()
    except Refused:
        return None


def _spot(text: str, index: int) -> Spot:
    lines = (text[:index] + "?").splitlines()
    return Spot(len(lines), len(lines[-1]))


class _Composer:
    """One pass over the events of one text."""

    def __init__(self, text: str, findings: Findings) -> None:
        self.text = text
        self.findings = findings
        self.open: list[_Open] = []
        self.anchors: dict[str, _Anchored | None] = {}
        self.root: AnyNode | None = None
        self.nodes = 0
        self.characters = 0
        self.aliased_nodes = 0
        self.aliased_characters = 0
        self.quoted: Any = None
        """The last text in quotes that goes over several lines: its event."""

    def document(self) -> AnyNode | None:
        if tricks.on("lean"):
            lean.import_with_patterns_later("yaml")
        import yaml

        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        handlers: dict[type, Any] = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.DocumentStartEvent: self._document_start,
        }
        self.listing_start = yaml.SequenceStartEvent
        try:
            for event in yaml.parse(self.text, Loader=loader):
                handler = handlers.get(type(event))
                if handler is not None:
                    handler(event)
        except yaml.MarkedYAMLError as e:
            self._syntax(e)
        except yaml.YAMLError as e:
            self._refuse(Spot(1, 1), f"this is not YAML: {e}")
        return self.root

    def _refuse(self, place: Any, message: str, hint: str | None = None) -> None:
        self.findings.add(place, "", message, hint)
        raise Refused

    def _document_start(self, event: Any) -> None:
        if self.root is not None:
            mark = event.start_mark
            place = Spot(mark.line + 1, mark.column + 1)
            self._refuse(place, "a second document begins here", "put each workflow into a file of its own")

    def _count(self, characters: int, place: Any) -> None:
        self.nodes += 1
        self.characters += characters
        if self.nodes - self.aliased_nodes > MAX_NODES:
            self._refuse(place, f"the file has more than {MAX_NODES:,} values")

    def _scalar(self, event: Any) -> None:
        mark = event.start_mark
        text = event.value
        node = Scalar(text, text, bool(event.style), mark.line + 1, mark.column + 1)
        if event.style in ("'", '"') and event.end_mark.line > mark.line:
            self.quoted = event
        self._count(len(text), node)
        if not text.isprintable() and (bad := re.search(_UNSTORABLE, text)):
            what = "a NUL character" if bad[0] == "\0" else "half of a surrogate pair"
            self.findings.add(node, "", f"this text contains {what}", "it cannot be stored or passed to a process")
            node.text = node.value = text.replace(bad[0], "")
        tag = event.tag
        if tag is None or tag == "!":
            if not event.style and tag is None:
                self._resolve(node)
        else:
            self._tagged(node, tag)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(node, 1, len(text), 0)
        self._attach(node, 0)

    def _resolve(self, node: Scalar) -> None:
        try:
            node.value = resolve(node.text)
        except OutOfRange as e:
            node.doubt = str(e)

    def _tagged(self, node: Scalar, tag: str) -> None:
        short = tag.removeprefix(_CORE)
        expected = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}.get(short)
        if tag.startswith(_CORE) and short == "str":
            node.quoted = True
        elif tag.startswith(_CORE) and expected is not None:
            self._resolve(node)
            if not isinstance(node.value, expected):  # type: ignore[arg-type]
                self.findings.add(node, "", f"{quoted(node.text)} is not what its tag !!{short} says")
        else:
            self._unknown_tag(node, tag)
            node.text = node.value = f"{tag} {node.text}".strip()

    def _unknown_tag(self, place: Any, tag: str) -> None:
        shown = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
        hint = "a text that starts with `!` needs quotes" if tag.startswith("!") else None
        self.findings.add(place, "", f"the tag {quoted(shown)} is not supported", hint)

    def _start(self, event: Any) -> None:
        mark = event.start_mark
        listing = isinstance(event, self.listing_start)
        node: Listing | Table = (Listing if listing else Table)(mark.line + 1, mark.column + 1)
        if len(self.open) >= MAX_DEPTH:
            self._refuse(node, f"values are nested more than {MAX_DEPTH} deep")
        if event.tag not in {None, "!", _CORE + ("seq" if listing else "map")}:
            self._unknown_tag(node, event.tag)
        opened = _Open(node, event.anchor, (self.nodes, self.characters))
        self._count(0, node)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.open.append(opened)

    def _end(self, _: Any) -> None:
        done = self.open.pop()
        node = done.node
        if isinstance(node, Table) and done.merges:
            _merge(node, done.merges)
        if done.anchor is not None:
            nodes, characters = done.start
            size = (self.nodes - nodes, self.characters - characters)
            self.anchors[done.anchor] = _Anchored(node, *size, done.height)
        self._attach(node, done.height)

    def _alias(self, event: Any) -> None:
        mark = event.start_mark
        place = Spot(mark.line + 1, mark.column + 1)
        name = quoted("*" + event.anchor)
        if event.anchor not in self.anchors:
            self._refuse(place, f"the alias {name} has no anchor before it", "a text that starts with `*` needs quotes")
        anchored = self.anchors[event.anchor]
        if anchored is None:
            self._refuse(place, f"the alias {name} contains itself")
            return
        self.nodes += anchored.nodes
        self.characters += anchored.characters
        self.aliased_nodes += anchored.nodes
        self.aliased_characters += anchored.characters
        if self.aliased_nodes > MAX_ALIASED_NODES or self.aliased_characters > MAX_ALIASED_CHARACTERS:
            self._refuse(place, f"aliases expand to more than {MAX_ALIASED_NODES:,} values or 16 MiB of text")
        if len(self.open) + anchored.height > MAX_DEPTH:
            self._refuse(place, f"values are nested more than {MAX_DEPTH} deep")
        self._attach(anchored.node, anchored.height)

    def _attach(self, node: AnyNode, height: int) -> None:
        if not self.open:
            self.root = node
            return
        top = self.open[-1]
        if height >= top.height:
            top.height = height + 1
        parent = top.node
        if isinstance(parent, Listing):
            parent.items.append(node)
        elif top.key is None:
            top.key = self._key(node)
        else:
            key, top.key = top.key, None
            self._enter(top, parent, key, node)

    def _key(self, node: AnyNode) -> Scalar:
        if isinstance(node, Scalar) and (node.quoted or node.value is not None):
            return node
        self.findings.add(node, "", f"a key has to be a text, this is {kind(node)}")
        return Scalar("", None, False, node.line, node.column)

    def _enter(self, top: _Open, table: Table, key: Scalar, value: AnyNode) -> None:
        if key.value is None:
            return
        if key.text == MERGE and not key.quoted:
            parts = value.items if isinstance(value, Listing) else [value]
            for part in parts:
                if isinstance(part, Table):
                    top.merges.append(part)
                else:
                    self.findings.add(key, "", f"`<<` takes a mapping or a list of mappings, this is {kind(part)}")
            return
        if key.text in table.entries:
            first = table.spots[key.text].line
            message = f"the key {quoted(key.text)} appears twice, first in line {first}"
            self.findings.add(key, "", message, "keep one of them")
            return
        table.entries[key.text] = value
        table.spots[key.text] = Spot(key.line, key.column)

    def _syntax(self, error: Any) -> None:
        mark = error.problem_mark or error.context_mark
        place = Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)
        lines = self.text.splitlines()
        line = lines[place.line - 1] if place.line <= len(lines) else ""
        problem = error.problem or "this is not YAML"
        if "\t" in line[: place.column] and not line[: place.column].strip():
            tab = Spot(place.line, line.index("\t") + 1)
            self._refuse(tab, "a tab cannot be used for indentation", "indent with spaces")
        if "quoted scalar" in (error.context or "") and "end of stream" in problem and error.context_mark:
            opened = Spot(error.context_mark.line + 1, error.context_mark.column + 1)
            self._refuse(opened, "the quote that opens here is never closed")
        if self.quoted is not None and self.quoted.end_mark.line == place.line - 1:
            start = self.quoted.start_mark
            message = f"the quote that opens here ends in line {place.line}, before something that cannot follow it"
            self._refuse(Spot(start.line + 1, start.column + 1), message, "is it closed where it should be?")
        if (block := _unindented_block(lines, place.line)) is not None:
            message = f"the text that `{lines[block - 1].strip()[-1]}` announces in line {block} is not indented"
            self._refuse(Spot(block + 1, 1 + _indentation(lines[block])), message, "indent it further than its key")
        hint = next((hint for part, hint in _HINTS if part in problem), None)
        opening = re.match(r"\s*(?:- +)?[\w-]+: +([{\[])", line)
        if opening and place.column > opening.end(1):
            hint = f"a text that begins with `{opening[1]}` needs quotes"
        if "flow" in (error.context or "") and "${{" in line:
            hint = "inside `{ }` or `[ ]` an expression needs quotes: '${{ … }}'"
        context = f" {error.context}" if error.context and "block mapping" not in error.context else ""
        self._refuse(place, f"{problem}{context}", hint)


_HINTS = (
    ("mapping values are not allowed", "a text that contains `: ` needs quotes; or the line is indented too far"),
    ("could not find expected ':'", "a key is followed by `: ` and its value"),
    ("cannot start any token", "a text that starts with this character needs quotes"),
    ("alphabetic or numeric character", "a text that starts with `*` or `&` needs quotes"),
    ("expected key", "check the indentation of this line and the one before"),
    ("block end", "check the indentation of this line and the one before"),
    ("'-' indicator", "check the indentation of this line and the one before"),
    ("block sequence entries are not allowed", "a list starts on a line of its own"),
    ("unexpected end of stream", "a quote is not closed"),
    (
        "unknown escape character",
        "in \"double quotes\" a backslash is written `\\\\`; 'single quotes' keep it as it is",
    ),
    ("expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("expected <document start>", "a workflow file is one mapping: `key: value` lines"),
    ("undefined tag handle", "a text that starts with `!` needs quotes"),
)


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _unindented_block(lines: list[str], number: int) -> int | None:
    """The line, at most a few before line `number`, whose `|` or `>` is followed by a text that is not indented."""
    for at in range(min(number, len(lines)) - 1, max(0, number - 4), -1):
        before, after = lines[at - 1], lines[at]
        key = re.match(r"( *(?:- +)?)[\w-]+: *[|>][-+0-9]*\s*$", before)
        if key and after.strip() and _indentation(after) <= len(key[1]):
            return at
    return None


def _merge(table: Table, parts: list[Table]) -> None:
    own, own_spots = table.entries, table.spots
    table.entries, table.spots = {}, {}
    for part in reversed(parts):
        table.entries.update(part.entries)
        table.spots.update(part.spots)
    table.entries.update(own)
    table.spots.update(own_spots)
