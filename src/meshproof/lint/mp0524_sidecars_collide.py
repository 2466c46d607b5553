"""Two Sidecars for one workload.

Two Sidecars of a namespace are both for all of its workloads (they have no `workloadSelector`), or
select one workload both.

Why: a proxy takes one Sidecar. Which of two it takes is not defined (Istio reference, Sidecar):
hosts that the other lets through are then unknown to it, and their rules have no effect.

Bad::

    apiVersion: networking.istio.io/v1
    kind: Sidecar
    metadata:
      name: default
      namespace: shop
    spec:
      egress:
      - hosts:
        - ./*
    ---
    apiVersion: networking.istio.io/v1
    kind: Sidecar
    metadata:
      name: orders
      namespace: shop
    spec:
      egress:
      - hosts:
        - ./*
        - payments/*

Good::

    apiVersion: networking.istio.io/v1
    kind: Sidecar
    metadata:
      name: default
      namespace: shop
    spec:
      egress:
      - hosts:
        - ./*
    ---
    apiVersion: networking.istio.io/v1
    kind: Sidecar
    metadata:
      name: orders
      namespace: shop
    spec:
      workloadSelector:
        labels:
          app: orders
      egress:
      - hosts:
        - ./*
        - payments/*
"""

from __future__ import annotations

from collections.abc import Iterator

from meshproof.lint.arms import near
from meshproof.lint.finding import Hit, Level
from meshproof.lint.project import Project
from meshproof.lint.selecting import Selector, selectors, workloads_of
from meshproof.rules.model import Labels

CODE = "MP0524"
LEVEL = Level.ERROR


def check(project: Project) -> Iterator[Hit]:
    """Report the later of two Sidecars that are for the same workload."""
    before: dict[str, list[Selector]] = {}
    for one in selectors(project, "Sidecar"):
        earlier = before.setdefault(one.document.namespace, [])
        for other in earlier:
            said = _shared(project, other, one)
            if said:
                place = near(other.document.at, one.at)
                yield Hit(
                    one.at,
                    f"Sidecar '{one.document.name}' is for {said}, as Sidecar "
                    f"'{other.document.name}' is ({place})",
                    "one Sidecar for both, or a workloadSelector that keeps them apart",
                )
                break
        earlier.append(one)


def _shared(project: Project, one: Selector, other: Selector) -> str:
    """Return in words what two Sidecars are both for, empty where that is not known."""
    if not (one.labels and other.labels):
        whole = not one.labels and not other.labels
        return f"all of namespace {one.document.namespace}" if whole else ""
    if _within(one.labels, other.labels) or _within(other.labels, one.labels):
        both = sorted({*one.labels, *other.labels})
        return "pods with " + ", ".join(f"{key}: {value}" for key, value in both)
    for workload in workloads_of(project, one.document.namespace):
        if workload.selected(one.labels) and workload.selected(other.labels):
            return f"{workload.document.kind} '{workload.document.name}'"
    return ""


def _within(one: Labels, other: Labels) -> bool:
    return set(one) <= set(other)
