"""No planted secret is left in evidence, and what is no secret is."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

import pytest

from meshproof.base import redaction
from meshproof.base.redaction import HIDDEN
from meshproof.base.token_forms import TOKEN_FORMS

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
        f"sent with Basic {PLANTED}",
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
        f"- name: x-api-key\n  type: Exact\n  value: {PLANTED}",
        f"- {{name: x-api-key, value: {PLANTED} x}}",
        f'[{{ "name": "x-api-key",\n "type": "Exact",\n "value": "{PLANTED}, x" }},',
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


HEX = "0123456789abcdef"
MIXED = "aB3dE6gH9jK2mN5pQ8sT1vW4"
#: Tokens made up in the form of each service.
TOKENS = {
    "1Password": ("ops_eyJ" + MIXED * 2, "A3-ABC123-ABC12345678-ABC12-ABC12-ABC12"),
    "age": ("AGE-SECRET-KEY-1" + "QPZRY9X8GF" * 5 + "2TVDW0S3",),
    "Alibaba": ("LTAI" + MIXED[:20],),
    "Anthropic": ("sk-ant-api03-" + MIXED * 3 + "AA",),
    "Artifactory": ("AKCp" + MIXED * 2 + MIXED[:21], "cmVmd" + MIXED * 2 + MIXED[:11]),
    "Atlassian": ("ATATT3" + MIXED * 4,),
    "AWS": ("AKIAIOSFODNN7EXAMPLE", "ASIA" + "Z2" * 8),
    "Azure": ("aB38Q~" + MIXED + MIXED[:10],),
    "Databricks": ("dapi" + HEX * 2,),
    "DigitalOcean": ("dop_v1_" + HEX * 4,),
    "Discord": (
        f"M{MIXED[:23]}.aB3dE6.{MIXED}aB3",
        f"https://discord.com/api/webhooks/1234567890/{MIXED}",
    ),
    "Docker Hub": ("dckr_pat_" + MIXED + "aB3",),
    "Doppler": ("dp.pt." + MIXED + MIXED[:19],),
    "Dynatrace": (f"dt0c01.{'A1' * 12}.{'B2' * 32}",),
    "Fly": ("fo1_" + MIXED + MIXED[:19],),
    "GitHub": ("ghp_" + "aB3" * 12, "github_pat_" + MIXED * 3),
    "GitLab": ("glpat-" + "x" * 20, "gldt-" + MIXED, "GR1348941" + MIXED),
    "Google": ("AIza" + "x" * 35, "ya29." + MIXED, "GOCSPX-" + MIXED),
    "Grafana": ("glsa_" + MIXED + MIXED[:8] + "_" + HEX[:8],),
    "Hugging Face": ("hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",),
    "JSON web token in base64": (base64.b64encode(JWT.encode()).decode().rstrip("="),),
    "Linear": ("lin_api_" + MIXED + MIXED[:16],),
    "Mailchimp": (HEX * 2 + "-us12",),
    "Mailgun": ("key-" + HEX * 2,),
    "Microsoft Teams": (f"https://a.webhook.office.com/webhookb2/{HEX}@{HEX}/IncomingWebhook/b",),
    "New Relic": ("NRAK-" + "A1B2C3D4E5" * 2 + "A1B2C3D",),
    "Notion": ("ntn_" + MIXED * 2,),
    "npm": ("npm_" + MIXED + MIXED[:12],),
    "OpenAI": ("sk-proj-" + MIXED * 2, f"sk-{MIXED[:20]}T3BlbkFJ{MIXED[:20]}"),
    "Postman": (f"PMAK-{HEX}{HEX[:8]}-{HEX * 2}ab",),
    "Pulumi": ("pul-" + HEX * 2 + HEX[:8],),
    "PyPI": ("pypi-AgEIcHlwaS5vcmc" + MIXED * 3,),
    "RubyGems": ("rubygems_" + HEX * 3,),
    "SendGrid": (f"SG.{MIXED[:22]}.{MIXED}{MIXED[:19]}",),
    "Sentry": ("sntrys_" + MIXED * 2,),
    "Shopify": ("shpat_" + HEX * 2,),
    "Slack": (
        "xoxb-123456789012-abcdefghijkl",
        "xapp-1-A0123-456-abcdef",
        "xoxe.xoxp-1-" + MIXED,
        f"https://hooks.slack.com/triggers/T0/1/{MIXED}",
    ),
    "Square": ("sq0csp-" + MIXED + MIXED[:19],),
    "Stripe": ("sk_" + "live_" + MIXED, "whsec_" + MIXED),
    "Telegram": ("1234567890:A" + MIXED + MIXED[:10],),
    "Terraform": (f"{MIXED[:14]}.atlasv1.{MIXED * 3}",),
    "Twilio": ("SK" + HEX * 2,),
    "Vault": ("hvs." + MIXED * 2,),
}


@pytest.mark.parametrize(
    "token", [token for tokens in TOKENS.values() for token in tokens], ids=lambda token: token[:24]
)
def test_no_token_of_a_known_form_stays(token: str) -> None:
    redacted = redaction.redact_text(f"sent {token} today")
    secret = token.removeprefix("https://")
    assert secret not in redacted
    assert re.fullmatch(rf"sent (https://[a-z.]*)?{re.escape(HIDDEN)} today", redacted)


def test_each_form_of_a_token_is_tried() -> None:
    assert set(TOKENS) == set(TOKEN_FORMS)


@pytest.mark.parametrize(
    "line",
    [
        f"DefaultEndpointsProtocol=https;AccountName=shop;AccountKey={PLANTED};EndpointSuffix=x",
        f"Endpoint=sb://shop;SharedAccessKeyName=root;SharedAccessKey={PLANTED}",
        f"GET https://shop.blob.core.windows.net/a?sv=2024-01-01&sig={PLANTED}&se=1",
        f"//registry.npmjs.org/:_authToken={PLANTED}",
        f"JWT_SIGNING_KEY={PLANTED}",
        f"PuTTY-User-Key-File-3: ssh-rsa\nPrivate-Lines: 1\n{PLANTED}\nPrivate-MAC: 0abc",
    ],
)
def test_no_secret_stays_in_the_form_of_a_tool(line: str) -> None:
    redacted = redaction.redact_text(f"before\n{line}\nafter")
    assert PLANTED not in redacted
    assert redacted.startswith("before\n")
    assert redacted.endswith("\nafter")


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
        "curl http://shop:8080/users/@me",
        "curl http://[::1]:8080/users/@me",
        "Basic authentication is needed",
        "Negotiate something with Bearer certificates",
        "passed 3 of 4",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert redaction.redact_text(line) == line


def test_credentials_of_letters_alone_are_hidden_in_their_header() -> None:
    redacted = redaction.redact_tokens("curl -H 'authorization: Bearer opensesame' URL")
    assert redacted == f"curl -H 'authorization: Bearer {HIDDEN}' URL"


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
