"""Expressions against Python's own meaning, what missing values do, and everything that must be refused."""

import math
import operator
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tripletclip.errors import UserError
from tripletclip.screening.expressions import column_names, number_of, truth_of

TABLE = pa.table(
    {
        "s_xy": [0.5, 0.1, None, math.nan],
        "s_xny": [0.4, 0.3, 0.2, 0.1],
        "words": [3, 0, 5, -7],
        "category": ["swap", "object", None, "swap"],
        "nothing": pa.nulls(4),
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s_xy > 0.25 and s_xny < s_xy", [True, False, None, None]),
        ("s_xy > 0.25 or words == 5", [True, False, True, None]),
        ("not s_xy > 0.25", [False, True, None, None]),
        ("category == 'swap'", [True, False, None, True]),
        ('category != "swap" and words <= 5', [False, True, None, False]),
        ("0 <= words < 5", [True, True, False, False]),
        ("abs(words) >= 5", [False, False, True, True]),
        ("min(s_xny, words, 0.35) == 0.35", [True, False, False, False]),
        ("max(s_xy, s_xny) > 0.45", [True, False, None, None]),
        ("1 / words > 0", [True, True, True, False]),
        ("0 / words != 1", [True, None, True, True]),
        ("nothing > 1", [None] * 4),
        ("s_xny - s_xy * 2 == -0.6", [True, False, None, None]),
    ],
)
def test_conditions_by_hand(text: str, expected: list[bool | None]) -> None:
    assert truth_of(text, TABLE).to_pylist() == expected


def test_numbers_by_hand() -> None:
    assert number_of("(s_xy + -s_xny) / 2", TABLE).to_pylist() == [pytest.approx(0.05), pytest.approx(-0.1), None, None]


Meaning = Callable[[float, float], Any]
Phrase = tuple[str, Meaning]
"""An expression over columns a and b, and a function that computes the same without it."""


def joined(parts: tuple[Phrase, tuple[str, Callable[[Any, Any], Any]], Phrase]) -> Phrase:
    (left, of_left), (sign, combine), (right, of_right) = parts
    return f"({left} {sign} {right})", lambda a, b: combine(of_left(a, b), of_right(a, b))


def applied(name: str, function: Callable[..., Any], *phrases: Phrase) -> Phrase:
    text = f"({name} {phrases[0][0]})" if name in ("-", "not") else f"{name}({', '.join(text for text, _ in phrases)})"
    return text, lambda a, b: function(*(meaning(a, b) for _, meaning in phrases))


ARITHMETIC = [("+", operator.add), ("-", operator.sub), ("*", operator.mul)]
COMPARISONS = [("<", operator.lt), ("<=", operator.le), (">", operator.gt), (">=", operator.ge)]
EQUALITIES = [("==", operator.eq), ("!=", operator.ne)]
LEAVES: list[Phrase] = [("a", lambda a, b: a), ("b", lambda a, b: b), ("2.5", lambda a, b: 2.5), ("0", lambda a, b: 0)]
NUMBER = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(ARITHMETIC), inner).map(joined),
        inner.map(lambda one: applied("-", operator.neg, one)),
        inner.map(lambda one: applied("abs", abs, one)),
        st.tuples(inner, inner).map(lambda two: applied("min", min, *two)),
        st.tuples(inner, inner).map(lambda two: applied("max", max, *two)),
    ),
    max_leaves=6,
)
TRUTH = st.recursive(
    st.tuples(NUMBER, st.sampled_from(COMPARISONS + EQUALITIES), NUMBER).map(joined),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([("and", operator.and_), ("or", operator.or_)]), inner).map(joined),
        inner.map(lambda one: applied("not", operator.not_, one)),
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(TRUTH, st.integers(-3, 3), st.integers(-3, 3))
def test_expressions_mean_what_python_means(phrase: Phrase, a: int, b: int) -> None:
    text, meaning = phrase
    table = pa.table({"a": [a], "b": [b]})
    assert truth_of(f"{text} or a != a", table).to_pylist() == [meaning(a, b)]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true') == 0",
        "s_xy.__class__ == 1",
        "(lambda: 1)() > 0",
        "[s_xy][0] > 0",
        "s_xy ** 9 > 0",
        "s_xy // 2 > 0",
        "category in ('swap',)",
        "s_xy is None",
        "open('x') > 0",
        "min(*words) > 0",
        "min(words) > 0",
        "abs(words, 1) > 0",
        "abs(x=words) > 0",
        "(y := 1) > 0",
        "f'{s_xy}' == 'a'",
        "s_xy if 1 else 2",
        "~words > 0",
        "True",
        "words > True",
        "s_xy > None",
        "1j > s_xy",
        "words > " + "9" * 400,
        "category > 'a'",
        "category == 1",
        "category + 'a' == 'b'",
        "s_xy and words",
        "not words",
        "words",
        "1 > 0",
        "s_xy >",
        "",
        "s_xy > 0; words > 0",
        "a\0b",
        "(" * 300 + "s_xy > 0" + ")" * 300,
        "not " * 400 + "s_xy > 0",
        "s_xy > 0 " + "or s_xy > 0 " * 200,
    ],
)
def test_everything_else_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UserError) as refusal:
        truth_of(text, TABLE)
    assert "\n" not in str(refusal.value)


def test_an_unknown_column_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown column 's_yx'; did you mean 's_xy'"):
        truth_of("s_yx > 0", TABLE)


def test_the_columns_of_an_expression_are_those_it_reads() -> None:
    text: Any = "min(s_xy, b) > abs(c) and category == 'words'"
    assert column_names(text) == ["b", "c", "category", "s_xy"]
