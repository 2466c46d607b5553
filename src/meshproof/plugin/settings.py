"""Turns pytest's options into the options of the engine.

Imported late: without our options a run loads nothing heavy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from meshproof.base.errors import UsageError, suggest_nearest
from meshproof.plugin.run_context import get_context

if TYPE_CHECKING:
    import pytest

    from meshproof.mesh.http import HttpResponse
    from meshproof.mesh.protocol import ClusterOptions
    from meshproof.mesh.protocol import Options as MeshOptions
    from meshproof.options.table import RunOptions
    from meshproof.rules.judge_options import Option, Options
    from meshproof.rules.model import MtlsMode
    from meshproof.traffic.sender import Sampling
    from meshproof.traffic.visits import Visits
    from meshproof.user_rules.loading import UserRules
    from meshproof.verdict import Settings

#: Each check is given so many labels, however few seconds are left.
_FIRST_LABELS = 10
#: Folder below the report folder for the evidence of failures.
DIAGNOSIS = "diagnosis"


def read_mesh_options(config: pytest.Config) -> MeshOptions:
    """Return the options of the mesh. Raises UsageError for options that do not fit."""
    from meshproof.mesh.protocol import Options

    context = get_context(config)
    options = context.options
    return Options(
        mtls=cast("MtlsMode", options.mtls.upper()),
        ingress_port=options.port,
        envoy=options.envoy,
        istiod=options.istiod,
        addons=dict(_read_addon_option(text, options) for text in options.addon),
        checked_addons=tuple(context.addons),
        cluster=read_cluster_options(options),
        evidence=Path(options.report) / DIAGNOSIS if options.report else None,
        beta=options.beta,
    )


def read_cluster_options(options: RunOptions) -> ClusterOptions:
    """Return the options of the cluster. Raises UsageError for options that do not fit."""
    from meshproof.mesh.cluster.api import images
    from meshproof.mesh.protocol import ClusterOptions
    from meshproof.plugin import cluster_settings

    return ClusterOptions(
        kubeconfig=options.kubeconfig or "",
        context=options.context or "",
        istio_namespace=options.istio_namespace,
        revision=options.revision or "",
        ingress=options.ingress,
        gateway_url=options.gateway_url or "",
        install=cluster_settings.read_install(options),
        provider=cluster_settings.read_provider(options),
        injection=cast('Literal["namespace", "istioctl"]', options.injection),
        image_map=images.read_image_changes(options.image_map, options.label("image-map")),
        image_prefix=options.image_prefix or "",
        small=options.smoke,
        namespace_labels=cluster_settings.read_namespace_labels(options),
    )


def _read_addon_option(text: str, options: RunOptions) -> tuple[str, str]:
    """Split NAME=PATH or NAME=off of --mesh-addon. Raises UsageError for an unknown addon."""
    from meshproof.mesh.addons import list_addons

    name, _, path = text.partition("=")
    if name not in list_addons():
        raise UsageError(
            f"{options.label('addon')} {text}: expected NAME=PATH or NAME=off with a NAME of "
            f"{', '.join(list_addons())}{suggest_nearest(name, list_addons())}"
        )
    return name, path


def build_judge_settings(
    config: pytest.Config, check_values: Mapping[str, float], rules: Sequence[Options] = ()
) -> Settings:
    """Return the limits of one check: its own, else its rule's, else the run's, else the profile's.

    `check_values` are the settings of the check itself, `rules` the options of each rule that it
    tests. All collected checks share the run's alpha, before the first request. Raises UsageError
    for a setting that no check has, ValueError for one that is out of its range.
    """
    from meshproof.rules.judge_options import check_range, list_option_names
    from meshproof.verdict import PROFILES

    context = get_context(config)
    options = context.options
    settings = PROFILES[options.profile].with_run_alpha(options.alpha, context.check_count)
    settings = apply_run_options(settings, options, options.label)
    valid_names = list_option_names()
    unknown_names = [name for name in check_values if name not in valid_names]
    if unknown_names:
        hint = suggest_nearest(unknown_names[0], valid_names)
        raise UsageError(f"judge: no setting '{unknown_names[0]}'{hint}")
    for name, value in check_values.items():
        check_range(name, value)
    return apply_rule_options(settings, rules).with_values(
        "the check itself", check_values, is_local=True
    )


def apply_run_options(settings: Settings, options: object, label: Callable[[str], str]) -> Settings:
    """Return the settings of a profile, changed by the options of a run; `label` names each."""
    for name in ("tolerance", "leak", "beta", "budget"):
        value: float | None = getattr(options, name)
        if value is not None:
            settings = settings.with_values(label(name), {name: value})
    return settings


def apply_rule_options(settings: Settings, rules: Sequence[Options]) -> Settings:
    """Return the run's settings, changed by the options of the rules that a check tests.

    Of several rules the strictest value holds; a rule without a value has the run's value.
    """
    strictest_settings = settings
    for name in {option.name: None for options in rules for option in options}:
        candidates = [
            {candidate.name: candidate for candidate in options}.get(name) for options in rules
        ]
        strictest = min(
            candidates, key=lambda candidate: _rank_strictness(name, candidate, settings)
        )
        if strictest is not None:
            strictest_settings = strictest_settings.with_values(
                str(strictest.at), {name: strictest.value}, is_local=True
            )
    return strictest_settings


def _rank_strictness(name: str, option: Option | None, run_settings: Settings) -> float:
    """Return a sort key of an option, the run's value if None: a lower key is stricter.

    A greater budget is stricter: it does not end a check before the decision.
    """
    if name == "budget":
        budget = run_settings.budget if option is None else option.value
        return -math.inf if budget is None else -budget
    if option is None:
        return float(
            run_settings.unnamed_allowed
            if name == "unnamed_budget"
            else getattr(run_settings, name)
        )
    return option.value


def label_sample(
    sample: Visits | Iterable[str | None], by: str | Callable[[HttpResponse], str | None]
) -> Generator[str | None]:
    """Return the labels of a sample: visits are labelled by `by`, labels stay as they are.

    Closing the generator after the verdict stops requests still under way.
    Raises UsageError when visits come without `by`, or labels with it.
    """
    from meshproof.traffic.visits import Visits

    if isinstance(sample, Visits):
        if not by:
            raise UsageError("judge: visits need by=APP or by=FUNCTION")
        return sample.label_by_app(by) if isinstance(by, str) else sample.label_by(by)
    if by:
        raise UsageError("judge: `by` is for visits; these are labels already")
    return (label for label in sample)


def bound_seconds(labels: Generator[str | None], config: pytest.Config) -> Generator[str | None]:
    """Yield labels until the seconds of --mesh-max-seconds are over for all checks together.

    The first labels of each check come in any case. Closing this closes `labels`.
    """
    context = get_context(config)
    max_seconds = context.options.max_seconds
    start = time.monotonic()
    end = math.inf if max_seconds is None else start + max_seconds - context.judging_seconds
    try:
        for count, label in enumerate(labels):
            if count >= _FIRST_LABELS and time.monotonic() > end:
                context.ended_splits += 1
                return
            yield label
    finally:
        labels.close()
        context.judging_seconds += time.monotonic() - start


def load_user_rules(config: pytest.Config) -> UserRules:
    """Return the rules of --mesh-rules and their cases, read once. Raises BadRules."""
    context = get_context(config)
    if context.user_rules is None:
        from meshproof.user_rules import loading

        cluster_options = read_cluster_options(context.options)
        context.user_rules = loading.load(
            context.options.rules, cluster_options, loading.read_reading_options(context.options)
        )
        context.notes += context.user_rules.world_notes
    return context.user_rules


def count_item_checks(item: pytest.Item) -> int:
    """Return how many times a test may judge: its mark `checks(n)`, else once.

    A case of user rules that is no split is not judged, so it gets no share of the run's alpha.
    """
    mark = item.get_closest_marker("checks")
    if mark is not None:
        return int(mark.args[0])
    case = _read_parameter(item, "rule_case")
    return 1 if case is None else int(case.needs_judge)


def _read_parameter(item: pytest.Item, name: str) -> Any:
    """Return the value of a test's parameter, or None."""
    return getattr(getattr(item, "callspec", None), "params", {}).get(name)


def plan_run(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Store the number of checks of the collected tests, and the addons that they ask for."""
    from meshproof.mesh.addons import list_addons

    context = get_context(config)
    # A test of the user's own may have a parameter of that name, with values of its own.
    values = [_read_parameter(item, "addon") for item in items]
    known = set(list_addons())
    context.addons = list(
        dict.fromkeys(name for name in values if isinstance(name, str) and name in known)
    )
    judging_items = [item for item in items if "judge" in getattr(item, "fixturenames", ())]
    context.check_count = max(1, sum(count_item_checks(item) for item in judging_items))


def read_sampling(options: RunOptions) -> Sampling:
    """Return how requests are sent: workers, connections and source addresses."""
    from meshproof.traffic.sender import Sampling

    return Sampling(
        workers=options.workers,
        keep_alive=not options.fresh_connections,
        clients=options.clients,
    )


def describe_distribution(config: pytest.Config) -> str:
    """Return the option that makes pytest-xdist spread tests (`-n 2`), else an empty string."""
    processes = config.getoption("numprocesses", None)
    if processes:
        return f"-n {processes}"
    if processes == 0:
        return ""
    mode = "load" if config.getoption("distload", False) else config.getoption("dist", "no")
    return f"--dist {mode}" if mode != "no" and config.getoption("tx") else ""


def disable_distribution(config: pytest.Config) -> None:
    """Reset the options of pytest-xdist to their defaults."""
    config.option.numprocesses, config.option.dist, config.option.tx = None, "no", []
    config.option.distload = False
