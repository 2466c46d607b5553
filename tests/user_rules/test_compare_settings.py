"""`compare`: each behaviour of a route that is lost on one side is a change, and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshproof.cli import main
from tests.user_rules.shop_texts import GATEWAY

PLAIN = f"""\
{GATEWAY}\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: shop}}
spec:
  hosts: [shop.example]
  gateways: [gw]
  http:
  - match: [{{uri: {{prefix: /cart}}}}]
    route: [{{destination: {{host: cart, subset: v1}}}}]
  - route: [{{destination: {{host: web}}}}]
"""
_ROUTE = "    route: [{destination: {host: cart, subset: v1}}]\n"
_DELAY = "{fixedDelay: 2s, percentage: {value: 30}}"
_ABORT = "{httpStatus: 500, percentage: {value: 20}}"
_CORS = 'allowOrigins: [{exact: "https://a.example"}]'
_HOST = "destination: {host: cart, subset: v1}"
#: What a route has -> what it is replaced by, and a few words of the answers of both.
CHANGES = {
    "timeout": ("timeout: 1s", "", "timeout 1 s", "no timeout"),
    "shorter-timeout": ("timeout: 2s", "timeout: 1s", "timeout 2 s", "timeout 1 s"),
    "long-timeout": ("timeout: 60s", "", "timeout 60 s", "no timeout"),
    "timeout-beside-fault": (
        f"timeout: 3s\n    fault: {{delay: {_DELAY}}}",
        f"fault: {{delay: {_DELAY}}}",
        "timeout 3 s",
        "no timeout",
    ),
    "retries": (
        "retries: {attempts: 3, retryOn: 5xx}",
        "",
        "3 retries on 5xx",
        "the mesh's own retries",
    ),
    "attempts": ("retries: {attempts: 3}", "retries: {attempts: 4}", "3 retries", "4 retries"),
    "no-attempts": ("retries: {attempts: 0}", "", "no retries", "the mesh's own retries"),
    "perTryTimeout": (
        "retries: {attempts: 2, perTryTimeout: 2s}",
        "retries: {attempts: 2}",
        "2 s for each try",
        "the mesh's own retries",
    ),
    "retryOn": (
        'retries: {attempts: 2, retryOn: "5xx,reset"}',
        "retries: {attempts: 2, retryOn: 5xx}",
        "2 retries on 5xx, reset",
        "2 retries on 5xx",
    ),
    "delay": (f"fault: {{delay: {_DELAY}}}", "", "30 % are delayed by 2 s", "no share is delayed"),
    "delay-seconds": (
        f"fault: {{delay: {_DELAY}}}",
        f"fault: {{delay: {_DELAY.replace('2s', '3s')}}}",
        "30 % are delayed by 2 s",
        "30 % are delayed by 3 s",
    ),
    "whole-delay": (
        "fault: {delay: {fixedDelay: 2s, percentage: {value: 100}}}",
        "",
        "cart v1 after 2 s",
        "cart v1",
    ),
    "abort": (f"fault: {{abort: {_ABORT}}}", "", "500 (aborted) 20 %", "cart v1"),
    "mirror": ("mirror: {host: web}", "", "copies: 100 % to web", "no copies"),
    "mirror-percentage": (
        "mirror: {host: web}\n    mirrorPercentage: {value: 50}",
        "mirror: {host: web}\n    mirrorPercentage: {value: 60}",
        "copies: 50 % to web",
        "copies: 60 % to web",
    ),
    "mirror-host": (
        "mirror: {host: web}",
        "mirror: {host: cart, subset: v2}",
        "copies: 100 % to web",
        "copies: 100 % to cart v2",
    ),
    "cors": (f"corsPolicy: {{{_CORS}}}", "", "corsPolicy: origins exact", "no corsPolicy"),
    "cors-origin": (
        f"corsPolicy: {{{_CORS}}}",
        f"corsPolicy: {{{_CORS.replace('a.', 'b.')}}}",
        "exact 'https://a.example'",
        "exact 'https://b.example'",
    ),
    **{
        f"cors-{words.split()[0]}": (
            f"corsPolicy: {{{_CORS}, {field}}}",
            f"corsPolicy: {{{_CORS}}}",
            words,
            "corsPolicy: origins exact 'https://a.example'",
        )
        for field, words in (
            ("allowMethods: [PUT]", "methods PUT"),
            ("allowHeaders: [x-a]", "headers x-a"),
            ("exposeHeaders: [x-b]", "exposed headers x-b"),
            ("maxAge: 60s", "max age 60 s"),
            ("allowCredentials: true", "credentials"),
            ("unmatchedPreflights: IGNORE", "foreign preflights are not forwarded"),
        )
    },
    **{
        f"{way}-{verb}": (f"headers: {{{way}: {{{verb}: {names}}}}}", "", words, "cart v1")
        for way, back in (("request", "arrives as '1'"), ("response", "comes back as '1'"))
        for verb, names, words in (
            ("set", '{x-q: "1"}', f"x-q {back}"),
            ("add", '{x-q: "1"}', f"x-q {back}"),
            ("remove", "[x-q]", "x-q is removed"),
        )
    },
    "rewrite": ("rewrite: {uri: /basket}", "", "cart v1 as /basket", "cart v1"),
    "rewritten-authority": ("rewrite: {authority: b.example}", "", "at b.example", "cart v1"),
}


def compare(folder: Path, before: str, after: str) -> int:
    (folder / "a.yaml").write_text(before)
    (folder / "b.yaml").write_text(after)
    return main(["compare", str(folder / "a.yaml"), str(folder / "b.yaml"), "--no-send"])


def add_action(action: str) -> str:
    """Return the rules with one more action of the route of /cart."""
    return PLAIN.replace(_ROUTE, f"{_ROUTE}    {action}\n") if action else PLAIN


@pytest.mark.parametrize(
    ("former", "latter", "words", "other_words"), CHANGES.values(), ids=CHANGES
)
def test_a_changed_behaviour_of_a_route_is_found_either_way(
    tmp_path: Path, capsys: Any, former: str, latter: str, words: str, other_words: str
) -> None:
    texts = [(former, words), (latter, other_words)]
    for (before, before_words), (after, after_words) in (texts, texts[::-1]):
        assert compare(tmp_path, add_action(before), add_action(after)) == 1
        lines = capsys.readouterr().out.splitlines()
        smallest = lines.index("~ GET shop.example/cart")
        assert before_words in lines[smallest + 1]
        assert after_words in lines[smallest + 2]
        assert "~ GET shop.example/" not in lines


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("timeout: 1s", "timeout: 1000ms"),
        ("retries: {attempts: 2}", ""),
        (
            'retries: {attempts: 2, retryOn: "5xx,503"}',
            'retries: {attempts: 2, retryOn: "retriable-status-codes,503,5xx"}',
        ),
        ("mirror: {host: web}\n    mirrorPercentage: {value: 0}", ""),
        (
            "corsPolicy: {allowOrigins: [{exact: a}, {exact: b}], allowHeaders: [x-a, X-B]}",
            "corsPolicy: {allowOrigins: [{exact: b}, {exact: a}], allowHeaders: [x-b, x-a]}",
        ),
        (f"corsPolicy: {{{_CORS}, allowCredentials: false}}", f"corsPolicy: {{{_CORS}}}"),
    ],
)
def test_the_same_behaviour_in_other_words_changes_nothing(
    tmp_path: Path, capsys: Any, before: str, after: str
) -> None:
    code = compare(tmp_path, add_action(before), add_action(after))
    assert (code, "~" in capsys.readouterr().out) == (0, False)


def test_weights_of_one_destination_are_told_apart_by_their_headers(
    tmp_path: Path, capsys: Any
) -> None:
    def split(value: str) -> str:
        headers = 'headers: {request: {set: {x-group: "VALUE"}}}'
        weights = ", ".join(
            f"{{{_HOST}, weight: 50, {headers.replace('VALUE', group)}}}" for group in ("a", value)
        )
        return PLAIN.replace(_ROUTE, f"    route: [{weights}]\n")

    assert compare(tmp_path, split("b"), split("c")) == 1
    output = capsys.readouterr().out
    assert (
        "cart v1 by weight: 50 with request set x-group 'a', 50 with request set x-group 'b'"
        in (output)
    )
    assert compare(tmp_path, split("b"), split("b")) == 0
