"""`meshproof rbac`: prints the rights that a run needs, and the CronJob of the nightly run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from meshproof.base import errors
from meshproof.base.errors import UsageError
from meshproof.base.output import write
from meshproof.options import command_line, sources
from meshproof.plugin import cluster_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshproof.cli.rights import Object

DESCRIPTION = (
    "Prints a manifest: a ServiceAccount with exactly the rights that a run needs, and the CronJob "
    "of the nightly run. `meshproof rbac | kubectl apply -f -`"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    command_line.add_options(parser, "rbac")


def run(options: argparse.Namespace) -> int:
    """Print the manifest. Raises UsageError for an option that cannot be used."""
    sources.fill_in("rbac", options)
    _check_options(options)
    namespace = str(options.namespace or "meshproof")
    from meshproof.cli import rights

    purpose, rules_namespaces = options.purpose, list(dict.fromkeys(options.rules_from))
    objects = [] if options.namespace else [rights.build_namespace()]
    objects += rights.build_account_objects(purpose, namespace, rules_namespaces)
    if not options.without_policy:
        objects += rights.build_policy_objects(
            purpose, namespace, cluster_settings.list_target_namespaces(options)
        )
    if options.cronjob:
        smoke_arguments = [
            argument
            for rules_namespace in rules_namespaces
            for argument in ("--rules-from", rules_namespace)
        ]
        smoke_arguments += cluster_settings.list_target_arguments(options)
        intent_texts = _read_intent(options.intent)
        objects += [rights.build_intent(namespace, intent_texts)] if intent_texts else []
        schedule = options.schedule or "17 3 * * *"
        objects.append(
            rights.build_cron_job(
                namespace, options.image, schedule, smoke_arguments, list(intent_texts)
            )
        )
    comments = {
        tuple(map(str, right.rule.values())): right.reason
        for right in rights.list_cluster_rights(purpose, rules_namespaces)
    }
    comments |= {
        tuple(map(str, right.rule.values())): right.reason for right in rights.list_reading_rights()
    }
    write("---\n".join("".join(_render_object(body, comments)) for body in objects))
    return errors.EXIT_PASSED


def _check_options(options: argparse.Namespace) -> None:
    """Raise UsageError for options that do not fit."""
    if not options.cronjob and (options.image or options.schedule):
        raise UsageError("rbac: --image and --schedule are for --cronjob")
    if options.intent and not (options.cronjob and options.rules_from):
        raise UsageError("rbac: --intent is for --cronjob with --rules-from")
    if options.cronjob and options.purpose != "smoke":
        raise UsageError("rbac: --cronjob runs `meshproof smoke`: leave out --for test")
    if options.cronjob and not options.image:
        raise UsageError("rbac: --cronjob needs --image, an image with Python and meshproof")


def _read_intent(paths: Sequence[str]) -> dict[str, str]:
    """Return the name of each intent file in the cluster -> its text.

    Raises UsageError and BadRules as `intent.read_expectations` does.
    """
    from meshproof.user_rules import intent

    texts: dict[str, str] = {}
    for number, path in enumerate(paths, 1):
        intent.read_expectations(path)
        texts[f"intent-{number}.yaml"] = Path(path).read_text(encoding="utf-8")
    return texts


def _render_object(body: Object, comments: dict[tuple[str, ...], str]) -> Iterator[str]:
    """Yield an object as YAML; above each rule of a role stands a comment with its reason."""
    import yaml

    def dump_yaml(value: object) -> str:
        return yaml.safe_dump(value, sort_keys=False, width=1000)

    rules = body.get("rules")
    if rules is None:
        yield dump_yaml(body)
        return
    yield dump_yaml({key: value for key, value in body.items() if key != "rules"})
    yield "rules:\n"
    for rule in rules:
        yield f"# {comments[tuple(map(str, rule.values()))]}\n"
        yield dump_yaml([rule])
