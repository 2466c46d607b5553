"""Sets in which each field of http routing decides an answer, and the requests that show it.

Fields are taken away from them first: drawn sets show most fields late, since few of their requests
meet a field that nothing before it hides.
"""

from __future__ import annotations

from typing import Any

import yaml

from meshproof.base.names import Labels, qualify_host
from meshproof.oracle.actions import FAILURE_HEADER, RESPONSE_HEADER_PREFIX
from meshproof.oracle.derive import Call
from tests.differential.generator import GeneratedSet
from tests.differential.world import FRONT

_FAILS, _ANSWERS = FAILURE_HEADER, RESPONSE_HEADER_PREFIX


def _call(
    name: str,
    path: str = "/",
    port: int = 80,
    namespace: str = "default",
    source: Labels = (),
    method: str = "GET",
    query: tuple[tuple[str, str], ...] = (),
    authority: str = "",
    told: tuple[tuple[str, str], ...] = (),
    **headers: str,
) -> Call:
    """Return a request to a service, `name.namespace`; `_` in names of headers stands for `-`.

    The headers `told` are for the workload.
    """
    short, _, owner = name.partition(".")
    own = ((key.replace("_", "-"), value) for key, value in headers.items())
    pairs = tuple(sorted((*own, *told)))
    return Call(
        qualify_host(short, owner),
        path=path,
        port=port,
        namespace=namespace,
        source=source,
        method=method,
        query=query,
        headers=pairs,
        authority=authority,
    )


def _outside(host: str, path: str = "/", port: int = 80) -> Call:
    """Return a request at the ingress gateway."""
    return Call(host, path=path, authority=host, gateway="gateway", port=port)


def _read(text: str, *calls: Call) -> GeneratedSet:
    """Return the set of some objects in short: kind, namespace, name and spec."""
    objects: list[dict[str, Any]] = [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        for kind, namespace, name, spec in yaml.safe_load(text)
    ]
    return GeneratedSet(tuple(objects), calls)


MATCHES = _read(
    """
- [VirtualService, shop, a-rule, {hosts: [cart], http: [
    {match: [{uri: {exact: /exact}}], directResponse: {status: 200, body: {string: exact}}},
    {match: [{uri: {prefix: /prefix}}], directResponse: {status: 201}},
    {match: [{uri: {regex: "/re[0-9]+"}}], directResponse: {status: 202}},
    {match: [{uri: {exact: /case}, ignoreUriCase: true}], directResponse: {status: 203}},
    {match: [{headers: {x-user: {exact: ann}}}], directResponse: {status: 206}},
    {match: [{headers: {x-user: {prefix: bo}}}], directResponse: {status: 208}},
    {match: [{headers: {x-user: {regex: "c[a-z]+"}}}], directResponse: {status: 400}},
    {match: [{uri: {prefix: /without1}, withoutHeaders: {x-beta: {exact: b}}}],
     directResponse: {status: 401}},
    {match: [{uri: {prefix: /without2}, withoutHeaders: {x-beta: {prefix: b}}}],
     directResponse: {status: 402}},
    {match: [{uri: {prefix: /without3}, withoutHeaders: {x-beta: {regex: "b+"}}}],
     directResponse: {status: 403}},
    {match: [{queryParams: {v: {exact: "1"}}}], directResponse: {status: 405}},
    {match: [{queryParams: {v: {prefix: "2"}}}], directResponse: {status: 406}},
    {match: [{queryParams: {v: {regex: "3+"}}}], directResponse: {status: 407}},
    {match: [{method: {exact: PUT}}], directResponse: {status: 408}},
    {match: [{method: {prefix: PO}}], directResponse: {status: 409}},
    {match: [{method: {regex: "OPT.*"}}], directResponse: {status: 410}},
    {match: [{authority: {exact: "cart.shop"}}], directResponse: {status: 411}},
    {match: [{authority: {prefix: "cart.shop.svc:"}}], directResponse: {status: 412}},
    {match: [{authority: {regex: ".*svc"}}], directResponse: {status: 413}},
    {match: [{scheme: {exact: https}}], directResponse: {status: 414}},
    {match: [{scheme: {prefix: https}}], directResponse: {status: 415}},
    {match: [{scheme: {regex: "h.*s"}}], directResponse: {status: 416}},
    {match: [{port: 8080}], directResponse: {status: 417}},
    {match: [{sourceLabels: {app: front}}], directResponse: {status: 418}},
    {match: [{sourceNamespace: web}], directResponse: {status: 421}},
    {route: [{destination: {host: pay}}]},
  ]}]
""",
    _call("cart.shop", "/exact"),
    _call("cart.shop", "/prefix"),
    _call("cart.shop", "/re1"),
    _call("cart.shop", "/CASE"),
    _call("cart.shop", x_user="ann"),
    _call("cart.shop", x_user="bob"),
    _call("cart.shop", x_user="cid"),
    *(_call("cart.shop", f"/without{number}", x_beta="b") for number in (1, 2, 3)),
    *(_call("cart.shop", query=(("v", value),)) for value in ("1", "2", "3")),
    *(_call("cart.shop", method=method) for method in ("PUT", "POST", "OPTIONS")),
    *(_call("cart.shop", authority=f"cart.shop{end}") for end in ("", ".svc:80", ".svc")),
    _call("cart.shop", port=8080),
    _call("cart.shop", source=FRONT),
    _call("cart.shop", namespace="web"),
    _call("cart.shop"),
)
ACTIONS = _read(
    """
- [VirtualService, shop, a-rule, {hosts: [cart], http: [
    {match: [{uri: {prefix: /body}}], directResponse: {status: 200, body: {bytes: aGVsbG8=}}},
    {match: [{uri: {prefix: /r1}}], redirect: {uri: /new, authority: other.test}},
    {match: [{uri: {prefix: /r2}}], redirect: {prefixRewrite: /new, redirectCode: 307}},
    {match: [{uri: {prefix: /r3}}], redirect: {uri: /new, scheme: https, port: 8443}},
    {match: [{uri: {prefix: /r4}}], redirect: {uri: /n, derivePort: FROM_PROTOCOL_DEFAULT}},
    {match: [{uri: {prefix: /w1}}], rewrite: {uri: /new, authority: inside.test},
     route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /w2}}],
     rewrite: {uriRegexRewrite: {match: "/w2/(.*)", rewrite: '/x/\\1'}},
     route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /f1}}], fault: {abort: {httpStatus: 503}},
     route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /f2}}], fault: {abort: {httpStatus: 503, percentage: {value: 0}}},
     route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /h1}}], route: [{destination: {host: cart}}],
     headers: {request: {add: {x-a: "1"}, set: {x-b: "2"}, remove: [x-user]},
               response: {add: {x-c: "1"}, set: {x-d: "2"}}}},
    {match: [{uri: {prefix: /h2}}], route: [{destination: {host: cart}}],
     headers: {response: {remove: [x-c]}}},
    {match: [{uri: {prefix: /h3}}],
     route: [{destination: {host: cart},
              headers: {request: {add: {x-a: "1"}, set: {x-b: "2"}, remove: [x-user]},
                        response: {add: {x-c: "1"}, set: {x-d: "2"}}}}]},
    {match: [{uri: {prefix: /h4}}],
     route: [{destination: {host: cart}, headers: {response: {remove: [x-c]}}}]},
    {match: [{uri: {prefix: /t1}}], timeout: 5s, route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /t2}}], retries: {attempts: 2, retryOn: 5xx, perTryTimeout: 1s},
     route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /c}}], route: [{destination: {host: cart}}],
     corsPolicy: {allowOrigins: [{exact: "http://a.test"}, {prefix: "http://b"},
                                 {regex: "http://c[.]test"}],
                  allowMethods: [GET], allowHeaders: [x-a], exposeHeaders: [x-c], maxAge: 24h,
                  allowCredentials: true, unmatchedPreflights: IGNORE}},
    {match: [{uri: {prefix: /d1}}], route: [{destination: {host: pay, port: {number: 80}}}]},
    {match: [{uri: {prefix: /d2}}], route: [{destination: {host: pay, subset: v1}}]},
    {match: [{uri: {prefix: /d3}}],
     route: [{destination: {host: pay, subset: v2}, weight: 1},
             {destination: {host: pay, subset: v1}, weight: 99}]},
  ]}]
- [DestinationRule, shop, b-rule, {host: pay, subsets: [
    {name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}]
""",
    *(_call("cart.shop", path) for path in ("/body", "/r1/x", "/r2/x", "/r3", "/w1/x", "/w2/x")),
    _call("cart.shop", "/r4", port=8080),
    *(_call("cart.shop", f"/f{number}") for number in (1, 2)),
    *(_call("cart.shop", path, x_a="own", x_b="own", x_user="ann") for path in ("/h1", "/h3")),
    *(_call("cart.shop", path, told=((f"{_ANSWERS}x-c", "own"),)) for path in ("/h2", "/h4")),
    _call("cart.shop", "/t1"),
    _call("cart.shop", "/t2", told=((_FAILS, "500 x1"),)),
    _call("cart.shop", "/t2"),
    *(
        _call(
            "cart.shop",
            "/c",
            method="OPTIONS",
            origin=f"http://{letter}.test",
            access_control_request_method="GET",
        )
        for letter in "abcd"
    ),
    *(_call("cart.shop", "/c", origin=f"http://{letter}.test") for letter in "abcd"),
    _call("cart.shop", "/d1", port=8080),
    *(_call("cart.shop", f"/d{number}{rest}") for number in (2, 3) for rest in ("", "/x", "/y")),
)
#: By itself: where a set has delays, a slow machine makes answers look late.
DELAYS = _read(
    """
- [VirtualService, shop, a-rule, {hosts: [cart], http: [
    {match: [{uri: {prefix: /f3}}], fault: {delay: {fixedDelay: 0.3s}},
     route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /f4}}], fault: {delay: {fixedDelay: 0.3s, percentage: {value: 0}}},
     route: [{destination: {host: cart}}]},
  ]}]
""",
    *(_call("cart.shop", f"/f{number}") for number in (3, 4)),
)
#: By itself: where a set has mirrors, the copies of each request are counted.
MIRRORS = _read(
    """
- [VirtualService, shop, a-rule, {hosts: [cart], http: [
    {match: [{uri: {prefix: /m1}}], mirror: {host: pay, port: {number: 80}, subset: v1},
     route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /m2}}], mirror: {host: pay}, mirrorPercentage: {value: 0},
     route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /m3}}],
     mirrors: [{destination: {host: pay, port: {number: 80}, subset: v1}}],
     route: [{destination: {host: cart}}]},
    {match: [{uri: {prefix: /m4}}], mirrors: [{destination: {host: pay}, percentage: {value: 0}}],
     route: [{destination: {host: cart}}]},
  ]}]
- [DestinationRule, shop, b-rule, {host: pay, subsets: [
    {name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}]
""",
    *(_call("cart.shop", f"/m{number}", port=8080) for number in (1, 3)),
    *(_call("cart.shop", f"/m{number}{rest}") for number in (1, 2, 3, 4) for rest in ("", "/x")),
)
PLACES = _read(
    """
- [Gateway, shop, a-rule, {selector: {istio: ingressgateway}, servers: [
    {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example, web.example]},
    {port: {number: 8080, name: more, protocol: HTTP}, hosts: [shop.example]}]}]
- [VirtualService, shop, b-rule, {hosts: [shop.example], gateways: [shop/a-rule], http: [
    {directResponse: {status: 200, body: {string: gateway}}}]}]
- [VirtualService, shop, c-rule, {hosts: [cart.shop.svc.cluster.local],
    gateways: [mesh, shop/a-rule], http: [
    {match: [{uri: {prefix: /g}, gateways: [shop/a-rule]}], directResponse: {status: 202}},
    {route: [{destination: {host: cart, subset: v1}}]}]}]
- [VirtualService, shop, d-rule, {hosts: [pay], exportTo: [.], http: [
    {directResponse: {status: 203}}]}]
- [VirtualService, web, e-rule, {hosts: [news], http: [
    {match: [{uri: {prefix: /e}}], delegate: {name: f-rule, namespace: shop}},
    {match: [{uri: {prefix: /d}}], delegate: {name: f-rule, namespace: shop}},
    {route: [{destination: {host: news, subset: v1}}]}]}]
- [VirtualService, shop, f-rule, {http: [{directResponse: {status: 206}}]}]
- [DestinationRule, shop, g-rule, {host: cart, subsets: [{name: v1, labels: {version: v1}}]}]
- [DestinationRule, default, h-rule, {host: cart.shop.svc.cluster.local,
    subsets: [{name: v1, labels: {version: v2}}]}]
- [DestinationRule, web, i-rule, {host: news, exportTo: [web],
    subsets: [{name: v1, labels: {version: v1}}]}]
""",
    _outside("shop.example"),
    _outside("shop.example", port=8080),
    _call("cart.shop", "/g"),
    *(_call("cart.shop", path) for path in ("/", "/x", "/y", "/z")),
    _call("pay.shop"),
    _call("pay.shop", namespace="shop"),
    *(_call("news.web", path) for path in ("/d", "/e")),
    _call("news.web"),
    _call("news.web", namespace="web"),
)
FIELD_EXAMPLES = (MATCHES, ACTIONS, DELAYS, MIRRORS, PLACES)
