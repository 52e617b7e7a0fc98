"""Expressions over the columns of a data set: ``s_xy > 0.25 and s_xny < s_xy``.

Python's grammar, not Python: the text is parsed, each node must be one of the few below, and arrow does the work.
Nothing is evaluated as code. Numbers, text in quotes, column names, ``+ - * /``, comparisons, ``and or not``,
``abs(x)``, ``min(x, …)``, ``max(x, …)``.

A missing value or NaN makes whatever is computed from it missing, and ``not`` of it as well; a row is kept only where
the expression is true.
"""

import ast
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tripletclip.errors import UserError, unknown_name

LONGEST = 2000
"""Characters of an expression."""

_ARITHMETIC: Mapping[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
}
_COMPARISONS: Mapping[type[ast.cmpop], str] = {
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
}
_EXTREMES = {"min": "min_element_wise", "max": "max_element_wise"}
FUNCTIONS = ("abs", *_EXTREMES)

NUMBER, TEXT, TRUTH = "number", "text", "truth"

Value = Any
"""An arrow scalar or column; pyarrow has no type annotations."""


def column_names(text: str) -> list[str]:
    """The columns that an expression reads, sorted. Raises :class:`UserError` for anything that is no expression."""
    tree = _parsed(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called})


def truth_of(text: str, table: pa.Table) -> pa.ChunkedArray:
    """A condition over the rows of ``table``: boolean, null where a value is missing."""
    return _evaluated(text, table, TRUTH, "a condition such as 's_xy > 0.25'")


def number_of(text: str, table: pa.Table) -> pa.ChunkedArray:
    """A number for each row of ``table``: double, null where a value is missing."""
    return _evaluated(text, table, NUMBER, "a number such as '(s_xy + s_nxny) / 2'")


def _evaluated(text: str, table: pa.Table, kind: str, wanted: str) -> pa.ChunkedArray:
    try:
        value = _Evaluator(text, table).value(_parsed(text))
    except RecursionError as error:
        raise UserError(f"expression '{text[:60]}…' is nested too deeply; write it flatter") from error
    if kind_of(value) != kind:
        raise UserError(f"expression '{text}' is a {kind_of(value)}; give {wanted}")
    if isinstance(value, pa.Scalar):
        raise UserError(f"expression '{text}' names no column; it would treat every row alike")
    return value if isinstance(value, pa.ChunkedArray) else pa.chunked_array([value])


def _parsed(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise UserError(f"an expression of {len(text)} characters is too long; use at most {LONGEST}")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            f"'{text}' is no expression ({error}); write one such as 's_xy > 0.25 and s_xny < s_xy'"
        ) from error


def kind_of(value: Value) -> str:
    """Number, text or truth; an all-null column passes for a number."""
    if pa.types.is_boolean(value.type):
        return TRUTH
    if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
        return TEXT
    return NUMBER


class _Evaluator:
    """Walks one expression; every node type that it does not know is refused."""

    def __init__(self, text: str, table: pa.Table) -> None:
        self._text = text
        self._table = table
        self._rules: Mapping[type[ast.expr], Callable[[Any], Value]] = {
            ast.Constant: self._constant,
            ast.Name: self._column,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._arithmetic,
            ast.Compare: self._compare,
            ast.BoolOp: self._boolean,
            ast.Call: self._call,
        }

    def value(self, node: ast.expr) -> Value:
        if type(node) not in self._rules:
            raise self._refusal(node, "is not allowed; use columns, numbers, + - * /, comparisons, and, or, not")
        return self._rules[type(node)](node)

    def _refusal(self, node: ast.expr | ast.operator, why: str) -> UserError:
        part = ast.get_source_segment(self._text.strip(), node) if isinstance(node, ast.expr) else type(node).__name__
        return UserError(f"expression '{self._text}': '{part}' {why}")

    def _of_kind(self, node: ast.expr, kind: str) -> Value:
        value = self.value(node)
        if kind_of(value) != kind:
            raise self._refusal(node, f"is a {kind_of(value)}, and a {kind} belongs there")
        return value

    def _constant(self, node: ast.Constant) -> Value:
        if isinstance(node.value, str):
            return pa.scalar(node.value)
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self._refusal(node, "is not allowed; use numbers and text in quotes")
        try:
            return pa.scalar(float(node.value))
        except OverflowError as error:
            raise self._refusal(node, "is too large a number") from error

    def _column(self, node: ast.Name) -> Value:
        if node.id not in self._table.column_names:
            raise unknown_name("column", node.id, self._table.column_names)
        column = self._table[node.id]
        if kind_of(column) == NUMBER:
            return _without_nan(column.cast(pa.float64()))
        return column

    def _unary(self, node: ast.UnaryOp) -> Value:
        if isinstance(node.op, ast.Not):
            return pc.invert(self._of_kind(node.operand, TRUTH))
        if isinstance(node.op, ast.USub | ast.UAdd):
            number = self._of_kind(node.operand, NUMBER)
            return pc.negate(number) if isinstance(node.op, ast.USub) else number
        raise self._refusal(node, "is not allowed; use '-' or 'not'")

    def _arithmetic(self, node: ast.BinOp) -> Value:
        if type(node.op) not in _ARITHMETIC:
            raise self._refusal(node, "is not allowed; use + - * /")
        left, right = self._of_kind(node.left, NUMBER), self._of_kind(node.right, NUMBER)
        return _without_nan(pc.call_function(_ARITHMETIC[type(node.op)], [left, right]))

    def _compare(self, node: ast.Compare) -> Value:
        parts = [node.left, *node.comparators]
        values = [self.value(part) for part in parts]
        truths = []
        for index, operator in enumerate(node.ops):
            if type(operator) not in _COMPARISONS:
                raise self._refusal(node, "is not allowed; compare by < <= > >= == !=")
            left, right = values[index], values[index + 1]
            ordered = not isinstance(operator, ast.Eq | ast.NotEq)
            if kind_of(left) != kind_of(right) or kind_of(left) == TRUTH or (ordered and kind_of(left) == TEXT):
                raise self._refusal(node, f"compares a {kind_of(left)} with a {kind_of(right)}; text knows == and !=")
            truths.append(pc.call_function(_COMPARISONS[type(operator)], [left, right]))
        return reduce(pc.and_kleene, truths)

    def _boolean(self, node: ast.BoolOp) -> Value:
        combine = pc.and_kleene if isinstance(node.op, ast.And) else pc.or_kleene
        return reduce(combine, [self._of_kind(part, TRUTH) for part in node.values])

    def _call(self, node: ast.Call) -> Value:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS or node.keywords:
            raise self._refusal(node, f"is not allowed; the functions are {', '.join(FUNCTIONS)}")
        numbers = [self._of_kind(argument, NUMBER) for argument in node.args]
        if name == "abs" and len(numbers) == 1:
            return pc.abs(numbers[0])
        if name != "abs" and len(numbers) >= 2:
            return pc.call_function(_EXTREMES[name], numbers, pc.ElementWiseAggregateOptions(skip_nulls=False))
        raise self._refusal(node, "has the wrong number of arguments; abs takes one, min and max two or more")


def _without_nan(number: Value) -> Value:
    return pc.if_else(pc.is_nan(number), pa.scalar(None, pa.float64()), number)
