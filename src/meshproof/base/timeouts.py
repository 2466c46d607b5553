"""Every deadline in one table, in seconds. Waiting ends as soon as the state is there."""

from __future__ import annotations

#: An Envoy answers on its admin address after its start.
ENVOY_START = 20.0
#: An app says which port it listens on, then answers its readiness probe.
APP_START = 20.0
#: Every Envoy has acknowledged a new config version.
CONFIG_SERVED = 15.0
#: One request from the client, connecting included.
REQUEST = 10.0
#: One request to an admin address or an addon's API.
ADMIN = 5.0
#: Every Envoy has written what it has of its access log (it does so each 0.2 s).
ACCESS_LOGS = 1.0
#: A workload has got the copy of a request that a mirror makes, and written so.
COPIES = 5.0
#: A process ends by itself after SIGTERM; after that it is killed.
PROCESS_END = 2.0
#: A process that has hung up on us is gone, if it is its end that it did so for.
PROCESS_DIES = 0.5
#: Another meshproof has made or cleared its run (it may have to kill processes that it finds).
RUNS_LOCKED = 20.0
#: An addon answers after its start (Zipkin is a JVM: about 6 s, more on a busy machine).
ADDON_START = 60.0
#: An addon of a cluster, which runs already, answers.
ADDON_ANSWERS = 15.0
#: Our tagged traffic shows up in an addon (Prometheus scrapes each second, spans are sent in 1 s).
TELEMETRY = 20.0

#: The same in an addon of a cluster: Istio's sample Prometheus scrapes every 15 s, Envoy sends
#: spans every 5 s, a graph is made of what Prometheus has.
SCRAPED = 45.0
TRACED = 30.0
SPANS_SENT = 8.0
GRAPHED = 60.0

#: A cluster's API server answers at first, and again after it was away.
API_START = 5.0
API_AWAY = 60.0
#: istioctl has answered.
ISTIOCTL = 60.0
#: A provider has made or deleted a cluster (it pulls the node's image); the cluster answers then.
CLUSTER_START = 600.0
CLUSTER_ANSWERS = 60.0
#: An Istio is installed and ready (images are pulled); what it consists of is gone again.
ISTIO_INSTALL = 300.0
ISTIO_END = 90.0
#: One image is pulled or pushed (a JVM's is some 200 MB, over a slow line).
IMAGE_MOVED = 900.0
#: A TCP connection to a way in.
CONNECT = 2.0
#: Every Deployment of the run is available (images are pulled, sidecars start).
APPS_START = 180.0
#: Pods of a Deployment are refused: the cluster tries again, the quota of a namespace that is new
#: is not counted yet.
REFUSED = 20.0
#: A deleted namespace is gone.
NAMESPACE_END = 90.0
#: What dead runs have left is gone, before a run begins: it does so without that, too.
LEFTOVERS_END = 60.0
#: The evidence of a run in a cluster is saved: what takes longer is left out.
EVIDENCE = 30.0
#: A run in a cluster lasts at most so long from its last change of rules, at which it says so
#: anew: from then on other machines take it for dead.
RUN_LIFE = 7200.0

#: Pause between two looks at a state that is waited for.
POLL = 0.01
#: The same for states that take seconds to come.
POLL_SLOW = 0.2
