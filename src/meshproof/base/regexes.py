"""Compiles regexes as istiod and its proxies take them: RE2, of a bounded size.

google-re2 wraps the library that Envoy uses. It is one wheel of 0.6 MB for CPython 3.9 and later on
Linux, macOS and Windows. It loads in 30 ms, and only if a rule has a regex.
"""

from __future__ import annotations

import functools
from typing import Any

#: The longest regex that istiod takes (Istio, pkg/config/validation, validateStringRegexp).
MAX_LENGTH = 1024
#: The largest compiled regex that a proxy of Istio takes (re2.max_program_size.error_level of its
#: bootstrap).
MAX_PROGRAM_SIZE = 32768
#: RE2 gives up at once on a larger one. With so many bytes it compiles all up to MAX_PROGRAM_SIZE.
_MAX_BYTES = 640 * 1024


@functools.lru_cache(maxsize=4096)
def compile_regex(pattern: str) -> Any:
    """Return the compiled regex, or in words why Istio refuses it."""
    import re2

    if len(pattern.encode()) > MAX_LENGTH:
        return f"it has {len(pattern.encode())} bytes, and istiod takes at most {MAX_LENGTH}"
    options = re2.Options()
    options.log_errors = False  # RE2 would write to standard error
    options.max_mem = _MAX_BYTES
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "not a regex"
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
    if compiled._regexp.ProgramSize() > MAX_PROGRAM_SIZE:
        return "its repetitions make it larger than Istio's proxies take"
    return compiled
