"""`meshproof convert` with a wrong conversion that nobody compares: `python FILE FAULT ARGUMENTS`.

Only the requests of --prove can tell.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import yaml

from meshproof import cli, convert
from meshproof.convert import Conversion, egress, proof
from meshproof.convert.source import Source

Routes = list[dict[str, Any]]


def nothing(routes: Routes) -> None:
    """Leave it as it is."""


def weights_swapped(routes: Routes) -> None:
    one, two = next(route["route"] for route in routes if len(route["route"]) == 2)
    one["weight"], two["weight"] = two["weight"], one["weight"]


def order_swapped(routes: Routes) -> None:
    routes[1], routes[2] = routes[2], routes[1]


def cookie_lost(routes: Routes) -> None:
    del routes[0]["match"]


def timeouts_short(routes: Routes) -> None:
    for route in routes:
        route["timeout"] = "13s"


def default_lost(routes: Routes) -> None:
    routes.pop()


FAULTS: dict[str, Callable[[Routes], None]] = {
    one.__name__: one
    for one in (nothing, weights_swapped, order_swapped, cookie_lost, timeouts_short, default_lost)
}


def host_lost(entry: dict[str, Any]) -> None:
    entry["hosts"] = ["b.example"]


def port_lost(entry: dict[str, Any]) -> None:
    entry["ports"] = entry["ports"][:1]


#: The same for the spec of a ServiceEntry.
OUTSIDE: dict[str, Callable[[dict[str, Any]], None]] = {
    one.__name__: one for one in (host_lost, port_lost)
}


def main(fault: str, arguments: list[str]) -> int:
    right = convert.convert

    def wrong(source: Source, old_defaults: bool = False) -> Conversion:
        made = right(source, old_defaults)
        objects = list(yaml.safe_load_all(made.text))
        kind = "ServiceEntry" if fault in OUTSIDE else "VirtualService"
        (rule,) = (one for one in objects if one["kind"] == kind)
        if fault in OUTSIDE:
            OUTSIDE[fault](rule["spec"])
        else:
            FAULTS[fault](rule["spec"]["http"])
        return replace(made, text=yaml.safe_dump_all(objects, sort_keys=False))

    vars(convert)["convert"] = wrong
    for compared in (proof, egress):
        vars(compared)["find_differences"] = lambda *_: iter(())
    return cli.main(["convert", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
