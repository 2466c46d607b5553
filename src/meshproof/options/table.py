"""The one table of options: name, kind and range, default, help, variable, and who takes each.

pytest's `--mesh-NAME`, the options of the commands, `[tool.meshproof]`, the variables
MESHPROOF_..., the annotations of rules and docs/reference/options.md all come from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from meshproof.options.kinds import Choice, Flag, Kind, Number, PathText, Text, Whole

T = TypeVar("T")

#: The folder that `meshproof test` and `meshproof smoke` write to, unless they are given another.
REPORT_FOLDER = "meshproof-report"
#: What takes options; `pytest` is pytest without the command. `mesh` is `meshproof mesh up`.
TAKERS = (
    *("pytest", "test", "smoke", "rbac", "judge", "plan", "explain", "intent", "compare"),
    *("try", "cleanup", "images", "istiod", "mesh"),
)
PROVIDERS = ("kind", "minikube", "k3d", "external")
#: Profiles whose istiod injects sidecars (Istio docs, "Installation Configuration Profiles").
PROFILES = ("default", "demo", "minimal", "openshift", "preview", "stable")
#: Headings for the groups of options.
GROUPS = {
    "run": "does the mesh route as its rules say?",
    "cluster": "--mesh cluster",
    "judge": "error rates of the verdicts",
    "command": "options of one command",
}

_RUN = ("pytest", "test")
_TARGET = (*_RUN, "smoke", "rbac")
_CLUSTER = (*_RUN, "smoke", "cleanup")
_IMAGES = (*_TARGET, "images")
_JUDGE = (*_RUN, "judge")
_LOCAL = (*_RUN, "mesh")
_READING = (*_RUN, "plan", "explain", "intent", "compare", "try")

#: RFC 1123, as Kubernetes takes it for the name of a namespace.
_NAMESPACE = Text(
    "NAME", r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "the name of a namespace: a-z, 0-9 and -, 63"
)
#: Rules that are in no file: those of standard input, those of a live namespace.
_LIVE_RULES = r"-|cluster:(?s:.*)"
#: A version of Istio; the tag of its images.
ISTIO_VERSION = r"[0-9]+\.[0-9]+[A-Za-z0-9_.-]{0,120}"
_IMAGE = r"[\w.-]+(:\d+)?(/[\w.-]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?"
#: Kubernetes docs, "Labels and Selectors"; a prefix is a DNS name.
_LABEL = (
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?"
    r"=([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?"
)
#: A revision becomes part of names, which may have 63 characters, and the value of a label.
_REVISION = r"(?!default$)[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?"
_SCHEDULE = r"@(hourly|daily|midnight|weekly|monthly|yearly|annually)|\S+( +\S+){4}"
#: Rarer errors than one in 10^12 are beyond the judge's numbers, smaller faults beyond any budget.
_ERROR_RATE = Number("RATE", 1e-12, 0.5)
_SHARE = Number("SHARE", 0.001, 0.999)
_COUNT = Whole("N", 1, 1_000_000_000)


@dataclass(frozen=True)
class Option:
    """One option.

    name: as files have it, and commands after `--`; pytest's has `--mesh-` before it.
    kind: how a value is read, and its range. help: what it is, in a few words.
    default: its value where nothing sets it; default_text says in words what that means.
    commands: who takes it, of TAKERS; `rule` for the annotation meshproof/NAME of a rule.
    command_line_only: those of them that never take it from a variable or a file.
    is_repeatable: it has a tuple of values. optional_value: its value where only its name is given.
    variable: a variable that other programs read, too, after MESHPROOF_NAME.
    hidden_by: a variable that is read elsewhere and comes before a file.
    short: a second name such as `-o`. attribute: its name in Python, from `name` if empty.
    group: its heading, a key of GROUPS.
    """

    kind: Kind
    help: str
    commands: tuple[str, ...]
    default: object = None
    default_text: str = ""
    name: str = ""
    group: str = "run"
    command_line_only: tuple[str, ...] = ()
    is_repeatable: bool = False
    optional_value: str = ""
    variable: str = ""
    hidden_by: str = ""
    short: str = ""
    attribute: str = ""

    @property
    def mesh_flag(self) -> str:
        """The option of pytest."""
        return "--mesh" if self.name == "mesh" else f"--mesh-{self.name}"

    @property
    def mesh_attribute(self) -> str:
        """The name of the value in pytest's configuration."""
        return self.mesh_flag[2:].replace("-", "_")

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables that set it; the first that is set counts."""
        own_variable = f"MESHPROOF_{self.name.replace('-', '_').upper()}"
        return (own_variable, self.variable) if self.variable else (own_variable,)

    @property
    def is_setting(self) -> bool:
        """Whether a variable or a file may set it for some command."""
        return any(command in TAKERS for command in self.setting_takers)

    @property
    def setting_takers(self) -> tuple[str, ...]:
        """The commands that take it from a variable or a file, too."""
        takers = (command for command in self.commands if command in TAKERS)
        return tuple(command for command in takers if command not in self.command_line_only)

    def describe_default(self) -> str:
        """Return the default in words; empty if there is none."""
        if self.default_text or self.default in (None, False, ()):
            return self.default_text
        return f"{self.default:g}" if isinstance(self.default, float) else f"{self.default}"


def _option(default: T, kind: Kind, help: str, commands: tuple[str, ...], **details: Any) -> T:
    """Return the field of RunOptions for an option."""
    option = Option(kind, help, commands, default, **details)
    return field(default=default, metadata={"option": option})


@dataclass(frozen=True)
class RunOptions:
    """The options of a run under pytest, with their values.

    labels: option -> how a message names it with the place of its value: `--mesh-port`,
    `MESHPROOF_PORT`, `pyproject.toml:7: port`.
    """

    mesh: str = _option("local", Choice(("cluster", "istiod", "local")), "the mesh", _RUN)
    rules: tuple[str, ...] = _option(
        (),
        PathText("PATH", words=_LIVE_RULES),
        "check your own rules: every case that follows from these files, or from those of a live "
        "namespace, cluster:[CONTEXT/]NAMESPACE; every test that takes `rule_case` runs once for "
        "each case",
        _RUN,
        is_repeatable=True,
    )
    inventory: tuple[str, ...] = _option(
        (),
        PathText("PATH", words=_LIVE_RULES),
        "where Services, workloads and ServiceEntries are that the rules send to: files, folders "
        "or cluster:[CONTEXT/]NAMESPACE, beside those that the files of the rules have",
        _READING,
        is_repeatable=True,
    )
    intent: tuple[str, ...] = _option(
        (),
        PathText("FILE"),
        "expectations to check, beside those of meshproof.yaml in a folder of rules",
        (*_RUN, "plan", "smoke", "rbac"),
        is_repeatable=True,
    )
    exclude: tuple[str, ...] = _option(
        (),
        Text("GLOB"),
        "files of the folders of rules that are passed over: charts/*",
        _READING,
        is_repeatable=True,
    )
    allow_unsupported: tuple[str, ...] = _option(
        (),
        Text("KIND/NAME[:FIELD]", r"[^/:]+/[^:]+(:.+)?", "KIND/NAME[:FIELD]"),
        "an object of the rules that need not be supported: the run ends with 3 for any other",
        (*_RUN, "plan", "smoke", "compare"),
        is_repeatable=True,
    )
    no_render: bool = _option(
        False,
        Flag(),
        "read kustomizations and charts as they are: no kustomize, kubectl or helm is run",
        _READING,
    )
    no_lint: bool = _option(
        False,
        Flag(),
        "do not lint the rules: errors fail a run, warnings stand beside their routes",
        (*_RUN, "plan", "smoke"),
    )
    mtls: str = _option(
        "permissive", Choice(("permissive", "strict", "disable")), "the mesh's mTLS", _LOCAL
    )
    port: int = _option(
        0, Whole("PORT", 0, 65535), "ingress port", _LOCAL, default_text="0: a free one"
    )
    envoy: str | None = _option(
        None,
        PathText("PATH"),
        "the Envoy to run",
        (*_LOCAL, "explain", "compare", "try"),
        default_text="the wheel's",
    )
    istiod: str | None = _option(
        None,
        PathText("PATH|VERSION", words=ISTIO_VERSION),
        "the istiod to run for --mesh istiod: a pilot-discovery, or a version such as 1.29.2, "
        "taken out of its image",
        _RUN,
    )
    addon: tuple[str, ...] = _option(
        (),
        Text("NAME=PATH", r"[^=]+=.*", "NAME=PATH or NAME=off"),
        "where an addon's program is, or NAME=off",
        _RUN,
        default_text="looked for on PATH; zipkin: ZIPKIN_JAR, then PATH",
        is_repeatable=True,
    )
    require_addon: tuple[str, ...] = _option(
        (), Text("NAME"), "fail without this addon", _RUN, is_repeatable=True
    )
    report: str | None = _option(
        None,
        PathText("DIR"),
        "write the reports to this folder",
        (*_RUN, "smoke"),
        default_text=f"{REPORT_FOLDER}; pytest: no reports",
        command_line_only=("pytest",),
    )
    format: tuple[str, ...] = _option(
        (), Text("NAME"), "reports to write", _RUN, default_text="all", is_repeatable=True
    )
    output: str = _option(
        "text",
        Choice(("text", "json", "jsonl", "github", "gitlab")),
        "what is printed: text for people; the record as JSON, whole at the end or an event in "
        "each line; text with annotations for GitHub; code quality for GitLab",
        ("test", "smoke"),
        short="-o",
    )
    durations: bool = _option(
        False, Flag(), "also print where the time went, phase by phase", ("test", "smoke")
    )
    kubeconfig: str | None = _option(
        None,
        PathText("PATH"),
        "the kubeconfig",
        _CLUSTER,
        default_text="as kubectl finds it, last the cluster of the pod it runs in",
        group="cluster",
        hidden_by="KUBECONFIG",
    )
    context: str | None = _option(
        None,
        Text("NAME"),
        "context of the kubeconfig",
        _CLUSTER,
        default_text="the current one",
        group="cluster",
    )
    istio_namespace: str = _option(
        "istio-system", Text("NAME"), "where istiod runs", _TARGET, group="cluster"
    )
    smoke: bool = _option(
        False,
        Flag(),
        "stand up what `meshproof smoke` does: few pods, with small requests and limits",
        _RUN,
        group="cluster",
    )
    sandbox: int | None = _option(
        None,
        Whole("N", 1, 200),
        "check the cases of --rules in a sandbox of the cluster, with at most N echo workloads "
        "(more: on a local mesh)",
        _RUN,
        default_text="no sandbox",
        group="cluster",
    )
    revision: str | None = _option(
        None, Text("NAME"), "the revision of Istio that injects", _TARGET, group="cluster"
    )
    injection: str = _option(
        "namespace",
        Choice(("namespace", "istioctl")),
        "sidecars by a label of the namespace, or by `istioctl kube-inject`",
        _RUN,
        group="cluster",
    )
    way_in: str = _option(
        "istio",
        Choice(("istio", "gateway-api")),
        "how the way in to our apps is written: Istio's Gateway or Gateway API",
        _RUN,
        group="cluster",
    )
    ingress: str = _option(
        "istio-system/istio-ingressgateway",
        Text("NAMESPACE/NAME", r"[^/]+/[^/]+", "NAMESPACE/NAME of a Service"),
        "Service of the ingress gateway",
        _TARGET,
        group="cluster",
    )
    gateway_url: str | None = _option(
        None,
        Text("URL"),
        "the way in",
        _TARGET,
        default_text="looked for",
        group="cluster",
        variable="GATEWAY_URL",
    )
    image_map: tuple[str, ...] = _option(
        (),
        Text("IMAGE=IMAGE", r"[^=]+=.+", "IMAGE=IMAGE"),
        "pull the second in place of the first",
        _IMAGES,
        group="cluster",
        is_repeatable=True,
    )
    namespace_label: tuple[str, ...] = _option(
        (),
        Text("KEY=VALUE", _LABEL, "KEY=VALUE, a label"),
        "the run's namespaces have this label, too: one that istiod's discoverySelectors ask for, "
        "say",
        _TARGET,
        group="cluster",
        is_repeatable=True,
    )
    image_prefix: str | None = _option(
        None,
        Text("PREFIX"),
        "registry and path that all images come from",
        (*_IMAGES, "istiod"),
        group="cluster",
    )
    provider: str | None = _option(
        None,
        Choice(PROVIDERS),
        "make a cluster for the run; external: use --kubeconfig",
        _RUN,
        group="cluster",
    )
    provider_config: str | None = _option(
        None, PathText("PATH"), "the provider's own config file", _RUN, group="cluster"
    )
    provider_version: str | None = _option(
        None,
        Text("VERSION", r"\d+\.\d+\.\d+", "a version such as 1.35.0"),
        "of Kubernetes, for --provider",
        _RUN,
        default_text="1.35.0",
        group="cluster",
    )
    install: str | None = _option(
        None,
        Choice(PROFILES),
        "install this profile of Istio for the run with istioctl, and remove it at the end",
        _RUN,
        optional_value="default",
        group="cluster",
    )
    install_revision: str | None = _option(
        None,
        Text(
            "NAME",
            _REVISION,
            "lower-case letters, digits and '-', 30 at most, and not 'default', which is somebody "
            "else's",
        ),
        "the revision of --install",
        _RUN,
        default_text="one of the run's",
        group="cluster",
    )
    install_hub: str | None = _option(
        None, Text("HUB"), "where the images of --install come from", _RUN, group="cluster"
    )
    install_tag: str | None = _option(
        None, Text("TAG"), "the tag of the images of --install", _RUN, group="cluster"
    )
    install_set: tuple[str, ...] = _option(
        (),
        Text("KEY=VALUE", r"[^=]+=.+", "KEY=VALUE"),
        "what `istioctl install --set` takes",
        _RUN,
        group="cluster",
        is_repeatable=True,
    )
    profile: str = _option(
        "gate",
        Choice(("gate", "nightly")),
        "set of the judge's defaults",
        (*_JUDGE, "plan"),
        group="judge",
    )
    alpha: float = _option(
        1e-4,
        _ERROR_RATE,
        "chance of any false FAIL in the whole run",
        (*_JUDGE, "plan"),
        default_text="0.0001",
        group="judge",
    )
    beta: float | None = _option(
        None,
        _ERROR_RATE,
        "chance to miss a fault of the tolerated size, per check",
        (*_JUDGE, "plan", "rule"),
        default_text="0.001",
        group="judge",
    )
    tolerance: float | None = _option(
        None,
        _SHARE,
        "share error that must be caught (0.10: 10 points)",
        (*_JUDGE, "plan", "rule"),
        default_text="half of the smallest weight, at least 0.005, at most 0.1, nightly 0.05",
        group="judge",
    )
    leak: float | None = _option(
        None,
        Number("SHARE", 0.0001, 0.999),
        "share of a version of weight 0 that must be caught",
        (*_JUDGE, "plan", "rule"),
        default_text="of the profile: 0.01, nightly 0.001",
        group="judge",
    )
    budget: int | None = _option(
        None,
        _COUNT,
        "most requests per check; too few: inconclusive",
        (*_JUDGE, "plan", "rule"),
        default_text="as many as it takes",
        group="judge",
    )
    max_seconds: float | None = _option(
        None,
        Number("SECONDS", 1, 86_400),
        "most seconds for all splits together; what is open then: inconclusive",
        _RUN,
        default_text="as long as it takes",
        group="judge",
    )
    workers: int = _option(4, Whole("N", 1, 64), "requests at a time", _RUN, group="judge")
    clients: int = _option(
        1, Whole("N", 1, 200), "source addresses that take turns", _RUN, group="judge"
    )
    fresh_connections: bool = _option(
        False, Flag(), "a new connection for each request", _RUN, group="judge"
    )
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)

    def label(self, name: str) -> str:
        """Return how a message names an option, with what set it."""
        return self.labels.get(name) or f"--mesh-{name}"


#: Options of single commands, and those that only a rule sets.
_COMMAND_OPTIONS = (
    Option(
        Choice(("smoke", "test")),
        "the rights of which command",
        ("rbac",),
        "smoke",
        name="for",
        attribute="purpose",
        command_line_only=TAKERS,
        group="command",
    ),
    Option(
        _NAMESPACE,
        "of the ServiceAccount and the CronJob",
        ("rbac",),
        name="namespace",
        default_text="meshproof, made by the manifest",
        group="command",
        command_line_only=TAKERS,
    ),
    Option(
        _NAMESPACE,
        "check the live rules of this namespace, too",
        ("smoke", "rbac"),
        (),
        name="rules-from",
        is_repeatable=True,
        group="command",
    ),
    Option(
        Whole("N", 0, 200),
        "so many echo workloads at most in the sandbox of --rules-from; more, or 0: the cases run "
        "on a local mesh as a stand-in",
        ("smoke",),
        16,
        name="most-workloads",
        group="command",
    ),
    Option(
        Flag(),
        "where several objects have one name, check each of them with the rest, in turn",
        ("test", "plan"),
        False,
        name="each-variant",
        group="command",
    ),
    Option(
        Flag(),
        "leave out the policy that keeps the account to namespaces of its runs (it takes "
        "Kubernetes 1.30)",
        ("rbac",),
        False,
        name="without-policy",
        group="command",
        command_line_only=TAKERS,
    ),
    Option(
        Flag(),
        "with the CronJob of `meshproof smoke`",
        ("rbac",),
        False,
        name="cronjob",
        group="command",
        command_line_only=TAKERS,
    ),
    Option(
        Text("IMAGE", _IMAGE, "[HOST/]NAME[:TAG][@DIGEST]"),
        "--cronjob: an image with Python and meshproof",
        ("rbac",),
        name="image",
        group="command",
        command_line_only=TAKERS,
    ),
    Option(
        Text("CRON", _SCHEDULE, 'five fields, e.g. "17 3 * * *", or @daily'),
        "--cronjob: when",
        ("rbac",),
        name="schedule",
        default_text='"17 3 * * *"',
        group="command",
        command_line_only=TAKERS,
    ),
    Option(
        Text("SHARES"),
        "v1=50,v2=50 (weights), or v1,v2,v3 (each is seen)",
        ("judge",),
        name="expect",
        group="command",
        command_line_only=TAKERS,
    ),
    Option(
        Flag(),
        "say what the check will cost, judge nothing",
        ("judge",),
        False,
        name="plan",
        group="command",
        command_line_only=TAKERS,
    ),
    Option(
        PathText("REPORT"),
        "judge a report's verdicts again (folder or run.json)",
        ("judge",),
        name="replay",
        group="command",
        command_line_only=TAKERS,
    ),
    Option(
        Whole("N", 1, 1_000_000),
        "answers per look",
        ("judge", "rule"),
        name="look-every",
        default_text="10",
        group="judge",
    ),
    Option(
        Flag(),
        "do not judge the order of the answers",
        ("judge",),
        False,
        name="no-independence",
        group="judge",
        command_line_only=TAKERS,
    ),
    Option(
        _SHARE,
        "smallest share that counts as present, where versions are to be seen",
        ("rule",),
        name="present",
        default_text="0.1",
        group="judge",
    ),
    Option(
        Number("N", 0, 1_000_000_000),
        "answers that may name no version; below 1 a share of all answers, else a count",
        ("rule",),
        name="unnamed-budget",
        default_text="a tenth of the tolerance",
        group="judge",
    ),
)


def _list_run_options() -> tuple[Option, ...]:
    """Return the options of RunOptions, each with the name of its field."""
    options = ((row.name, row.metadata.get("option")) for row in fields(RunOptions))
    return tuple(
        replace(option, name=name.replace("_", "-"), attribute=name)
        for name, option in options
        if option is not None
    )


#: Every option of pytest and of `meshproof test`.
RUN_OPTIONS = _list_run_options()
#: The table: every option.
OPTIONS = (
    *RUN_OPTIONS,
    *(
        replace(option, attribute=option.attribute or option.name.replace("-", "_"))
        for option in _COMMAND_OPTIONS
    ),
)


def list_options(command: str) -> tuple[Option, ...]:
    """Return the options that a command takes; `rule` for the annotations of a rule."""
    return tuple(option for option in OPTIONS if command in option.commands)
