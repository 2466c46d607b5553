"""No planted secret is left in evidence, and what is no secret is."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from meshproof.mesh.cluster.run import redaction
from meshproof.mesh.cluster.run.redaction import HIDDEN

PLANTED = "hunter2-Zq9"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(["MIIEowIBAAKCAQEAplanted" * 2] * 3)
    + "\n-----END RSA PRIVATE KEY-----"
)
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJlLXBsYW50ZWQ"


@pytest.mark.parametrize(
    "line",
    [
        f"password={PLANTED}",
        f"db.password = {PLANTED}",
        f"DB_PASSWORD: '{PLANTED} with words'",
        f'{{"password":"{PLANTED}","user":"me"}}',
        f'msg="{{\\"apiToken\\":\\"{PLANTED}\\"}}"',
        f"clientSecret={PLANTED}&next=1",
        f"SECRET_KEY_BASE={PLANTED}",
        f"GET /login?access_token={PLANTED}&a=b HTTP/1.1",
        f"Authorization: Bearer {PLANTED}",
        f"authorization: Basic {PLANTED}=",
        f"Proxy-Authorization: custom {PLANTED} and more {PLANTED}",
        f"Cookie: a=b; session={PLANTED}; c={PLANTED}",
        f"set-cookie: id={PLANTED}; HttpOnly",
        f"curl -H 'Authorization: Bearer {PLANTED}' http://x",
        f"x-api-key: {PLANTED}",
        f"postgres://user:{PLANTED}@db:5432/x",
        f"mysql --password {PLANTED} -h db",
        f"mysql --db-password={PLANTED} -h db",
        f"aws_secret_access_key={PLANTED}",
        f"sent with Bearer {PLANTED}",
        f"DB_PASS={PLANTED}",
        f"dbPass: {PLANTED}",
        f"GITHUB_PAT={PLANTED}",
        f"DB_CREDS={PLANTED}",
        f"AUTH={PLANTED}",
        f"AUTH_KEY={PLANTED}",
        f"SLACK_WEBHOOK=https://hooks.slack.com/services/{PLANTED}",
        f"GET http://x/cb?code={PLANTED}&a=b",
        f"GET http://x/?sig={PLANTED}",
        f"mysql://root:p/{PLANTED}@db/x",
        f"mysql -h db -p{PLANTED}",
        f"curl -u user:{PLANTED} http://x",
        f"curl --user=user:{PLANTED} http://x",
        f"password: >\n  {PLANTED}\n  {PLANTED}",
        f"password: |\n    {PLANTED}\n\n    {PLANTED}",
        f"tokens:\n- {PLANTED}\n- {PLANTED}",
        f"- name: DB_PASSWORD\n  value: {PLANTED}",
        f"- name: DB_PASS\n  value: '{PLANTED} x'",
        f"user:$apr1${PLANTED}",
        f"bindpw {PLANTED}",
        f"sent with ApiKey {PLANTED}",
        f"login with password {PLANTED}",
        f"user=bob pass={PLANTED}",
    ],
)
def test_no_secret_stays_in_a_line(line: str) -> None:
    redacted = redaction.redact_text(f"before\n{line}\nafter")
    assert PLANTED not in redacted
    assert HIDDEN in redacted
    assert redacted.startswith("before\n")
    assert redacted.endswith("\nafter")


@pytest.mark.parametrize(
    "planted",
    [
        PEM,
        PEM.replace("\n", "\\n"),
        PEM.partition("-----END")[0],
        PEM.partition("KEY-----\n")[2],
        base64.b64encode(PEM.encode()).decode(),
        f"token {JWT}",
    ],
    ids=["PEM", "PEM in JSON", "no end", "no beginning", "base64", "JWT"],
)
def test_no_block_stays(planted: str) -> None:
    redacted = redaction.redact_text(f"before\n{planted}\n")
    assert "planted" not in redacted
    assert "cGxhbnRlZ" not in redacted
    assert "MIIE" not in redacted
    assert "eyJ" not in redacted
    assert redacted.startswith("before\n")


@pytest.mark.parametrize(
    "token",
    [
        "ghp_" + "aB3" * 12,
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdefghijkl",
        "glpat-" + "x" * 20,
        "AIza" + "x" * 35,
    ],
)
def test_no_token_of_a_known_form_stays(token: str) -> None:
    assert redaction.redact_text(f"sent {token} today") == f"sent {HIDDEN} today"


@pytest.mark.parametrize(
    "value",
    [
        {"auths": {"registry": {"auth": PLANTED}}},
        {"kind": "Secret", "metadata": {}, "data": {"x": PLANTED}},
        {"tokens": [PLANTED]},
        {"args": ["-p", PLANTED]},
        {"env": [{"name": "DB_PASS", "value": PLANTED}]},
        {".dockerconfigjson": PLANTED},
        {
            "last-applied-configuration": json.dumps(
                {"env": [{"name": "A_PASSWORD", "value": PLANTED}]}
            )
        },
        {"m": json.dumps({"m": json.dumps({"password": [PLANTED, 12345678]})})},
    ],
)
def test_json_is_read_as_json_wherever_it_is(value: dict[str, Any]) -> None:
    for redacted in (
        redaction.redact_text(json.dumps(value)),
        json.dumps(redaction.redact_value(value)),
    ):
        assert PLANTED not in redacted
        assert "12345678" not in redacted
        assert list(json.loads(redacted))[:1] == list(value)[:1] or "Secret" in redacted


@pytest.mark.parametrize(
    "line",
    [
        "compass: north",
        "path: /api",
        "- name: MODE\n  value: fast",
        "key:\n  nested: 1",
        '{"unfinished": ',
        "GET /productpage HTTP/1.1 200 via reviews-v3",
        "secretName: reviews-certificate",
        "tokenPath: /var/run/secrets/tokens/istio-token",
        "cookie regex ^(.*?;)?(user=burr)(;.*)?$ matched",
        "automountServiceAccountToken: false",
        "http://reviews:9080/reviews/1",
        "passed 3 of 4",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert redaction.redact_text(line) == line


def test_values_lose_their_secrets_and_keep_their_shape() -> None:
    values: dict[str, Any] = {
        "kind": "Pod",
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "app",
                    "args": ["--db-password", PLANTED, f"--token={PLANTED}", "--fast"],
                    "env": [
                        {"name": "DB_PASSWORD", "value": PLANTED},
                        {"name": "URL", "value": f"amqp://me:{PLANTED}@queue"},
                        {"name": "MODE", "value": "fast"},
                        {
                            "name": "API_KEY",
                            "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}},
                        },
                    ],
                }
            ],
        },
        "list": [{"kind": "Secret", "metadata": {"name": "keys"}, "data": {"api": PLANTED}}],
        "token": PLANTED,
        "apiTokens": [PLANTED, {"value": PLANTED}],
        "password": {"inline_string": PLANTED},
    }
    redacted = redaction.redact_value(values)
    assert PLANTED not in json.dumps(redacted)
    args = redacted["spec"]["containers"][0]["args"]
    assert args == ["--db-password", HIDDEN, f"--token={HIDDEN}", "--fast"]
    env = redacted["spec"]["containers"][0]["env"]
    assert env[0] == {"name": "DB_PASSWORD", "value": HIDDEN}
    assert env[2:] == values["spec"]["containers"][0]["env"][2:]
    assert redacted["spec"]["automountServiceAccountToken"] is False
    assert redacted["list"] == [{"kind": "Secret", "metadata": {"name": "keys"}}]


def test_a_config_dump_loses_credentials_and_keeps_the_rules() -> None:
    cookie = {"name": "cookie", "string_match": {"safe_regex": {"regex": "^user=burr$"}}}
    credential = {"name": "authorization", "string_match": {"exact": PLANTED}}
    config_dump = {
        "routes": [
            {
                "match": {"prefix": "/", "headers": [cookie, credential]},
                "request_headers_to_add": [
                    {"header": {"key": "x-api-key", "value": PLANTED}, "append": True},
                    {"header": {"key": "x-seen", "value": "yes"}},
                ],
            }
        ],
        "certificate": {"inline_bytes": base64.b64encode(PEM.encode()).decode()},
    }
    text = json.dumps(redaction.redact_value(config_dump))
    assert PLANTED not in text
    (route,) = json.loads(text)["routes"]
    assert route["match"]["headers"][0] == cookie
    assert route["match"]["headers"][1]["name"] == "authorization"
    assert route["request_headers_to_add"][1] == {"header": {"key": "x-seen", "value": "yes"}}
    assert json.loads(text)["certificate"] == {"inline_bytes": HIDDEN}


def test_a_rule_on_a_credential_loses_it() -> None:
    rule = {"match": [{"headers": {"authorization": {"exact": PLANTED}, "cookie": {"regex": "a"}}}]}
    assert redaction.redact_value(rule) == {
        "match": [{"headers": {"authorization": {"exact": HIDDEN}, "cookie": {"regex": "a"}}}]
    }


def test_long_texts_take_no_long_time() -> None:
    began = time.process_time()
    redaction.redact_text("QUJD+/" * 100_000)
    redaction.redact_text("token " * 50_000 + "a" * 200_000)
    assert time.process_time() - began < 5
