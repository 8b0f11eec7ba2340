"""The table of operators: torch's name -> what is known of it. What is neither here nor pointwise is refused.

Each family of operators is a file of this folder, with rule, kernel, builder and traits, and a table `OPERATORS` of its
own. The tables are put together here, in the order of the files' names: a new family is its file alone.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from napari_seamless.program import ops
from napari_seamless.program.ops.decomposed import DECOMPOSED
from napari_seamless.program.ops.pointwise import TAGGED, is_pointwise
from napari_seamless.program.ops.request import Built, Operator, Operators, Request, Unsupported
from napari_seamless.program.ops.verdicts import Verdict, reason, without_rule


def families() -> dict[str, Operators]:
    """The table of each file of the folder that has one, by the file's name, in order of the names."""
    names = sorted(module.name for module in iter_modules(ops.__path__) if module.name != "table")
    tables = {name: getattr(import_module(f"{ops.__name__}.{name}"), "OPERATORS", None) for name in names}
    return {name: table for name, table in tables.items() if table is not None}


def verdict(target: str) -> Verdict:
    """What can become of one of torch's operators by tiles: see `verdicts.MEANING`."""
    for name, table in families().items():
        if target in table:
            found: Verdict = getattr(import_module(f"{ops.__name__}.{name}"), "VERDICT", "local")
            return found
    return "local" if is_pointwise(target) or target in DECOMPOSED else without_rule(target)


OPERATORS: Operators = {name: operator for table in families().values() for name, operator in table.items()}


def operator(target: str) -> Operator | None:
    """What is known of one of torch's operators; None of one that is to be refused."""
    return OPERATORS.get(target) or (TAGGED if is_pointwise(target) else None)


def build(request: Request) -> Built:
    """The operation for one traced node. Raises Unsupported with the reason."""
    found = operator(request.target)
    if found is None:
        raise Unsupported(reason(request.target))
    return found.build(request)
