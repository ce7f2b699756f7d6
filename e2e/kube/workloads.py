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


def annotated(thing, annotations):
    """The same with annotations, and a label that says which it is."""
    metadata = {**thing["metadata"], "annotations": annotations, "labels": {"app": thing["metadata"]["name"]}}
    return {**thing, "metadata": metadata}


def json_lines(name, count):
    return pod(name, f'i=0; while [ "$i" -lt {count} ]; do echo "{{\\"number\\": $i}}"; i=$((i+1)); done; exec sleep 1000000')


def writer(name, count):
    """Writes its lines into a file in a volume, which it rotates itself, and ends while they are still warm."""
    script = (
        f'i=0; while [ "$i" -lt {count} ]; do echo "$i: line" >> /files/app.log; i=$((i+1)); '
        '[ "$i" = 150 ] && mv /files/app.log /files/app.log.1; sleep 0.01; done; exec sleep 1000000'
    )
    return pod(name, script, volumes=["files"])


def crasher(name):
    return pod(name, "exit 1", "Always")


def cron_job(name, count):
    """A counter that runs every minute, for a job that ends."""
    template = pod(name, f'i=0; while [ "$i" -lt {count} ]; do echo "$i: at night"; i=$((i+1)); done')
    return {
        "apiVersion": "batch/v1beta1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "schedule": "* * * * *",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"template": {"spec": template["spec"]}}},
        },
    }


def unpullable(name):
    """An image that is nowhere, and that nobody is to look for outside."""
    thing = pod(name, "exit 0")
    thing["spec"]["containers"][0]["image"] = "localhost/nowhere:1"
    return thing


def numbers(lines):
    """The number that each line begins with."""
    return [int(line.partition(":")[0]) for line in lines]
