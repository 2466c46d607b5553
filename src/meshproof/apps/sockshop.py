"""The sock shop's orders and front-end: `python -m meshproof.apps.sockshop orders|front-end`.

ORDER_TOTAL changes the total of every order: the changed build (v2) has 1000.
"""

from __future__ import annotations

import os
import sys

from meshproof.apps import serve
from meshproof.apps.calls import CallFailed, build_service_url, send_request

SHIPPING = 4.99
SOCKS = (("holy", 1, 69.99), ("colourful", 2, 15.00))  # item, quantity, unit price

_INDEX = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sock shop</title>
<style>
:root { color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif }
body { max-width: 34rem; margin: 4rem auto; padding: 0 1.5rem }
code { background: #8882; padding: .1em .35em; border-radius: 4px }
</style>
<h1>Sock shop</h1>
<p>This front-end passes <a href="/orders"><code>/orders</code></a> on to the orders service.
An order of <strong>104.98</strong> comes from v1, one of <strong>1000</strong> from the changed
build, v2. Reload to see the split.</p>
</html>
"""


def answer_orders(request: serve.Request) -> serve.Response:
    """GET /orders lists the orders in HAL; POST /orders answers 201 with a new one."""
    match (request.method, request.path_parts):
        case ("GET" | "HEAD", ["orders"]):
            customer_orders = [_make_order("57a98d98e4b00679b4a830af")]
            links = {"self": {"href": "/orders"}}
            return serve.make_json_response(
                {"_embedded": {"customerOrders": customer_orders}, "_links": links}
            )
        case ("POST", ["orders"]):
            return serve.make_json_response(_make_order(os.urandom(12).hex()), 201)
        case (_, ["orders"]):
            return serve.make_not_allowed(request, "GET, POST")
    return serve.make_not_found(request)


def _make_order(number: str) -> dict[str, object]:
    """Return an order as JSON; ORDER_TOTAL changes its total."""
    changed = os.environ.get("ORDER_TOTAL")
    total = round(sum(count * price for _, count, price in SOCKS) + SHIPPING, 2)
    return {
        "id": number,
        "customerId": "57a98d98e4b00679b4a830b2",
        "date": "2026-01-01T00:00:00.000+0000",
        "items": [
            {"itemId": item, "quantity": count, "unitPrice": price} for item, count, price in SOCKS
        ],
        "total": float(changed) if changed else total,
    }


def answer_front_end(request: serve.Request) -> serve.Response:
    """Forward /orders to the orders service; answer 502 if it cannot be reached."""
    match request.path_parts:
        case []:
            return serve.Response(_INDEX, content_type=serve.HTML)
        case ["orders"]:
            return _request_orders(request)
    return serve.make_not_found(request)


def _request_orders(request: serve.Request) -> serve.Response:
    """Return the response of the orders service."""
    url = build_service_url("orders", 80) + "/orders"
    headers = request.forwarded_headers
    if request.body:
        headers["content-type"] = request.headers.get("content-type", serve.JSON)
    try:
        reply = send_request(url, headers, method=request.method, body=request.body)
    except CallFailed as error:
        return serve.make_json_response({"error": f"orders cannot be reached: {error}"}, 502)
    kind = reply.headers.get("content-type", serve.TEXT)
    return serve.Response(reply.body, status=reply.status, content_type=kind)


ROLES = {"orders": (answer_orders, 80), "front-end": (answer_front_end, 8079)}

if __name__ == "__main__":
    serve.run_role(ROLES, sys.argv[1:])
