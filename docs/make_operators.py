"""Write docs/operators.md: the verdict on each of torch's operators, from the package's own tables.

    python docs/make_operators.py

Operators are those that torch itself lists (`aten`), without those that only write in place or into given
memory, and without internal ones.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import torch

from napari_seamless.program.ops.decomposed import DECOMPOSED
from napari_seamless.program.ops.pointwise import is_pointwise
from napari_seamless.program.ops.table import families, verdict
from napari_seamless.program.ops.verdicts import MEANING, without_rule

PAGE = Path(__file__).parent / "operators.md"
HEAD = """# Which operators give the same in tiles as on the whole image

Every operator of torch {version} (`aten`), with what becomes of it when an image is computed tile by tile. A network is
refused where it uses, on what depends on the image, one that is truly global, not for images, or that has no rule yet;
what acts on weights alone is computed once and may be anything. The refusal names the operator, the layer and the line
of code. This page is written by `docs/make_operators.py` from the tables in `program/ops/`.

| verdict | what it means | operators |
|---|---|---|
{counts}
"""


def packets() -> dict[str, list[str]]:
    """The overloads of each operator, by its name without them."""
    found: dict[str, list[str]] = defaultdict(list)
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, packet = schema.name.partition("::")
        if namespace != "aten" or packet.endswith("_") or "out" in schema.overload_name or not _is_tensors(schema):
            continue
        internal = packet.startswith("_") or packet.endswith("_copy")
        if hasattr(torch.ops.aten, packet) and not (internal and without_rule(packet) != "local"):
            found[packet].append(f"aten.{packet}.{schema.overload_name or 'default'}")
    return {packet: sorted(names) for packet, names in sorted(found.items())}


def _is_tensors(schema: torch.FunctionSchema) -> bool:
    """Whether it takes and gives tensors (torch lists operators of strings, numbers and lists too)."""
    return any("Tensor" in str(a.type) for a in schema.arguments) and any(
        "Tensor" in str(r.type) for r in schema.returns
    )


def _without_file(name: str) -> str:
    if is_pointwise(name):
        return "pointwise"
    return "taken apart by torch" if name in DECOMPOSED or without_rule(name) == "local" else ""


def page() -> str:
    known = {name: family for family, table in families().items() for name in table}
    rows: dict[str, list[str]] = defaultdict(list)
    for packet, names in packets().items():
        ruled = [n for n in names if n in known or n in DECOMPOSED or is_pointwise(n)]
        first = ruled[0] if ruled else names[0]
        how = f"`{known[first]}.py`" if first in known else _without_file(first)
        rows[verdict(first)].append(f"| `{packet}` | {how} |")
    counts = "\n".join(f"| {name} | {meaning} | {len(rows[name])} |" for name, meaning in MEANING.items())
    parts = [HEAD.format(version=torch.__version__.partition("+")[0], counts=counts)]
    for name in MEANING:
        parts.append(f"\n## {name.capitalize()}\n\n| operator | rule |\n|---|---|\n" + "\n".join(rows[name]) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
