#!/bin/sh
# A stand-in for kind, minikube, k3d and kubectl, as whichever it is called by name: the words that
# pytest-kubernetes gives them, from their reference pages. A cluster is a file in $FAKE_CLUSTERS; its
# kubeconfig is a copy of $FAKE_KUBECONFIG. $FAKE_FAILS has the verb that fails (after it has begun),
# $FAKE_HANGS the one that takes a minute.
tool=$(basename "$0")
echo "$tool $*" >>"$FAKE_LOG"

after() { # the word after an option
    wanted=$1; shift
    while [ $# -gt 0 ]; do
        [ "$1" = "$wanted" ] && { echo "$2"; return; }
        shift
    done
}

made() { # NAME KUBECONFIG
    [ -n "$1" ] || { echo "ERROR: no name" >&2; exit 1; }
    touch "$FAKE_CLUSTERS/$tool-$1"
    [ "$FAKE_HANGS" = create ] && sleep 60
    [ "$FAKE_FAILS" = create ] && { echo "ERROR: failed to pull the node's image" >&2; exit 1; }
    [ -z "$2" ] || cat "$FAKE_KUBECONFIG" >"$2"
}

gone() {
    [ "$FAKE_FAILS" = delete ] && { echo "ERROR: cannot delete" >&2; exit 1; }
    rm -f "$FAKE_CLUSTERS/$tool-$1"
}

case "$tool $1 $2" in
"kind create cluster")
    name=$(after --name "$@"); config=$(after --config "$@")
    [ -z "$config" ] || name=$(sed -n 's/^name: //p' "$config")
    made "${name:-kind}" "$(after --kubeconfig "$@")" ;;
"kind delete cluster") gone "$(after --name "$@")" ;;
"k3d --version "*) echo "k3d version v5.8.3" ;;
"k3d cluster create") made "$3" "" ;;
"k3d kubeconfig get") cat "$FAKE_KUBECONFIG" ;;
"k3d cluster delete") gone "$3" ;;
"minikube start -p") made "$3" "$KUBECONFIG" ;;
"minikube delete -p") gone "$3" ;;
"minikube config "*) ;;
"kubectl --kubeconfig "*)
    [ -s "$2" ] || { echo "connection refused" >&2; exit 1; }
    [ "$FAKE_FAILS" = ready ] && { echo "connection refused" >&2; exit 1; }
    echo "readyz check passed" ;;
*) echo "$tool: unknown command: $*" >&2; exit 1 ;;
esac
