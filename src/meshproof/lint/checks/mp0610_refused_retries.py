"""Retries that Istio refuses."""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.base.errors import suggest_nearest
from meshproof.documents.lookup import find_values, get_value, read_text
from meshproof.documents.manifest import Value
from meshproof.lint.engine.finding import Hit
from meshproof.lint.engine.project import Project
from meshproof.lint.model.route_tables import read_route_tables
from meshproof.rules.istio.actions import KEYS_OF_TRIES, RETRY_CONDITIONS, is_known_status

CODE = "MP0610"


def check(project: Project) -> Iterator[Hit]:
    """Report retries that name no condition there is, or say how to do none."""
    for table in read_route_tables(project):
        for route in table.routes_of("http") if table.dialect == "VirtualService" else ():
            for retries in find_values(route.value, "retries"):
                yield from _check_attempts(retries, route.name)
                yield from _check_conditions(retries, route.name)


def _check_attempts(retries: Value, route_name: str) -> Iterator[Hit]:
    """Report settings of tries where there are none: 'attempts' is 0, or left out."""
    attempts = get_value(retries, "attempts")
    if attempts is not None and attempts.content != 0:
        return
    for key in KEYS_OF_TRIES:
        if get_value(retries, key) is not None:
            message = f"{route_name}: {key} is set, and attempts is 0"
            yield Hit(retries.keys[key], message, "attempts: 2, or without the rest")
            return


def _check_conditions(retries: Value, route_name: str) -> Iterator[Hit]:
    """Report each part of retryOn that is no condition: Istio takes no space beside a comma."""
    retry_on = get_value(retries, "retryOn")
    if retry_on is None or not read_text(retry_on):
        return
    for condition in read_text(retry_on).split(","):
        name = condition.strip()
        if condition in RETRY_CONDITIONS or is_known_status(condition):
            continue
        hint = suggest_nearest(name, RETRY_CONDITIONS)
        message = f"{route_name}: retryOn: '{condition}' is no condition of a retry, nor a status"
        is_spaced = name in RETRY_CONDITIONS or is_known_status(name)
        yield Hit(
            retry_on.at, f"{message}{hint}", f"'{name}', without the space" if is_spaced else ""
        )
