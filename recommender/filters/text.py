"""Parse the text form of a filter, for command lines and query strings."""

import math
import re
from typing import Any, NoReturn

from recommender.errors import RequestError, nearest
from recommender.filters.conditions import And, Exists, Node, Not, Operand, Or, Range, SameAsSeed, field_in
from recommender.filters.limits import FilterLimits

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
    | (?P<number> [-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]) )
    | (?P<word>   [^\W\d][\w.-]* )
    | (?P<sign>   [<>!]= | [=<>():,] )
    | (?P<end>    \Z )
    | (?P<other>  . ) )""",
    re.VERBOSE | re.DOTALL,
)
_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_TESTS = ("ANY", "EXCEPT", "EXISTS", "SAME_AS_SEED")


def parse_text(text: str, limits: FilterLimits, pointer: str) -> Node:
    """Parse a line such as ``availability = "in_stock" AND price < 80 AND NOT brand: ANY("Acme", "Ark")``.

    A field is compared by ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` with a quoted string or a number (a date is
    a string in ISO 8601), or tested by ``: ANY(...)``, ``: EXCEPT(...)``, ``: EXISTS`` or ``: SAME_AS_SEED``.
    ``x != y`` is ``NOT x = y``. ``NOT`` binds before ``AND`` before ``OR``; parentheses group; keywords are
    case-insensitive. A field whose name is not a word is quoted.

    Parameters
    ----------
    text
        The filter; an empty one matches everything.
    limits
        Limits the nesting of parentheses, conditions and values.
    pointer
        JSON pointer to it in the request.
    """
    return _Parser(text, limits, pointer).parse()


class _Parser:
    """A recursive-descent parser, one method per rule; tokens are read lazily."""

    def __init__(self, text: str, limits: FilterLimits, pointer: str) -> None:
        self._source, self._limits, self._pointer = text, limits, pointer
        self._kind, self._text, self._at, self._end = "", "", 0, 0
        self._step()

    def parse(self) -> Node:
        if self._kind == "end":
            return And()
        node = self._or_expression()
        if self._kind != "end":
            self._fail("AND, OR or its end")
        return node

    def _or_expression(self) -> Node:
        nodes = [self._and_expression()]
        while self._take("word", "OR"):
            nodes.append(self._and_expression())
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def _and_expression(self) -> Node:
        nodes = [self._not_expression()]
        while self._take("word", "AND"):
            nodes.append(self._not_expression())
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def _not_expression(self) -> Node:
        negated = False
        while self._take("word", "NOT"):
            self._limits.take("conditions", negated)  # a row of them is not free
            negated = not negated
        node = self._group() if self._take("sign", "(") else self._condition()
        return Not(node) if negated else node

    def _group(self) -> Node:
        self._limits.enter(self._pointer)
        node = self._or_expression()
        self._expect(")")
        self._limits.leave()
        return node

    def _condition(self) -> Node:
        self._limits.take("conditions")
        name = self._name()
        if self._take("sign", ":"):
            return self._test(name)
        if self._take("sign", "="):
            return field_in(name, (self._value(),), self._pointer)
        if self._take("sign", "!="):
            return Not(field_in(name, (self._value(),), self._pointer))
        if self._text not in _BOUNDS:
            self._fail("=, !=, <, <=, >, >= or :")
        bound = _BOUNDS[self._step()]
        bounds: dict[str, Any] = {bound: self._value()}
        return Range(name, **bounds, pointer=self._pointer)

    def _test(self, name: str) -> Node:
        if self._take("word", "EXISTS"):
            return Exists(name, self._pointer)
        if self._take("word", "SAME_AS_SEED"):
            return SameAsSeed(name, self._pointer)
        if self._take("word", "ANY"):
            return field_in(name, self._values(), self._pointer)
        if self._take("word", "EXCEPT"):
            return field_in(name, self._values(), self._pointer, negated=True)
        return self._fail(" or ".join(_TESTS), nearest(self._text.upper(), _TESTS))

    def _values(self) -> tuple[Operand, ...]:
        self._expect("(")
        values = [self._value()]
        while self._take("sign", ","):
            values.append(self._value())
        self._expect(")")
        return tuple(values)

    def _name(self) -> str:
        if self._kind == "word":
            return self._step()
        if self._kind == "string":
            return _unquoted(self._step())
        return self._fail("a field's name")

    def _value(self) -> Operand:
        self._limits.take("values")
        if self._kind == "string":
            return _unquoted(self._step())
        if self._kind == "number" and math.isfinite(float(self._text)):
            return float(self._step())
        suggestion = f'"{self._text}"' if self._kind == "word" else None
        return self._fail("a quoted string or a number", suggestion)

    def _step(self) -> str:
        """Move to the next token; return the text of the current one."""
        current = self._text
        match = _TOKEN.match(self._source, self._end)
        assert match is not None  # `other` or `end` matches anything
        assert match.lastgroup is not None
        self._kind, self._text = match.lastgroup, match[match.lastgroup]
        self._at, self._end = match.span(match.lastgroup)
        return current

    def _take(self, kind: str, text: str) -> bool:
        taken = self._kind == kind and self._text.upper() == text
        if taken:
            self._step()
        return taken

    def _expect(self, sign: str) -> None:
        if not self._take("sign", sign):
            self._fail(f"{sign!r}")

    def _fail(self, expected: str, suggestion: str | None = None) -> NoReturn:
        found = repr(self._source[self._at : self._at + 20]) if self._kind != "end" else "its end"
        message = f"filter, character {self._at + 1}: expected {expected}, found {found}"
        raise RequestError(message, self._pointer, suggestion)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
