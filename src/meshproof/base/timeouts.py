"""All time limits in one table, in seconds. Waiting ends as soon as the state is reached."""

from __future__ import annotations

#: An Envoy answers on its admin address after its start.
ENVOY_START = 40.0
#: An app prints the port that it listens on, then answers its readiness probe.
APP_START = 20.0
#: Every Envoy has acknowledged a new config version.
CONFIG_SERVED = 15.0
#: One request from the client, connecting included.
REQUEST = 10.0
#: One request to an admin address or an addon's API.
ADMIN = 5.0
#: The same to an Envoy of this machine: it answers between the configs that it takes, and a machine
#: that is busy with other work makes hundreds of routes last.
OWN_ADMIN = 30.0
#: Every Envoy has written all lines of its access log (it does so every 0.2 s).
ACCESS_LOGS = 1.0
#: A workload has got a mirrored copy of a request, and has noted it.
COPIES = 5.0
#: A process ends by itself after SIGTERM; after that it is killed.
PROCESS_END = 2.0
#: A process that has closed its connection has ended, if that was the cause.
PROCESS_DIES = 0.5
#: Another meshproof has created or cleared its run (it may have to kill processes).
RUNS_LOCKED = 20.0
#: An API server, or an istiod, of the run's own answers after its start.
CONTROL_PLANE_START = 60.0
#: An addon answers after its start (Zipkin is a JVM: about 6 s, more on a busy machine).
ADDON_START = 60.0
#: An addon of a cluster answers; it runs already.
ADDON_ANSWERS = 15.0
#: Our tagged traffic shows up in an addon (Prometheus scrapes every second, spans take 1 s).
TELEMETRY = 20.0

#: The same in an addon of a cluster: Istio's sample Prometheus scrapes every 15 s, Envoy sends
#: spans every 5 s, a graph is made from the data of Prometheus.
SCRAPED = 45.0
TRACED = 30.0
#: A sidecar has closed the connections that it serves as before a change (Istio's drainDuration is
#: 45 s; sidecars of a run have 1 s).
DRAINED = 60.0
GRAPHED = 60.0

#: A cluster's API server answers at the start, and again after an outage.
API_START = 5.0
API_AWAY = 60.0
#: istioctl has answered.
ISTIOCTL = 60.0
#: A provider has made or deleted a cluster (it pulls the node's image); then the cluster answers.
CLUSTER_START = 600.0
CLUSTER_ANSWERS = 60.0
#: An Istio is installed and ready (images are pulled); all its objects are deleted again.
ISTIO_INSTALL = 300.0
ISTIO_END = 90.0
#: One image is pulled or pushed (a JVM's is some 200 MB, over a slow line).
IMAGE_MOVED = 900.0
#: A TCP connection to an ingress address.
CONNECT = 2.0
#: Every Deployment of the run is available (images are pulled, sidecars start).
APPS_START = 180.0
#: Pods of a Deployment are refused: the cluster tries again, since the quota of a new namespace
#: is not counted at once.
REFUSED = 20.0
#: A namespace is deleted.
NAMESPACE_END = 90.0
#: The objects of dead runs are deleted before a run starts; after that it starts without it.
LEFTOVERS_END = 60.0
#: The evidence of a run in a cluster is saved; the rest is left out.
EVIDENCE = 30.0
#: The life of a run in a cluster, from its last change of rules; each change renews it. After
#: that, other machines take the run for dead.
RUN_LIFE = 7200.0

#: The pause between two looks at a state.
POLL = 0.01
#: The same for states that take seconds.
POLL_SLOW = 0.2
