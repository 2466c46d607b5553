"""Wrong servings: each takes Envoy's config of a route and makes it wrong. Stdlib only.

rules.yaml has the routes. A wrong serving is seen by a request of some case, or it has the reason
why no request can see it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]
Edit = Callable[[Config], object]


@dataclass(frozen=True)
class WrongServing:
    """One wrong serving of `field` (`Class.field` of the model) at the route `route`.

    `edit` changes Envoy's route, or its whole virtual host with `edits_host`. `unseen` is the
    reason why no request can see it, "" if one must. With `caller`, a label of a calling workload,
    only the callers with that label alone get it. Short ones run in CI.
    """

    name: str
    field: str
    route: str
    edit: Edit
    edits_host: bool = False
    unseen: str = ""
    is_short: bool = False
    caller: str = ""


WRONG_SERVINGS: dict[str, WrongServing] = {}


def serve_wrongly(name: str, resource: Config, only: str = "") -> None:
    """Make a resource wrong in place, `only` the one of that name; "" leaves all as it is."""
    wrong = WRONG_SERVINGS.get(name)
    if wrong is None or "virtual_hosts" not in resource or only not in ("", resource["name"]):
        return
    for host in resource["virtual_hosts"]:
        for route in [route for route in host.get("routes", ()) if is_route(route, wrong.route)]:
            if wrong.edits_host:
                wrong.edit(host)
                break
            wrong.edit(route)


def is_route(route: Config, name: str) -> bool:
    """Say whether Envoy's route is the one of a name in rules.yaml."""
    return str(route.get("name", "")).endswith(f".{name}")


def add(name: str, field: str, route: str, edit: Edit, **details: Any) -> None:
    """Add a wrong serving to the table."""
    assert name not in WRONG_SERVINGS, name
    WRONG_SERVINGS[name] = WrongServing(name, field, route, edit, **details)


def assign(*path: str | int, value: object) -> Edit:
    """Return the edit that sets the value at a path of keys and indices."""

    def edit(config: Config) -> None:
        holder: Any = config
        for key in path[:-1]:
            holder = holder.setdefault(key, {}) if isinstance(holder, dict) else holder[key]
        holder[path[-1]] = value

    return edit


def drop(*path: str | int) -> Edit:
    """Return the edit that removes what is at a path."""

    def edit(config: Config) -> None:
        holder: Any = config
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]

    return edit


def match_path(kind: str, value: object) -> Edit:
    """Return the edit that replaces the condition on the path."""

    def edit(config: Config) -> None:
        for key in ("prefix", "path", "safe_regex", "path_separated_prefix"):
            config["match"].pop(key, None)
        config["match"][kind] = {"regex": value} if kind == "safe_regex" else value

    return edit


def match_header(kind: str, value: object) -> Edit:
    """Return the edit that replaces the condition on the first header."""
    string = {kind: {"regex": value} if kind == "safe_regex" else value}

    def edit(config: Config) -> None:
        header = config["match"]["headers"][0]
        header.pop("present_match", None)
        header["string_match"] = string

    return edit


def send_to(subset: str) -> Edit:
    """Return the edit that sends to another subset."""

    def edit(config: Config) -> None:
        _, port, _, host = config["route"]["cluster"].split("|")
        config["route"]["cluster"] = f"outbound|{port}|{subset}|{host}"

    return edit


def weigh(*weights: int) -> Edit:
    """Return the edit that sets the weights of a split."""

    def edit(config: Config) -> None:
        clusters = config["route"]["weighted_clusters"]["clusters"]
        for cluster, weight in zip(clusters, weights, strict=True):
            cluster["weight"] = weight

    return edit


def widen_domains(domain: str) -> Edit:
    """Return the edit that lets a virtual host take one more domain."""
    return lambda host: host["domains"].append(domain)


def keep_domains(keep: Callable[[str], bool]) -> Edit:
    """Return the edit that drops domains of a virtual host."""

    def edit(host: Config) -> None:
        kept = [domain for domain in host["domains"] if keep(domain)]
        host["domains"] = kept or host["domains"]  # Envoy takes no host without a domain

    return edit


FAULT = ("typed_per_filter_config", "envoy.filters.http.fault")
CORS = ("typed_per_filter_config", "envoy.filters.http.cors")
RETRY = ("route", "retry_policy")
TIMEOUT = ("route", "timeout")
FAULT_TYPE = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"
FIRST_HEADER = ("match", "headers", 0)


def delay(seconds: float, percent: int = 100) -> Edit:
    """Return the edit that delays requests."""
    fault = {
        "@type": FAULT_TYPE,
        "delay": {"fixed_delay": f"{seconds}s", "percentage": {"numerator": percent}},
    }
    return assign(*FAULT, value=fault)


def change_header(side: str, position: int, key: str, value: object) -> Edit:
    """Return the edit that changes one of the headers that are added."""
    holder = ("header",) if key in ("key", "value") else ()
    return assign(f"{side}_headers_to_add", position, *holder, key, value=value)


def swap_routes(host: Config) -> None:
    """Try the route for all requests first."""
    host["routes"].insert(0, host["routes"].pop())


def insert_route(path: str) -> Edit:
    """Return the edit that gives every caller the route to v2 for a path."""
    cluster = "outbound|80|v2|shop.default.svc.cluster.local"
    route = {"match": {"path": path}, "route": {"cluster": cluster}}
    return lambda host: host["routes"].insert(0, route)


def mirror(cluster: str, percent: int = 100) -> Edit:
    """Return the edit that copies requests."""
    fraction = {"default_value": {"numerator": percent, "denominator": "HUNDRED"}}
    policy = {"cluster": cluster, "runtime_fraction": fraction}
    return assign("route", "request_mirror_policies", value=[policy])


_AUDIT = "outbound|80||audit.default.svc.cluster.local"
_NAME = "a name changes no answer"
_PLACE = "the place in the file changes no answer"
_RANK = "it ranks rules of one host: on real Envoys in tests/user_rules/test_own_precedence.py"
_GATEWAYS = "it is of a gateway: on real Envoys in tests/user_rules/test_own_gateways.py"
_MTLS_PORTS = (
    "it says that modes of single ports are not read: tests/mesh/envoy/test_translate_mtls.py"
)
_MTLS = (
    "it is of the apps' sidecars: on real Envoys, with its faults, in tests/faults/test_faults.py"
)
_CALLERS = "it is which callers have a subset: tests/mesh/envoy/test_translate_subsets.py"
_SIDECARS = "it is what callers reach: on real Envoys in tests/user_rules/test_own_surroundings.py"
_ALL_PLAIN_HTTP = "every request of a run is plain HTTP"
_METHODS_IN_REPORT = "no case has such a method; the run's report names those that are tried"

# Match
add("exact as prefix", "Match.uri", "exact", match_path("prefix", "/exact"), is_short=True)
add(
    "exact as path prefix",
    "Match.uri",
    "exact",
    match_path("path_separated_prefix", "/exact"),
    is_short=True,
)
add("exact in any case", "Match.uri", "exact", assign("match", "case_sensitive", value=False))
add("any path", "Match.uri", "exact", match_path("prefix", "/"))
add("prefix as exact", "Match.uri", "prefix", match_path("path", "/prefix/"))
add("prefix without its slash", "Match.uri", "prefix", match_path("prefix", "/prefix"))
add("prefix one shorter", "Match.uri", "prefix", match_path("prefix", "/prefi"))
add("class one wider", "Match.uri", "regex", match_path("safe_regex", r"/regex/[a-g]{2,4}/v1\.0"))
add(
    "class with digits",
    "Match.uri",
    "regex",
    match_path("safe_regex", r"/regex/[a-f0-9]{2,4}/v1\.0"),
    is_short=True,
)
add("class narrower", "Match.uri", "regex", match_path("safe_regex", r"/regex/[a-e]{2,4}/v1\.0"))
add("one fewer", "Match.uri", "regex", match_path("safe_regex", r"/regex/[a-f]{1,4}/v1\.0"))
add("one more", "Match.uri", "regex", match_path("safe_regex", r"/regex/[a-f]{2,5}/v1\.0"))
add("not the longest", "Match.uri", "regex", match_path("safe_regex", r"/regex/[a-f]{2,3}/v1\.0"))
add("not the shortest", "Match.uri", "regex", match_path("safe_regex", r"/regex/[a-f]{3,4}/v1\.0"))
add("dot not escaped", "Match.uri", "regex", match_path("safe_regex", "/regex/[a-f]{2,4}/v1.0"))
add(
    "regex with a tail",
    "Match.uri",
    "regex",
    match_path("safe_regex", r"/regex/[a-f]{2,4}/v1\.0(/.*)?"),
)
add("any tail", "Match.uri", "open regex", match_path("safe_regex", "/open/[0-9]+.*"))
add("tail below", "Match.uri", "open regex", match_path("safe_regex", "/open/[0-9]+(/.*)?"))
add("empty tail", "Match.uri", "open regex", match_path("safe_regex", "/open/[0-9]*"))
add("short tail only", "Match.uri", "open regex", match_path("safe_regex", "/open/[0-9]{1,9}"))
add("path prefix as prefix", "Match.uri", "below", match_path("prefix", "/below"))
add("path prefix as exact", "Match.uri", "below", match_path("path", "/below"))
add(
    "exact path of HTTPRoute as path prefix",
    "Match.uri",
    "http exact",
    match_path("path_separated_prefix", "/exact"),
    is_short=True,
)
add(
    "case not ignored",
    "Match.ignore_uri_case",
    "any case",
    assign("match", "case_sensitive", value=True),
    is_short=True,
)
add("method lost", "Match.method", "method", drop(*FIRST_HEADER))
add("method GET or PATCH", "Match.method", "method", match_header("safe_regex", "GET|PATCH"))
add(
    "method GET or OPTIONS",
    "Match.method",
    "method",
    match_header("safe_regex", "GET|OPTIONS"),
    is_short=True,
)
add("method GET or TRACE", "Match.method", "method", match_header("safe_regex", "GET|TRACE"))
add(
    "method GET or one of WebDAV",
    "Match.method",
    "method",
    match_header("safe_regex", "GET|PROPFIND"),
    unseen=_METHODS_IN_REPORT,
)
add("one method of two", "Match.method", "methods", match_header("exact", "GET"))
add("third method", "Match.method", "methods", match_header("safe_regex", "GET|POST|PUT"))
add("authority lost", "Match.authority", "authority", drop(*FIRST_HEADER))
add("authority as prefix", "Match.authority", "authority", match_header("prefix", "shop.default"))
add("authority lost at a gateway", "Match.authority", "authority at gate", drop(*FIRST_HEADER))
add("authority lost below a wildcard", "Match.authority", "authority below", drop(*FIRST_HEADER))
add("header lost", "Match.headers", "header", drop("match", "headers"))
add("header as prefix", "Match.headers", "header", match_header("prefix", "burr"))
add("header contains", "Match.headers", "header", match_header("contains", "burr"))
add("header as suffix", "Match.headers", "header", match_header("suffix", "burr"))
add("header prefix as exact", "Match.headers", "header prefix", match_header("exact", "burr-"))
add("header prefix shorter", "Match.headers", "header prefix", match_header("prefix", "burr"))
add(
    "presence as exact",
    "Match.headers",
    "header present",
    match_header("exact", "1"),
    is_short=True,
)
add("presence lost", "Match.headers", "header present", drop("match", "headers"))
add(
    "header regex, dot not escaped",
    "Match.headers",
    "header regex",
    match_header("safe_regex", "[a-z]+@example.com"),
)
add(
    "header regex with digits",
    "Match.headers",
    "header regex",
    match_header("safe_regex", r"[a-z0-9]+@example\.com"),
)
add("absence lost", "Match.without_headers", "without header", drop("match", "headers"))
add(
    "absence of every value",
    "Match.without_headers",
    "without header",
    assign("match", "headers", value=[{"name": "x-user", "present_match": False}]),
)
add(
    "absence of the value 1",
    "Match.without_headers",
    "without presence",
    match_header("exact", "1"),
)
add(
    "absence of a value that starts so",
    "Match.without_headers",
    "without header",
    match_header("prefix", "burr"),
)
add(
    "absence of the prefix alone",
    "Match.without_headers",
    "without prefix",
    match_header("exact", "burr-"),
)
add(
    "absence of a shorter prefix",
    "Match.without_headers",
    "without prefix",
    match_header("prefix", "burr"),
)
for words, regex in (
    ("class one wider", "[a-g]{2,4}"),
    ("class narrower", "[a-e]{2,4}"),
    ("digits", "[a-f0-9]{2,4}"),
    ("one fewer", "[a-f]{1,4}"),
    ("one more", "[a-f]{2,5}"),
    ("not the longest", "[a-f]{2,3}"),
    ("not the shortest", "[a-f]{3,4}"),
    ("tail", "[a-f]{2,4}.*"),
    ("start", ".*[a-f]{2,4}"),
):
    regex_match = {"safe_regex": {"regex": regex}}
    add(
        f"header regex, {words}",
        "Match.headers",
        "header length",
        match_header("safe_regex", regex),
    )
    add(
        f"absence by regex, {words}",
        "Match.without_headers",
        "without regex",
        match_header("safe_regex", regex),
    )
    add(
        f"query regex, {words}",
        "Match.query",
        "query regex",
        assign("match", "query_parameters", 0, "string_match", value=regex_match),
    )
add("query lost", "Match.query", "query", drop("match", "query_parameters"))
add(
    "query as prefix",
    "Match.query",
    "query",
    assign("match", "query_parameters", 0, "string_match", value={"prefix": "burr"}),
)
add(
    "query present",
    "Match.query",
    "query",
    assign("match", "query_parameters", value=[{"name": "user", "present_match": True}]),
)
add(
    "scheme lost",
    "Match.scheme",
    "scheme",
    drop(*FIRST_HEADER),
    unseen=f"{_ALL_PLAIN_HTTP}; the run's report names the route",
)

# Conditions on the caller choose the routes of its Envoy: a wrong one has a route too many.
for condition in ("source", "namespace"):
    add(
        f"{condition} ignored",
        "Match.source" if condition == "source" else "Match.source_namespace",
        "exact",
        insert_route(f"/{condition}"),
        edits_host=True,
    )
for label in ("app=cart", "tier=web"):
    add(
        f"one of two source labels, {label}",
        "Match.source",
        "exact",
        insert_route("/source"),
        edits_host=True,
        caller=label,
    )
add(
    "port ignored",
    "Match.port",
    "exact",
    lambda host: insert_route("/port")(host) if host["name"].endswith(":80") else None,
    edits_host=True,
)
add(
    "route of a gateway lost",
    "Match.gateways",
    "gateways",
    lambda host: host["routes"].pop(0),
    edits_host=True,
)

# RouteTable and Gateway
add(
    "rule lost at a gateway",
    "RouteTable.gateways",
    "at gate",
    lambda host: host["routes"].clear(),
    edits_host=True,
)
add("last route first", "RouteTable.routes", "exact", swap_routes, edits_host=True)
add(
    "every host at the gateway",
    "RouteTable.hosts",
    "at gate",
    widen_domains("*"),
    edits_host=True,
    is_short=True,
)
add(
    "every host below the domain",
    "RouteTable.hosts",
    "at gate",
    widen_domains("*.shop.example"),
    edits_host=True,
)
add(
    "hosts below the host",
    "RouteTable.hosts",
    "at gate",
    widen_domains("*.www.shop.example"),
    edits_host=True,
)
add(
    "wildcard takes the domain itself",
    "RouteTable.hosts",
    "wild rest",
    widen_domains("wild.example"),
    edits_host=True,
)
add(
    "Host without a port only",
    "RouteTable.hosts",
    "exact",
    keep_domains(lambda domain: ":" not in domain),
    edits_host=True,
    is_short=True,
)
add(
    "Host with a port only",
    "RouteTable.hosts",
    "exact",
    keep_domains(lambda domain: ":" in domain),
    edits_host=True,
)
add(
    "full name of the host only",
    "RouteTable.hosts",
    "exact",
    keep_domains(lambda domain: domain.startswith("shop.default.svc.cluster.local")),
    edits_host=True,
)

# Route
add("other subset", "Target.labels", "exact", send_to("v1"))
add("any subset", "Target.labels", "exact", send_to(""))
add(
    "other host",
    "Target.host",
    "other host",
    assign("route", "cluster", value="outbound|80||shop.default.svc.cluster.local"),
)
add(
    "other port",
    "Target.port",
    "other port",
    assign("route", "cluster", value="outbound|8080|v2|shop.default.svc.cluster.local"),
    unseen="one workload stands for every port of a service",
)
add("60/40 for 75/25", "Target.weight", "split", weigh(60, 40))
# With 80/20 chance would decide: half of the tolerance is neither surely green nor surely red.
add(
    "76/24 for 75/25",
    "Target.weight",
    "split",
    weigh(76, 24),
    unseen="it is within the tolerance of the judge, which every verdict states",
)
add(
    "header of a destination lost",
    "Target.headers",
    "destination headers",
    drop("route", "weighted_clusters", "clusters", 0, "request_headers_to_add"),
)
add("redirect code", "Redirect.code", "redirect", assign("redirect", "response_code", value=0))
add("redirect path", "Redirect.uri", "redirect", drop("redirect", "path_redirect"))
add("redirect authority", "Redirect.authority", "redirect", drop("redirect", "host_redirect"))
add("redirect scheme", "Redirect.scheme", "redirect", drop("redirect", "scheme_redirect"))
add("redirect port", "Redirect.port", "redirect", drop("redirect", "port_redirect"))
add(
    "query lost in a redirect",
    "Redirect.uri",
    "redirect",
    assign("redirect", "strip_query", value=True),
    is_short=True,
)
add(
    "query lost where only the host moves",
    "Redirect.authority",
    "redirect authority",
    assign("redirect", "strip_query", value=True),
)
add(
    "port of the request lost",
    "Redirect.use_request_port",
    "redirect port",
    assign("redirect", "port_redirect", value=81),
)
add(
    "redirected prefix",
    "Redirect.prefix",
    "new prefix",
    assign("redirect", "prefix_rewrite", value="/other"),
)
add(
    "whole path for the prefix",
    "Redirect.prefix",
    "new prefix",
    lambda route: route["redirect"].update(path_redirect=route["redirect"].pop("prefix_rewrite")),
)
add("status", "DirectResponse.status", "direct", assign("direct_response", "status", value=200))
add(
    "body",
    "DirectResponse.body",
    "direct",
    assign("direct_response", "body", "inline_string", value="tall"),
)
add("rewritten prefix", "Rewrite.uri", "rewrite", assign("route", "prefix_rewrite", value="/new"))
add("prefix not rewritten", "Rewrite.uri", "rewrite", drop("route", "prefix_rewrite"))
add(
    "authority not rewritten",
    "Rewrite.authority",
    "rewrite",
    drop("route", "host_rewrite_literal"),
)
add(
    "groups swapped",
    "Rewrite.substitution",
    "regex rewrite",
    assign("route", "regex_rewrite", "substitution", value=r"/\1/\2"),
    is_short=True,
)
add(
    "pattern narrowed",
    "Rewrite.pattern",
    "regex rewrite",
    assign("route", "regex_rewrite", "pattern", "regex", value="^/item/([a-z]{1,3})/([0-9]+)"),
)
add(
    "pattern of one digit",
    "Rewrite.pattern",
    "regex rewrite",
    assign("route", "regex_rewrite", "pattern", "regex", value="^/item/([a-z]+)/([0-9])"),
)
for words, regex in (
    ("letters with digits", "^/item/([a-z0-9]+)/([0-9]+)"),
    ("digits with letters", "^/item/([a-z]+)/([0-9a-z]+)"),
    ("open at its start", "/item/([a-z]+)/([0-9]+)"),
    ("closed at its end", "^/item/([a-z]+)/([0-9]+)$"),
):
    add(
        f"pattern, {words}",
        "Rewrite.pattern",
        "regex rewrite",
        assign("route", "regex_rewrite", "pattern", "regex", value=regex),
    )
add("path not rewritten", "Rewrite.pattern", "regex rewrite", drop("route", "regex_rewrite"))
for side, headers in (("request", ("set", "add")), ("response", ("back-set", "back-add"))):
    first, second = headers
    add(f"{side} header not set", "HeaderChanges.set", "headers", drop(f"{side}_headers_to_add", 0))
    add(
        f"{side} header added for set",
        "HeaderChanges.set",
        "headers",
        change_header(side, 0, "append_action", "APPEND_IF_EXISTS_OR_ADD"),
    )
    add(
        f"{side} header not added",
        "HeaderChanges.add",
        "headers",
        drop(f"{side}_headers_to_add", 1),
    )
    add(
        f"{side} header set for added",
        "HeaderChanges.add",
        "headers",
        change_header(side, 1, "append_action", "OVERWRITE_IF_EXISTS_OR_ADD"),
    )
    add(
        f"{side} header not removed",
        "HeaderChanges.remove",
        "headers",
        drop(f"{side}_headers_to_remove"),
    )
add("delay of 8 s for 1 s", "Fault.delay_seconds", "delay", delay(8))
add("delay of 0.5 s for 1 s", "Fault.delay_seconds", "delay", delay(0.5))
add("no delay", "Fault.delay_seconds", "delay", drop(*FAULT), is_short=True)
add("80 % delayed for 50 %", "Fault.delay_percent", "partly delayed", delay(0.5, 80))
add(
    "aborted with 500 for 503",
    "Fault.abort_status",
    "abort",
    assign(*FAULT, "abort", "http_status", value=500),
)
add(
    "aborted with gRPC 13 for 14",
    "Fault.abort_grpc",
    "abort by gRPC",
    assign(*FAULT, "abort", "grpc_status", value=13),
)
add(
    "60 % aborted for 40 %",
    "Fault.abort_percent",
    "partly aborted",
    assign(*FAULT, "abort", "percentage", value={"numerator": 60}),
)
add(
    "timeout of 3.8 s for 1 s", "Route.timeout", "timeout", assign("route", "timeout", value="3.8s")
)
add(
    "timeout of 0.5 s for 1 s", "Route.timeout", "timeout", assign("route", "timeout", value="0.5s")
)
add("no timeout", "Route.timeout", "timeout", assign("route", "timeout", value="0s"))
add(
    "timeout of 1.5 s for 1 s",
    "Route.timeout",
    "timeout",
    assign("route", "timeout", value="1.5s"),
    unseen="a late answer takes half as long again and 1 s more; the run's report says so",
)
add("1 retry for 2", "Retries.attempts", "retries", assign(*RETRY, "num_retries", value=1))
add("3 retries for 2", "Retries.attempts", "retries", assign(*RETRY, "num_retries", value=3))
add(
    "5xx as gateway-error",
    "Retries.conditions",
    "retries",
    assign(*RETRY, "retry_on", value="gateway-error,retriable-4xx"),
    is_short=True,
)
add(
    "second condition lost",
    "Retries.conditions",
    "retries",
    assign(*RETRY, "retry_on", value="5xx"),
)
add(
    "gateway-error as 5xx",
    "Retries.conditions",
    "few retries",
    assign(*RETRY, "retry_on", value="5xx"),
)
add(
    "status of the retries lost",
    "Retries.conditions",
    "retries of a status",
    drop(*RETRY, "retriable_status_codes"),
)
for status in (500, 502, 504):
    add(
        f"retries of {status}, too",
        "Retries.conditions",
        "retries of a status",
        assign(*RETRY, "retriable_status_codes", value=[503, status]),
    )
add(
    "retries of 409, too",
    "Retries.conditions",
    "retries of a status",
    assign(*RETRY, "retry_on", value="retriable-status-codes,retriable-4xx"),
)
add(
    "retries of 429, too",
    "Retries.conditions",
    "retries of a status",
    assign(*RETRY, "retriable_status_codes", value=[503, 429]),
    unseen="no case fails so; the run's report names the statuses that are tried",
)
add(
    "retries of another gRPC status, too",
    "Retries.conditions",
    "retries by gRPC",
    assign(*RETRY, "retry_on", value="unavailable,internal"),
)
add(
    "retries of 503 beside gRPC",
    "Retries.conditions",
    "retries by gRPC",
    assign(*RETRY, "retry_on", value="unavailable,gateway-error"),
)
add(
    "perTryTimeout too short",
    "Retries.per_try_seconds",
    "try",
    assign(*RETRY, "per_try_timeout", value="0.5s"),
)
add(
    "perTryTimeout too long",
    "Retries.per_try_seconds",
    "try",
    assign(*RETRY, "per_try_timeout", value="3s"),
)
add("no perTryTimeout", "Retries.per_try_seconds", "try", drop(*RETRY, "per_try_timeout"))
add("copies lost", "Route.mirrors", "mirror", drop("route", "request_mirror_policies"))
add(
    "copies for another host",
    "Mirror.target",
    "mirror",
    mirror("outbound|80|v1|shop.default.svc.cluster.local"),
)
add("half of the copies", "Mirror.percent", "mirror", mirror(_AUDIT, 50))


def origin(position: int, value: Config) -> Edit:
    """Return the edit that replaces one origin of a CORS policy."""
    return assign(*CORS, "allow_origin_string_match", position, value=value)


add("origin as prefix", "Cors.origins", "cors", origin(0, {"prefix": "https://a.example"}))
add("origin of http, too", "Cors.origins", "cors", origin(0, {"suffix": "://a.example"}))
add(
    "origin regex, dot not escaped",
    "Cors.origins",
    "cors",
    origin(1, {"safe_regex": {"regex": r"https://[a-z]+.b\.example"}}),
    is_short=True,
)
add(
    "origin regex with digits",
    "Cors.origins",
    "cors",
    origin(1, {"safe_regex": {"regex": r"https://[a-z0-9]+\.b\.example"}}),
)
add(
    "origin regex open at its end",
    "Cors.origins",
    "cors",
    origin(1, {"safe_regex": {"regex": r"https://[a-z]+\.b\.example.*"}}),
)
for words, regex in (
    ("with a port", r"https://[a-z]+\.b\.example(:[0-9]+)?"),
    ("of few letters", r"https://[a-z]{1,3}\.b\.example"),
    ("without z", r"https://[a-y]+\.b\.example"),
    ("without a", r"https://[b-z]+\.b\.example"),
    ("of no letter, too", r"https://[a-z]*\.b\.example"),
):
    add(
        f"origin regex {words}", "Cors.origins", "cors", origin(1, {"safe_regex": {"regex": regex}})
    )
for words, regex in (
    ("with a port", r"https://a\.example(:[0-9]+)?"),
    ("and below it", r"https://(.*\.)?a\.example"),
):
    add(f"origin {words}", "Cors.origins", "cors", origin(0, {"safe_regex": {"regex": regex}}))
add("origin prefix as exact", "Cors.origins", "cors prefix", origin(0, {"exact": "https://p."}))
add("origin prefix shorter", "Cors.origins", "cors prefix", origin(0, {"prefix": "https://p"}))
add("any origin", "Cors.origins", "cors", origin(1, {"safe_regex": {"regex": ".*"}}))
add("methods", "Cors.methods", "cors", assign(*CORS, "allow_methods", value="GET,POST"))
add("headers", "Cors.headers", "cors", assign(*CORS, "allow_headers", value="x-a,x-b"))
add("exposed headers", "Cors.exposed_headers", "cors", drop(*CORS, "expose_headers"))
add("max age", "Cors.max_age", "cors", assign(*CORS, "max_age", value="61"))
add(
    "credentials",
    "Cors.allow_credentials",
    "cors",
    assign(*CORS, "allow_credentials", value=False),
)
add(
    "preflights forwarded",
    "Cors.forwards_unmatched",
    "cors",
    assign(*CORS, "forward_not_matching_preflights", value=True),
)

# A plain route with what nobody asked for
_NOT_LOOKED_FOR = "no case looks for what no rule asks for; the run's report says so"
add("a delay of 2 s", "Route.fault", "plain", delay(2))
add(
    "a delay of half of the requests",
    "Route.fault",
    "plain",
    delay(2, 50),
    unseen=_NOT_LOOKED_FOR,
)
add("a short delay", "Route.fault", "plain", delay(0.1), unseen=_NOT_LOOKED_FOR)
add(
    "a timeout of 15 s",
    "Route.timeout",
    "plain",
    assign(*TIMEOUT, value="15s"),
    unseen=_NOT_LOOKED_FOR,
)
add(
    "retries of 5xx",
    "Route.retries",
    "plain",
    assign(*RETRY, "retry_on", value="5xx"),
    unseen=_NOT_LOOKED_FOR,
)
add("copies", "Route.mirrors", "plain", mirror(_AUDIT), unseen=_NOT_LOOKED_FOR)

#: Field of the model -> why it has no wrong serving of its own.
#: Planted by name there, in the policies of Envoy.
_PODS = "planted in tests/user_rules/test_own_pods.py"
_SPREAD = "it decides which pod a key gets, not that the key stays on one: no rule says which"
NOT_SERVED = {
    "Match.has_empty_prefix": _RANK,
    "Retries.avoids_tried_pods": "named as not proven: no case tells the tries of pods apart",
    "RouteTable.created": _RANK,
    "RouteTable.export_to": _RANK,
    "RouteTable.is_gateway_api": _RANK,
    "Gateway.created": _RANK,
    "Target.subset_name": "its labels are served: see Target.labels",
    "Match.at": _PLACE,
    "RouteTable.name": _NAME,
    "RouteTable.namespace": _NAME,
    "RouteTable.ports": "each port is a virtual host of its own: see RouteTable.hosts",
    "Route.name": _NAME,
    "Route.problems": "a rule with problems is not served at all",
    "Route.options": "it is for the judge, no Envoy has it",
    "Rewrite.at": _PLACE,
    "Gateway.name": _NAME,
    "Gateway.proxies": _GATEWAYS,
    "Server.host_namespaces": _GATEWAYS,
    "Server.tls": _GATEWAYS,
    "Server.redirects_to_https": _GATEWAYS,
    "Gateway.servers": "see RouteTable.gateways",
    "Server.port": "each port is a listener: without it no case gets an answer",
    "Server.hosts": "they meet the hosts of the rules: see RouteTable.hosts",
    "Route.matches": "see Match",
    "Route.split": "see Target",
    "Route.redirect": "see Redirect",
    "Route.direct_response": "see DirectResponse",
    "Route.rewrite": "see Rewrite",
    "Route.headers": "see HeaderChanges",
    "Headers.request": "see HeaderChanges",
    "Headers.response": "see HeaderChanges",
    "Route.cors": "see Cors",
    "RouteTable.at": _PLACE,
    "Target.at": _PLACE,
    "Route.at": _PLACE,
    "Gateway.at": _PLACE,
    "StringMatch.at": _PLACE,
    "StringMatch.kind": "see the fields of Match, and Cors.origins",
    "StringMatch.value": "see the fields of Match, and Cors.origins",
    "Proxy.name": _NAME,
    "Proxy.namespace": _GATEWAYS,
    "Proxy.labels": _GATEWAYS,
    "Proxy.is_assumed": "it only has the report say so, and changes no answer",
    "PeerPolicy.at": _PLACE,
    "PeerPolicy.mode": _MTLS,
    "PeerPolicy.has_port_modes": _MTLS_PORTS,
    "PeerPolicy.namespace": _MTLS,
    "PeerPolicy.selector": _MTLS,
    "DestinationRule.at": _PLACE,
    "DestinationRule.namespace": _CALLERS,
    "DestinationRule.export_to": _CALLERS,
    "DestinationRule.host": "its subsets are served: see Target.labels",
    "DestinationRule.subsets": "see Target.labels",
    "DestinationRule.balancers": "see PodHash",
    "PodHash.kind": _PODS,
    "PodHash.name": _PODS,
    "PodHash.ttl": _PODS,
    "PodHash.cookie_path": _PODS,
    "PodHash.is_maglev": _SPREAD,
    "PodHash.table_size": _SPREAD,
    "PodHash.at": _PLACE,
    "RuleSet.tables": "see RouteTable",
    "RuleSet.gateways": "see Gateway",
    "RuleSet.policies": "see PeerPolicy",
    "RuleSet.destination_rules": "see DestinationRule",
    "RuleSet.sidecars": _SIDECARS,
    "RuleSet.dialect": "it is for reports, no Envoy has it",
    "RuleSet.documents": "the fields of the rules come from them",
    "RuleSet.problems": "rules with problems are not served at all",
}
