"""Pods that print lines whose number and order are known."""

IMAGE = "localhost/busybox:1"


def pod(name, script, restart="Never", volumes=()):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "restartPolicy": restart,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "count",
                    "image": IMAGE,
                    "imagePullPolicy": "Never",
                    "args": ["/bin/sh", "-c", script],
                    "volumeMounts": [{"name": each, "mountPath": f"/{each}"} for each in volumes],
                }
            ],
            "volumes": [{"name": each, "emptyDir": {}} for each in volumes],
        },
    }


def counter(name, count, pause="0.02"):
    """The pod of Kubernetes' documentation, faster, and with an end."""
    script = (
        f'i=0; while [ "$i" -lt {count} ]; do echo "$i: $(date)"; i=$((i+1)); sleep {pause}; done; exec sleep 1000000'
    )
    return pod(name, script)


def restarter(name, runs, count):
    """A container that fails and is started again, and goes on counting runs."""
    script = (
        "run=$(cat /state/run 2>/dev/null || echo 0); echo $((run+1)) > /state/run; "
        f'i=0; while [ "$i" -lt {count} ]; do echo "$i: run $run"; i=$((i+1)); done; '
        f'[ "$run" -lt {runs - 1} ] && exit 1; exec sleep 1000000'
    )
    return pod(name, script, "OnFailure", ["state"])


def deployment(name, count):
    """A counter that belongs to a deployment, with the labels that are usual."""
    made = counter(name, count)
    labels = {"app": name, "app.kubernetes.io/name": "storefront"}
    spec = {**made["spec"], "restartPolicy": "Always"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def numbers(lines):
    """The number that each line begins with."""
    return [int(line.partition(":")[0]) for line in lines]
