"""What the TOML files here have in common: a schema number first, no unknown names, and faults told by their place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_seamless.errors import SeamlessError
from napari_seamless.models.description_files import DEEPEST, check_values, read_text

SCHEMA = 1
FAULTS_TOLD = 3
DEEP_KEY = re.compile(rf"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{DEEPEST},}}""")
"""A name of a table in a table in a table: each takes longer to read than the one before."""

File = TypeVar("File", bound=BaseModel)


class Table(BaseModel):
    """A table of the file; names that are not known are refused, so that a slip of the pen is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_fields(file: Path, what: str, refusal: type[SeamlessError]) -> dict[str, Any]:
    """The fields of a TOML file that is `what` ("a recipe"). Raises `refusal` where it is none of this schema."""
    try:
        text = read_text(file, what, refusal)
        if DEEP_KEY.search(text):
            raise refusal(f"{what} has at most {DEEPEST} tables inside each other; {file} names more; do not open it")
        found = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, refusal):
            raise
        raise refusal(f"{what} is a TOML file; {file} cannot be read as one: {error}; correct it") from error
    check_values(found, what, refusal)
    if found.get("schema") != SCHEMA:
        raise refusal(
            f"{what} says 'schema = {SCHEMA}', the version known here; {file} says {found.get('schema')!r}; "
            "add it as the first line, or update napari-seamless"
        )
    return found


def checked(schema: type[File], fields: dict[str, Any], where: str, what: str, refusal: type[SeamlessError]) -> File:
    """These fields as `schema`. Raises `refusal` with the first three faults."""
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'as a whole'}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()[:FAULTS_TOLD]
        ]
        left = error.error_count() - len(faults)
        more = f" (and {left} more)" if left else ""
        raise refusal(f"{what} must follow its schema; {where} has {'; '.join(faults)}{more}; correct it") from error
