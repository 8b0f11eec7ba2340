"""Sizes in a `.pt2` file: expressions that torch evaluates as Python. Only arithmetic of ordinary numbers passes.

A power may be short and have more digits than there is memory, and some functions of sympy take longer the more they
are given, so that both are bounded before anything is evaluated.
"""

from __future__ import annotations

import ast
import re

LONGEST, MOST_NODES = 20_000, 1_000
"""Characters and parts of an expression; those of deep networks have some dozens."""
MOST_BITS = 4_096
"""Of the largest number that an expression can come to, sizes counted as 64 bits."""
MOST_ARGUMENTS = 16
"""Of a function; Max and Min compare each with each."""
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
PARTS = (ast.Load, ast.keyword, ast.unaryop, ast.boolop, ast.cmpop, *OPERATORS)
FUNCTIONS = frozenset({
    "Add", "Mul", "Pow", "Integer", "Symbol", "Rational", "Float", "Max", "Min", "Mod", "PythonMod", "FloorDiv",
    "CleanDiv", "IntTrueDiv", "FloatTrueDiv", "CeilToInt", "FloorToInt", "TruncToInt", "RoundToInt", "ToFloat", "Abs",
    "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality", "max", "min", "abs", "L", "math",
})  # fmt: skip
ATTRIBUTES = frozenset(("size", "ceil", "floor", "sqrt", "trunc"))
WORD = re.compile(r"[A-Za-z_]\w{0,99}|-?\d{1,19}")


def is_arithmetic(text: str) -> bool:
    """Whether an expression is arithmetic on sizes, whose result has an ordinary number of digits."""
    if len(text) > LONGEST:
        return False
    try:
        tree = ast.parse(text.strip(), mode="eval")
        parts = list(ast.walk(tree))
        return len(parts) <= MOST_NODES and all(map(_is_harmless, parts)) and _bits(tree.body) <= MOST_BITS
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_harmless(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name):
            return name in FUNCTIONS or re.fullmatch(r"_?[su]\d+|_[a-z]+", name) is not None
        case ast.Attribute(attr=name):
            return name in ATTRIBUTES
        case ast.Constant(value=str(value)):
            return WORD.fullmatch(value) is not None
        case ast.Constant(value=value):
            return value is None or (isinstance(value, int | float) and abs(value) < 2**64)
        case ast.BinOp(left=left, right=right):
            return isinstance(node.op, OPERATORS) and not any(_is_text(part) for part in (left, right))
        case ast.Call(args=args, keywords=keywords):
            return len(args) + len(keywords) <= MOST_ARGUMENTS
    expressions = (ast.Expression, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Subscript)
    return isinstance(node, (*expressions, *PARTS))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _bits(node: ast.AST) -> float:
    """An upper bound of the digits, in bits, that an expression comes to."""
    match node:
        case ast.Constant():
            return 64
        case ast.BinOp(left=base, op=ast.Pow(), right=exponent):
            return _power(base, exponent)
        case ast.Call(func=ast.Name(id="Pow"), args=[base, exponent, *_]):
            return _power(base, exponent)
        case ast.Name() | ast.Attribute() | ast.Subscript():
            return 64
    return sum(_bits(part) for part in ast.iter_child_nodes(node)) or 1


def _power(base: ast.AST, exponent: ast.AST) -> float:
    return _bits(base) * abs(_whole(exponent))


def _whole(node: ast.AST) -> float:
    """The number that an exponent is; infinite where it is none that is written down."""
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.UnaryOp(operand=operand):
            return _whole(operand)
        case ast.Call(func=ast.Name(id="Integer" | "Rational" | "Float"), args=[first, *_]):
            return _whole(first)
        case ast.Constant(value=float(value)):
            return value
        case ast.Constant(value=str(value)) if value.lstrip("-").isdecimal():
            return int(value)
    return float("inf")
