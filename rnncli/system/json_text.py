"""Standard JSON: numbers that are not finite become null."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

# Lone surrogates cannot be encoded; a terminal obeys control characters, and programs split lines at the separators.
ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def dumps(content: Any, indent: int | None = None, ascii_only: bool = False) -> str:
    """Return the JSON text of mappings, lists, tuples and scalars; it can be encoded as UTF-8, or as ASCII."""
    text = json.dumps(_finite(content), ensure_ascii=ascii_only, indent=indent)
    return ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
