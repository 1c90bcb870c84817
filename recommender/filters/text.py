"""The text form of a filter, like Google's: for command lines and query strings."""

import re
from typing import NamedTuple, NoReturn

from recommender.errors import RequestError, nearest
from recommender.filters.conditions import (
    All,
    Exists,
    Node,
    Not,
    Operand,
    Range,
    SameAsSeed,
    Some,
    among,
)

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
    | (?P<number> [-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]) )
    | (?P<word>   [^\W\d][\w.-]* )
    | (?P<sign>   <= | >= | != | [=<>():,] )
    | (?P<end>    $ )
    | (?P<junk>   . ) )""",
    re.VERBOSE | re.DOTALL,
)
_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_TESTS = ("ANY", "EXCEPT", "EXISTS", "SAME_AS_SEED")


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse_text(said: str, depth: int | None, pointer: str) -> Node:
    """Parse a line such as ``availability = "in_stock" AND price < 80 AND NOT brand: ANY("Acme", "Ark")``.

    ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` compare with a quoted string or a number (dates as strings, in ISO
    8601); ``field: ANY(...)``, ``EXCEPT(...)``, ``EXISTS`` and ``SAME_AS_SEED`` test; ``NOT`` binds before ``AND``
    before ``OR``, and parentheses before all. ``!=`` is ``NOT ... =``. A field whose name is no word is quoted.

    Parameters
    ----------
    said
        The line; an empty one asks nothing.
    depth
        How many parentheses deep it may be nested; None for any depth.
    pointer
        Where it stands in the request.
    """
    return _Parser(said, depth, pointer).parse()


class _Parser:
    """One recursive descent over the tokens of a line; a method per rule of the grammar."""

    def __init__(self, said: str, depth: int | None, pointer: str) -> None:
        self._said, self._depth, self._pointer = said, depth, pointer
        self._tokens = [
            _Token(m.lastgroup or "", m[m.lastgroup or 0], m.start(m.lastgroup or 0))
            for m in _TOKEN.finditer(said)
        ]
        self._next = 0

    def parse(self) -> Node:
        if self._peek().kind == "end":
            return All()
        node = self._either()
        if self._peek().kind != "end":
            self._fail("AND, OR or the end")
        return node

    def _either(self) -> Node:
        nodes = [self._both()]
        while self._take("word", "OR"):
            nodes.append(self._both())
        return nodes[0] if len(nodes) == 1 else Some(tuple(nodes))

    def _both(self) -> Node:
        nodes = [self._negated()]
        while self._take("word", "AND"):
            nodes.append(self._negated())
        return nodes[0] if len(nodes) == 1 else All(tuple(nodes))

    def _negated(self) -> Node:
        negated = False
        while self._take("word", "NOT"):
            negated = not negated
        node = self._group() if self._take("sign", "(") else self._condition()
        return Not(node) if negated else node

    def _group(self) -> Node:
        if self._depth is not None:
            if self._depth == 0:
                raise RequestError("filter is nested too deep", self._pointer)
            self._depth -= 1
        node = self._either()
        self._expect(")")
        if self._depth is not None:
            self._depth += 1
        return node

    def _condition(self) -> Node:
        token = self._peek()
        if token.kind not in ("word", "string"):
            self._fail("a field's name")
        self._next += 1
        name = token.text if token.kind == "word" else _unquoted(token.text)
        sign = self._peek().text
        if self._take("sign", ":"):
            return self._test(name)
        if self._take("sign", "="):
            return among(name, (self._value(),), self._pointer)
        if self._take("sign", "!="):
            return Not(among(name, (self._value(),), self._pointer))
        if sign not in _BOUNDS:
            self._fail("=, !=, <, <=, >, >= or :")
        self._next += 1
        return Range(name, **{_BOUNDS[sign]: self._value()}, pointer=self._pointer)  # type: ignore[arg-type]

    def _test(self, name: str) -> Node:
        if self._take("word", "EXISTS"):
            return Exists(name, self._pointer)
        if self._take("word", "SAME_AS_SEED"):
            return SameAsSeed(name, self._pointer)
        if self._take("word", "ANY"):
            return among(name, self._values(), self._pointer)
        if self._take("word", "EXCEPT"):
            return among(name, self._values(), self._pointer, other=True)
        self._fail(", ".join(_TESTS), nearest(self._peek().text.upper(), _TESTS))

    def _values(self) -> tuple[Operand, ...]:
        self._expect("(")
        values = [self._value()]
        while self._take("sign", ","):
            values.append(self._value())
        self._expect(")")
        return tuple(values)

    def _value(self) -> Operand:
        token = self._peek()
        if token.kind == "string":
            self._next += 1
            return _unquoted(token.text)
        if token.kind == "number" and abs(number := float(token.text)) != float("inf"):
            self._next += 1
            return number
        self._fail("a quoted string or a number", f'"{token.text}"' if token.kind == "word" else None)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, kind: str, text: str) -> bool:
        """Step over the next token if it is this one; words of the grammar are known in any case."""
        token = self._peek()
        taken = token.kind == kind and token.text.upper() == text
        self._next += taken
        return taken

    def _expect(self, sign: str) -> None:
        if not self._take("sign", sign):
            self._fail(sign)

    def _fail(self, expected: str, suggestion: str | None = None) -> NoReturn:
        at = self._peek().at
        found = repr(self._said[at : at + 20]) if at < len(self._said) else "its end"
        raise RequestError(
            f"filter, character {at + 1}: expected {expected}; found {found}", self._pointer, suggestion
        )


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
