"""Comments go with what they are about; none is lost, whatever becomes of its place."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshproof.convert import convert
from meshproof.convert.nodes import Node
from meshproof.convert.source import read_source
from meshproof.convert.yaml_writer import format_text, write_documents

OLD = """\
# the file

# the rule
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata:
  name: canary # its name
spec:
  destination:
    name: shop # ours
  precedence: 3 # before the rest
  match:
    request:
      headers:
        # who
        cookie:
          regex: .*user=burr.* # burr # and no other
        x-hash: '#1' # not '#1'
  # where to
  route:
  - labels:
      version: v2 # new
    weight: 10
    # ten of a hundred
  - labels: {version: v1}
    weight: 90
  httpReqTimeout: # never long
    simpleTimeout:
      timeout: 3s
# the end
---
# of another object
apiVersion: v1
kind: Service
metadata: {name: other} # not ours
spec: {ports: [{port: 80}]}
---
# the default
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: rest}
spec: {destination: {name: shop}, route: [{labels: {version: v1}}]} # all to v1
"""

NEW = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: shop
spec:
  hosts:
  - shop # ours
  http:
  # the file
  # the rule
  # before the rest
  # the end
  - name: canary # its name
    match:
    - headers:
        # who
        cookie:
          regex: '.*user=burr.*' # burr # and no other
        x-hash:
          exact: '#1' # not '#1'
    # where to
    route:
    # ten of a hundred
    - destination:
        host: shop
        subset: v2 # new
      weight: 10
    - destination:
        host: shop
        subset: v1
      weight: 90
    timeout: 3s # never long
  # the default
  - name: rest
    route:
    - destination:
        host: shop
        subset: v1 # all to v1
"""


def test_each_comment_stands_where_the_same_is_said(converted: Any) -> None:
    assert converted(OLD).text.partition("---\n")[2] == NEW


def test_comments_of_what_is_left_out_stay_behind(converted: Any) -> None:
    text = converted(OLD).text
    assert "of another object" not in text
    assert "not ours" not in text


def test_a_comment_of_a_rule_that_is_left_out_is_kept(converted: Any, rule: Any) -> None:
    found = converted("# why\n" + rule("match: {source: {name: page}} # inside"))
    assert "# why\n" in found.text
    assert "# inside\n" in found.text


def test_comments_in_lists_of_objects_are_kept(converted: Any, rule: Any) -> None:
    """As `kubectl get routerules -o yaml` prints them."""
    items = "".join(f"  {line}\n" for line in rule("precedence: 1 # one").splitlines())
    text = "apiVersion: v1\nkind: List\nitems:\n# the first\n-" + items[1:]
    found = converted(text)
    assert "# the first\n" in found.text
    assert "# one\n" in found.text


BARE = (re.sub("(^| )# .*", "", line) for line in OLD.partition("---\n")[0].splitlines())
PLACES = [line.rstrip() for line in BARE if line.strip()]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sets(st.sampled_from(range(len(PLACES))), max_size=8), st.booleans())
def test_no_comment_is_lost(converted: Any, chosen: set[int], alone: bool) -> None:
    lines = []
    for index, line in enumerate(PLACES):
        indent = re.match(" *", line)
        mark = f"# comment {index}."
        if index in chosen and alone and indent:
            lines.append(f"{indent[0]}{mark}")
        lines.append(f"{line} {mark}" if index in chosen and not alone else line)
    text = converted("\n".join(lines) + "\n").text
    assert sorted(re.findall(r"# comment (\d+)\.", text), key=int) == [
        str(index) for index in sorted(chosen)
    ]


BLOCK = """\
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata:
  name: r
  annotations:
    about: | # a text
      # no comment
      two
    more: "a # b"
spec:
  destination: {name: shop}
  # the last
"""


def test_what_looks_like_a_comment_in_a_text_is_none(converted: Any) -> None:
    found = converted(BLOCK)
    head = found.objects["VirtualService", "shop"]["metadata"]
    assert head["annotations"] == {"about": "# no comment\ntwo\n", "more": "a # b"}
    assert "# a text" in found.text
    assert "# the last" in found.text
    assert found.text.count("no comment") == 1


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text()
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def node(value: Any, comment: str = "") -> Node:
    if isinstance(value, dict):
        return Node(
            {key: node(one, comment) for key, one in value.items()}, comments_above=[comment]
        )
    if isinstance(value, list):
        return Node(
            [node(one, comment) for one in value], line_comment=comment, comments_above=[comment]
        )
    return Node(value, line_comment=comment)


@settings(deadline=None)
@given(st.dictionaries(st.text(), TREES, min_size=1, max_size=4), st.sampled_from(["", "a: 'b'"]))
def test_what_is_written_reads_as_it_was(value: dict[str, Any], comment: str) -> None:
    text = write_documents([node(value, comment), Node({"a": Node(1)})])
    assert list(yaml.safe_load_all(text)) == [value, {"a": 1}]
    assert text.endswith("\n")


@pytest.mark.parametrize("word", ["y", "No", "on", "NULL", "~", "1e3", "0x1f", "1_0", "12:30", ""])
def test_words_that_readers_differ_about_are_quoted(word: str) -> None:
    assert format_text(word)[0] in "'\""


def test_the_same_input_gives_the_same_output(converted: Any) -> None:
    first = converted(OLD).text
    assert converted(OLD).text == first
    assert convert(read_source(["old.yaml"])).text == first


@pytest.mark.parametrize("line_break", ["\r", "\r\n"])
def test_a_file_with_other_line_breaks_gives_what_the_same_file_gives(
    converted: Any, rule: Any, line_break: str
) -> None:
    text = "# why\n" + rule("route:  # to all", "- labels: {version: v2}")
    expected = converted(text).text
    assert "# why\n" in expected
    assert converted(text.replace("\n", line_break)).text == expected
