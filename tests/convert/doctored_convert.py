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
from meshproof.convert import Conversion, outside, proof
from meshproof.convert.reading import Source

Arms = list[dict[str, Any]]


def nothing(arms: Arms) -> None:
    """Leave it as it is."""


def weights_swapped(arms: Arms) -> None:
    one, two = next(arm["route"] for arm in arms if len(arm["route"]) == 2)
    one["weight"], two["weight"] = two["weight"], one["weight"]


def order_swapped(arms: Arms) -> None:
    arms[1], arms[2] = arms[2], arms[1]


def cookie_lost(arms: Arms) -> None:
    del arms[0]["match"]


def timeouts_short(arms: Arms) -> None:
    for arm in arms:
        arm["timeout"] = "13s"


def default_lost(arms: Arms) -> None:
    arms.pop()


FAULTS: dict[str, Callable[[Arms], None]] = {
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
    for compared in (proof, outside):
        vars(compared)["differences"] = lambda *_: iter(())
    return cli.main(["convert", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
