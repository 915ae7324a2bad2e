"""How long a template may run, and how much it may make: a stranger wrote it.

Every turn of a loop and every call of a macro is counted and timed, and what an operator or a call
makes is measured, all within the thread that renders; a template cannot catch what stops it. What
a single call of a builtin makes out of little, and what adds up of many values, is bounded by the
memory that the process may take meanwhile.
"""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from quorate.engines.memory_bound import at_most

RENDER_SECONDS = 1.0
"""Processor time of one rendering; a chat of 10,000 turns takes a third of it."""

LONGEST_VALUE = 1 << 23
"""Characters or items of a single value: the longest prompts have some millions of characters."""

RENDER_BYTES = 512 << 20
"""Memory that compiling and rendering may take, where the process holds no limit of its own."""

_MAX_STEPS = 2_000_000
_STEPS_BETWEEN_LOOKS = 16
_MAX_BITS = 4096
_WIDE_FORMAT = re.compile(r"\d{6,}|\*")


class Overrun(Exception):
    """A template took too long, or made too much."""


class _Left(threading.local):
    """What the rendering of this thread may still take."""

    steps = 0
    until = 0.0


_left = _Left()


@contextmanager
def limited(seconds: float = RENDER_SECONDS) -> Iterator[None]:
    """Within it, what this thread renders may take so much processor time, all together.

    And the process no more memory than ``RENDER_BYTES``, where it holds no limit of its own.
    """
    before = _left.steps, _left.until
    until = time.thread_time() + seconds
    _left.steps, _left.until = _MAX_STEPS, min(until, before[1]) if before[0] else until
    try:
        with at_most(RENDER_BYTES):
            yield
    finally:
        _left.steps, _left.until = before


def bound(tree: nodes.Template) -> nodes.Template:
    """A template of which every loop, macro and concatenation is counted."""
    counted: nodes.Template = _Counted().visit(tree)
    return counted


class _Generator(CodeGenerator):
    """Leaves what is written to be computed when it is: Jinja tries filters of constants here."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if not isinstance(node, nodes.TemplateData):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox, with operators and calls that cannot make a value of any size.

    Nothing is computed while a template is compiled, where no limit holds.
    """

    code_generator_class = _Generator
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, optimized=False)
        self.filters[_STEP] = _step
        self.filters[_JOIN] = _join
        for name in ("center", "indent", "format", "slice", "batch"):
            self.filters[name] = _narrow(self.filters[name])
        self.filters["replace"] = _replace

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Computes, where the result is of a reasonable size."""
        _check_operands(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """Calls, with arguments of a reasonable size, and looks at what came of it."""
        _check_arguments((*args, *kwargs.values()))
        text = getattr(__obj, "__self__", None)
        if isinstance(text, str):
            _check_method(text, __obj.__name__, args)
        return _measured(super().call(__context, __obj, *args, **kwargs))


_STEP, _JOIN = "quorate_step", "quorate_join"


@jinja2.pass_context
def _step(context: Context, value: object) -> object:
    """Counts a turn of a loop, or the call of a macro."""
    _left.steps -= 1
    if _left.steps < 0:
        raise Overrun(f"it takes more than {_MAX_STEPS} steps")
    if _left.steps % _STEPS_BETWEEN_LOOKS == 0 and time.thread_time() > _left.until:
        raise Overrun("it takes too long")
    return value


def _join(parts: list[object]) -> str:
    """What ``~`` means."""
    texts = list(map(str, parts))
    if sum(map(len, texts)) > LONGEST_VALUE:
        raise Overrun("it makes too long a text")
    return "".join(texts)


def _replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    """The filter ``replace``, which escapes nothing here."""
    text, old, new = str(value), str(old), str(new)
    most = -1 if count is None else count
    _check_replace(text, old, new, most)
    return text.replace(old, new, most)


def _check_replace(text: str, old: Any = "", new: Any = "", most: Any = -1, *_: Any) -> None:
    if isinstance(old, str) and isinstance(new, str):
        found = text.count(old)
        times = min(found, most) if isinstance(most, int) and most >= 0 else found
        _check_size(len(text) + times * len(new))


def _check_join(text: str, parts: Any = (), *_: Any) -> None:
    if isinstance(parts, str | list | tuple | dict):
        sizes = (len(part) for part in parts if isinstance(part, str))
        _check_size(len(parts) * len(text) + sum(sizes))


def _check_tabs(text: str, size: Any = 8, *_: Any) -> None:
    if isinstance(size, int):
        _check_size(len(text) + text.count("\t") * max(size, 0))


def _check_size(size: int) -> None:
    if size > LONGEST_VALUE:
        raise Overrun("it makes too long a value")


def _check_method(text: str, name: str, args: tuple[Any, ...]) -> None:
    """Those methods of texts that make much out of little."""
    match name:
        case "replace":
            _check_replace(text, *args)
        case "join":
            _check_join(text, *args)
        case "expandtabs":
            _check_tabs(text, *args)


def _narrow(make: Any) -> Any:
    """A filter that takes no widths of any size."""

    # What Jinja has noted of it, such as that it wants the context first, holds for this too.
    @functools.wraps(make)
    def narrowed(value: Any, *args: Any, **kwargs: Any) -> Any:
        _check_arguments((*args, *kwargs.values()))
        if isinstance(value, str) and make.__name__ == "do_format":
            _check_operands("%", value, None)
        return _measured(make(value, *args, **kwargs))

    return narrowed


def _measured(value: Any) -> Any:
    if isinstance(value, str | list | tuple) and len(value) > LONGEST_VALUE:
        raise Overrun("it makes too long a value")
    return value


def _check_arguments(args: tuple[Any, ...]) -> None:
    if any(isinstance(one, int) and one > LONGEST_VALUE for one in args):
        raise Overrun("it asks for too long a value")


def _check_operands(operator: str, left: Any, right: Any) -> None:
    if operator == "+":
        size = _length(left) + _length(right)
    elif operator == "*":
        size = _product(left, right)
    elif operator == "**":
        size = LONGEST_VALUE + 1 if _bits(left) * _bits_as_count(right) > _MAX_BITS else 0
    else:
        size = LONGEST_VALUE + 1 if isinstance(left, str) and _WIDE_FORMAT.search(left) else 0
    if size > LONGEST_VALUE:
        raise Overrun("it makes too long a value")


def _product(left: Any, right: Any) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return LONGEST_VALUE + 1 if _bits(left) + _bits(right) > _MAX_BITS else 0
    if isinstance(left, int):
        left, right = right, left
    return _length(left) * right if isinstance(right, int) else 0


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 0


def _bits(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _bits_as_count(value: Any) -> int:
    return abs(value) if isinstance(value, int) else 0


class _Counted(NodeTransformer):
    """Puts a step into every loop and macro, and the counting join in place of ``~``."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - Jinja's name
        self._step(node)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:  # noqa: N802 - Jinja's name
        self._step(node)
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.CallBlock:  # noqa: N802 - Jinja's name
        self._step(node)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802 - Jinja's name
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, _JOIN, [], [], None, None, lineno=node.lineno)

    def _step(self, node: nodes.For | nodes.Macro | nodes.CallBlock) -> None:
        self.generic_visit(node)
        step = nodes.Filter(nodes.Const(0), _STEP, [], [], None, None, lineno=node.lineno)
        node.body.insert(0, nodes.ExprStmt(step, lineno=node.lineno))
