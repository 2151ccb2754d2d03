r"""Values as C99 that is C++ too: strings of foreign text, bytes as numbers and as string literals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

LONGEST_LITERAL = 4000
"""Bytes; C99 (5.2.4.1) promises 4095 in a literal, and compilers warn beyond."""
_NUMBERS_IN_LINE = 24
_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\?')
_OCTAL = tuple(f"\\{byte:03o}" for byte in range(256))


def c_string(text: str) -> str:
    r"""A string literal in ASCII; the rest is UTF-8 in octal, of three digits so that none swallows a digit after it.

    >>> print(c_string('say "é?"'))
    "say \042\303\251\077\042"
    """
    data = text.encode("utf-8", "surrogatepass")
    return '"' + "".join(chr(byte) if byte in _PLAIN else _OCTAL[byte] for byte in data) + '"'


def numbers(pieces: Iterable[bytes]) -> Iterator[str]:
    """Lines of an initialiser in braces, without the braces.

    >>> list(numbers([b"ab", b"c"]))
    ['97,98,99,\\n']
    """
    for row in _rows(pieces):
        yield ",".join(map(str, row)) + ",\n"


def literals(pieces: Iterable[bytes]) -> Iterator[str]:
    r"""Lines of one long string literal, which compilers read many times faster than numbers.

    >>> print(*literals([b"a\x00"]), end="")
    "\141\000"
    """
    for row in _rows(pieces):
        yield '"' + "".join(_OCTAL[byte] for byte in row) + '"\n'


def _rows(pieces: Iterable[bytes]) -> Iterator[bytes]:
    left = b""
    for piece in pieces:
        data = left + piece
        whole = len(data) - len(data) % _NUMBERS_IN_LINE
        for start in range(0, whole, _NUMBERS_IN_LINE):
            yield data[start : start + _NUMBERS_IN_LINE]
        left = data[whole:]
    if left:
        yield left
