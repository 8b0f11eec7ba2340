"""Writes docs/options.md from the fields of RunConfig; a test holds the page equal to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_seamless._napari.run.option_places import place_of
from napari_seamless.runs.config import GROUPS, RunConfig
from napari_seamless.runs.option import flag_of, option_of

PAGE = Path(__file__).parent / "options.md"
HEAD = """# The options of a run

`ns.run`, `ns.explain`, `ns.prepare` and `ns.start` take them as keyword arguments, `napari-seamless run`, `view` and
`explain` as flags, the window in its sections, and `ns.RunConfig` holds them as one value, for example to use the same
for many images:

```python
import napari_seamless as ns

config = ns.RunConfig.of(budget="2GB", keep="disk", region=ns.Region.of((0, 256), (0, 256)))
print(ns.explain("nuclei", "slide.svs", config=config))
```

A keyword goes before what a config says. `config.to_dict()` gives JSON and `RunConfig.from_dict` reads it; a result on
disk has it in its provenance.
"""


def page() -> str:
    return "\n".join((HEAD, *_tables()))


def _tables() -> Iterator[str]:
    for name, group in GROUPS.items():
        doc = type(getattr(RunConfig(), name)).__doc__ or ""
        yield f"## {doc.partition('.')[0].replace(chr(10) + '    ', ' ')}\n"
        yield "| keyword | flag | in the window | default | meaning |\n|---|---|---|---|---|"
        for key, of in group.items():
            option = option_of(of)
            flag = f"`{flag_of(key)}`" if option.in_shell else ""
            yield f"| `{key}` | {flag} | {place_of(key)} | {option.without or f'`{of.default!r}`'} | {option.help} |"
        yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
