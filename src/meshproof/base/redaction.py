"""Removes secrets from evidence and reports: logs, objects, config dumps, messages of errors.

It removes PEM blocks (also in base64), JSON web tokens, tokens of known forms, credentials after
Bearer or Basic, passwords in URLs and after flags, and every value under the name of a secret:
passwords, tokens, API keys, authorization, cookies. It removes too much rather than too little.
Cookie conditions of rules stay, as they are what is judged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from meshproof.base.token_forms import KNOWN_TOKEN

HIDDEN = "[redacted]"
_WORDS = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|(?:api|access|private|account|signing|encryption)[_-]?key"
    r"|authorization|credential|cookie|session[_-]?id|signature|jwt|dockerconfigjson|dockercfg"
    # Short words are names of secrets only where a word of the name begins: not `compass`.
    r"|(?<![a-z])(?:pass|pat|creds?|auth|pw|bindpw|sig|webhook)"
    r"|(?-i:(?<=[a-z])(?:Pass|Pat|Creds?|Auth|Sig|Webhook))"
)
#: The end of a name such as `DB_PASSWORD`, `clientSecret`, `x-api-key`, `secret_key_base`.
_SECRET_NAME = rf"(?:{_WORDS})s?(?:[_-](?:base|hash|id|key|value))*"
_SECRET = re.compile(rf"{_SECRET_NAME}$", re.I)
_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)"
    r"|^(?:[A-Za-z0-9+/=]{20,}\n)*-----END [A-Z0-9 ]+-----"  # a log may begin inside a block
    r"|PuTTY-User-Key-File-\d:.*?(?:Private-(?:MAC|Hash): *[0-9a-f]+|\Z)",
    re.S | re.M,
)
#: `-----BEGIN` in base64.
_PEM64 = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=_-]*")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
#: The hashes of crypt(5).
_HASH = re.compile(r"\$(?:apr1|1|2[abxy]?|5|6|y)\$[^\s:\"']+")
#: A word after a scheme is a credential in a header, or where it looks like one: not "Basic rules".
_SCHEME = re.compile(
    r"(authorization\W{1,4})?\b((?:Bearer|Basic|Digest|Negotiate|ApiKey)\s+)"
    r"(?(1)|(?=[a-z._~+/-]*[\d=]|(?-i:[A-Za-z._~+/-]+[A-Z])))[a-z0-9._~+/=-]{6,}",
    re.I,
)
#: A password may have a `/`, but after a port begins the path.
_URL = re.compile(
    r"(\b[a-z][a-z0-9+.-]{0,20}://)"
    r"(?:[^\s/@\"']+|[^\s/@:\"'\[]*:(?!\d{1,5}[/?#])[^\s@\"']+)@",
    re.I,
)
_URL_PARAMETER = re.compile(r"([?&](?:code|sig|key|state)=)[^&\s\"']+", re.I)
_IS = r"""\\?["']?[ \t]*[:=][ \t]*"""
#: Headers whose value is the rest of the line or of the quoted text.
_HEADER = re.compile(
    rf"""((?:authorization|cookie){_IS}\\?["']?)([^"'\n\r\\]+)""",
    re.I,
)
_PAIR = re.compile(
    rf"""(?P<name>{_SECRET_NAME}{_IS})"""
    r"""(?P<value>\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|[^\s,;&"'{}\[\]]+)""",
    re.I,
)
_FLAG = re.compile(rf"(--[\w-]{{0,40}}?{_SECRET_NAME}[ ]+)\S+", re.I)
#: `-u USER:PASSWORD` of curl and `-pPASSWORD` of mysql; words of a command line before a secret.
_SHORT_FLAG = re.compile(
    r"((?:^|\s)(?:-u|--user)[ =]+[^\s:]+:)\S+|(\bm(?:ysql|ariadb)\w*\b.*?\s-p)\S+"
)
_SHORT_FLAGS = ("-p", "-u", "--user")
#: In a log: `login with password X`.
_AFTER_WORD = re.compile(r"(\b(?:password|passwd|passphrase|bindpw)[ \t]+)[^\s:=,;\[]{6,}", re.I)
#: In YAML: a name whose value is in the lines below it, and a name beside its value.
_YAML_SECRET = rf"""["']?[\w.-]*?{_SECRET_NAME}["']?"""
_YAML_KEY = re.compile(rf"(\s*)(?:- )?{_YAML_SECRET}:\s*(?:[|>][-+0-9]*)?\s*$", re.I)
_YAML_NAME = re.compile(rf"\s*(?:- )?(?:name|key):\s*{_YAML_SECRET}\s*$", re.I)
_YAML_VALUE = re.compile(r"(\s*(?:- )?value:\s*)\S.*")
_YAML_ITEM = re.compile(r"(\s*(?:- )?)\S.*")
_YAML_TYPE = re.compile(r"\s*(?:- )?type:")
#: A name with its value in braces, of YAML or JSON; the type of a match may be between them.
_ENTRY = re.compile(
    rf"""(\b(?:name|key)["']?:\s*{_YAML_SECRET}\s*,\s*(?:["']?type["']?:\s*["']?\w+["']?\s*,\s*)?"""
    r"""["']?value["']?:\s*)(?:(["'])(?:(?!\2)[^\\]|\\.)*\2|[^\s,}\]][^\n,}\]]*)""",
    re.I,
)
#: Keys of an object with a name and a value: an env variable, a header to add, a matcher.
_NAMES = ("name", "key", "headerName", "header_name")
_VALUES = ("value", "raw_value", "inline_string", "inline_bytes", "data")
_MATCHES = ("exact", "prefix", "suffix", "contains", "regex")
_MATCHERS = ("string_match", "exact_match", "prefix_match", "safe_regex_match")


def redact_text(content: str) -> str:
    """Return a text without secrets. JSON stays JSON, and so does JSON within JSON."""
    if content.lstrip()[:1] in ("{", "["):
        try:
            return json.dumps(redact_value(json.loads(content)))
        except (ValueError, RecursionError):
            pass  # it only begins like JSON
    redacted = _URL_PARAMETER.sub(rf"\1{HIDDEN}", redact_tokens(content))
    redacted = _HEADER.sub(rf"\1{HIDDEN}", redacted)
    redacted = _SHORT_FLAG.sub(lambda match: f"{match[1] or match[2]}{HIDDEN}", redacted)
    redacted = _ENTRY.sub(rf"\1\2{HIDDEN}\2", redacted)
    redacted = "\n".join(_redact_yaml(redacted.split("\n")))
    redacted = _FLAG.sub(rf"\1{HIDDEN}", _PAIR.sub(_hide_value, redacted))
    return _AFTER_WORD.sub(rf"\1{HIDDEN}", redacted)


def redact_tokens(content: str) -> str:
    """Return a text without what is a secret by its own form: keys, tokens, passwords in URLs.

    What is one by its name alone stays: the headers and cookies that rules match are judged.
    """
    redacted = _PEM64.sub(HIDDEN, _PEM.sub(HIDDEN, content))
    redacted = KNOWN_TOKEN.sub(HIDDEN, _JWT.sub(HIDDEN, _HASH.sub(HIDDEN, redacted)))
    return _SCHEME.sub(rf"\1\2{HIDDEN}", _URL.sub(rf"\1{HIDDEN}@", redacted))


def _redact_yaml(lines: list[str]) -> Iterator[str]:
    """Yield lines of text; values in lines below the name of a secret are hidden, as in YAML."""
    key_indent: int | None = None
    follows_name = False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        is_below = key_indent is not None and (
            indent > key_indent or (indent == key_indent and line.lstrip().startswith("- "))
        )
        if is_below or not line.strip():
            yield _YAML_ITEM.sub(rf"\1{HIDDEN}", line) if is_below else line
            continue
        key = _YAML_KEY.match(line)
        key_indent = len(key[1]) if key else None
        yield _YAML_VALUE.sub(rf"\1{HIDDEN}", line) if follows_name else line
        is_type = follows_name and _YAML_TYPE.match(line) is not None
        follows_name = is_type or _YAML_NAME.match(line) is not None


def _hide_value(match: re.Match[str]) -> str:
    """Return a `name: value` pair with its value hidden; true, false and null stay."""
    secret = match["value"]
    if secret.startswith(HIDDEN[:-1]) or secret in ("true", "false", "null", "None"):
        return match[0]
    quote = '\\"' if secret.startswith('\\"') else secret[0] if secret[0] in "\"'" else ""
    return f"{match['name']}{quote}{HIDDEN}{quote}"


def names_a_secret(name: str) -> bool:
    """Say whether a name is that of a secret: `DB_PASSWORD`, `apiToken`, `set-cookie`."""
    return _SECRET.search(name) is not None


def _is_flag(word: str) -> bool:
    """Say whether the next word of a command line is a secret: `--password`."""
    return word in _SHORT_FLAGS or (
        word.startswith("-") and "=" not in word and names_a_secret(word)
    )


def redact_value(node: Any) -> Any:
    """Return a JSON value of the same shape without secrets.

    Of an object of the kind Secret only the metadata stays.
    """
    if isinstance(node, str):
        return redact_text(node)
    if isinstance(node, list):
        flags = [False, *(isinstance(item, str) and _is_flag(item) for item in node)]
        return [
            HIDDEN if is_secret else redact_value(item)
            for is_secret, item in zip(flags, node, strict=False)
        ]
    if not isinstance(node, dict):
        return node
    if node.get("kind") == "Secret" and "metadata" in node:
        visible_keys = ("apiVersion", "kind", "metadata")
        return {key: redact_value(node[key]) for key in visible_keys if key in node}
    name = next((str(node[key]) for key in _NAMES if key in node), "")
    if names_a_secret(name):
        return _redact_entry(name, node)
    return {
        key: _redact_named(str(key), child) if names_a_secret(str(key)) else redact_value(child)
        for key, child in node.items()
    }


def _redact_named(name: str, node: Any) -> Any:
    """Return a value under the name of a secret: only its shape, booleans and null stay."""
    if isinstance(node, dict):
        return _redact_entry(name, node)
    if isinstance(node, list):
        return [_redact_named(name, item) for item in node]
    return node if isinstance(node, bool) or node is None else HIDDEN


def _redact_entry(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Return a name-value object whose name is that of a secret, with its value hidden."""
    hidden_keys = _VALUES if "cookie" in name.lower() else (*_VALUES, *_MATCHES, *_MATCHERS)
    redacted: dict[str, Any] = {}
    for key, child in entry.items():
        if key in hidden_keys or (
            key in (*_VALUES, *_MATCHERS) and isinstance(child, (dict, list))
        ):
            redacted[key] = _redact_named(name, child)
        else:
            redacted[key] = (
                _redact_named(key, child) if names_a_secret(key) else redact_value(child)
            )
    return redacted
