"""What strangers wrote: files, JSON, XML and values of unknown size, read within budgets.

Size, depth and count are judged before anything is built from them, and what an error shows of a
value is short and has no control character. Every reader begins here.
"""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
import stat
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree
from xml.parsers import expat

SHOWN = 200  # characters of a value in an error
LONGEST = 800  # characters of a sentence
DEPTH = 20  # lists and mappings inside each other
XML_DEPTH = 100  # elements inside each other: a robot's links in an MJCF are
ITEMS = 100_000  # values in a document
DIGITS = 400  # of a number; float64 needs 309 in front of the point
MIB = 1 << 20


class Refused(ValueError):
    """Text that must not be read: it says what it holds and what was expected."""


class _Shown(reprlib.Repr):
    """Looks at a few leaves only, however often an alias repeats them."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother, self.maxlong = 3, SHOWN, SHOWN, 60
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 8

    def repr_int(self, x: int, level: int) -> str:  # printing takes quadratic time, or is refused
        return repr(x) if x.bit_length() < 256 else f'a number of {x.bit_length()} bits'


def brief(value: Any) -> str:
    """Return what ``repr`` says of a value, in at most SHOWN characters and bounded time."""
    return plain(_Shown().repr(value), SHOWN)


def plain(text: str, limit: int = LONGEST) -> str:
    """Return a text on one line, without escape sequences, cut to ``limit`` characters."""
    line = ''.join(c if c.isprintable() else ' ' for c in text[:limit + 1])
    return line if len(line) <= limit else f'{line[:limit - 4]} ...'


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading; OSError for any other kind, which might never answer."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, 'it is no regular file', str(path))
        return os.fdopen(handle, 'rb')
    except BaseException:
        os.close(handle)
        raise


def digest(path: Path) -> str:
    """Return the SHA-256 of a regular file, in hexadecimal digits; OSError for any other kind."""
    found = hashlib.sha256()
    with open_file(path) as stream:
        while data := stream.read(MIB):
            found.update(data)
    return found.hexdigest()


def read_text(path: Path, limit: int = MIB) -> str:
    """Return a UTF-8 file's text; OSError, or Refused when it is longer than ``limit`` bytes."""
    with open_file(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise Refused(f'it is longer than {limit} bytes')
    try:
        return data.decode('utf-8')
    except UnicodeDecodeError as error:
        raise Refused(f'byte {error.start} is no UTF-8') from error


def parse_json(text: str, limit: int = MIB) -> Any:
    """Return what a JSON text says; Refused when it is malformed, or beyond a budget."""
    if len(text) > limit:
        raise Refused(f'it has {len(text)} characters, expected at most {limit}')
    try:
        value = json.loads(text, parse_int=_whole, object_pairs_hook=_unique)
    except RecursionError as error:
        raise Refused(f'it is nested deeper than {DEPTH}') from error
    except json.JSONDecodeError as error:
        raise Refused(f'no JSON: {plain(error.msg, SHOWN)} at character {error.pos}') from error
    check_shape(value)
    return value


def parse_xml(text: str, limit: int = MIB) -> ElementTree.Element:
    """Return the root of an XML text without entities of its own; Refused beyond a budget."""
    if len(text) > limit:
        raise Refused(f'it has {len(text)} characters, expected at most {limit}')
    builder, depth, seen = ElementTree.TreeBuilder(), 0, 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, seen
        depth, seen = depth + 1, seen + 1 + len(attributes)
        if depth > XML_DEPTH:
            raise Refused(f'it is nested deeper than {XML_DEPTH}')
        if seen > ITEMS:
            raise Refused(f'it holds more than {ITEMS} values')
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def document_type(*_: object) -> None:
        raise Refused('it has a document type, which may define entities, expected none')

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = document_type
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise Refused(f'no XML: {expat.ErrorString(error.code)} in line {error.lineno}') from error
    return builder.close()


def check_shape(value: Any) -> None:
    """Raise Refused for lists and mappings with too many values, or too deep in each other.

    A value that an alias repeats counts each time, as it would when it is copied or printed.
    """
    rest = [(value, 0)]
    seen = 0
    while rest:
        item, depth = rest.pop()
        seen += 1
        if seen > ITEMS:
            raise Refused(f'it holds more than {ITEMS} values')
        if isinstance(item, (dict, list, tuple, set)):
            if depth >= DEPTH:
                raise Refused(f'it is nested deeper than {DEPTH}')
            inside = (*item, *item.values()) if isinstance(item, dict) else item
            if len(inside) > ITEMS:
                raise Refused(f'it holds more than {ITEMS} values')
            rest += [(one, depth + 1) for one in inside]


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise Refused(f'it holds a number of {len(digits)} digits, expected at most {DIGITS}')
    return int(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise Refused(f'key {brief(twice)} comes twice, expected each once')
    return found
