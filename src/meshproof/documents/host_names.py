"""Tells what can be a host from what somebody has still to fill in."""

from __future__ import annotations

import re

from meshproof.documents.value import Value

#: Lax on purpose: Istio takes IP addresses, ports and wildcards within a label, too.
_HOST = re.compile(r"[\w.*:/-]+", re.A)
_PLACEHOLDER = re.compile(r"[<>{}$%@]")
#: Filled in when the objects are applied: Flux, "Post build variable substitution"; envsubst.
_VARIABLE = re.compile(r"\$\{\w+\}", re.A)


def read_host(value: Value) -> str:
    """Return the host in a value.

    Raises BadRules where no host has such a name, Unsupported where a variable is part of it.
    """
    host = value.non_empty_text()
    if not _HOST.fullmatch(host):
        if _VARIABLE.search(host):
            raise value.at.unsupported(
                f"'{host}' has a variable that is filled in later; put its "
                "value there and check the result",
                path=value.path,
            )
        is_placeholder = _PLACEHOLDER.search(host)
        hint = "; is it a placeholder? render it and check the result" if is_placeholder else ""
        raise value.at.error(f"no host can be named '{host}'{hint}", path=value.path)
    return host
