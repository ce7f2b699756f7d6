"""Which values are refused, and with what words."""

import unittest

import helm
import helm_python

TARGETS = {
    "elasticsearch": {"endpoint": "https://elastic:9200"},
    "loki": {"endpoint": "http://loki:3100"},
    "kafka": {"brokers": ["kafka:9092"]},
}


def refusal(values):
    try:
        helm.files(values)
    except helm_python.HelmError as error:
        return str(error)
    return None


def nested(path, value):
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


class Refuses(unittest.TestCase):
    def check(self, values, *words):
        said = refusal(values)
        self.assertIsNotNone(said, f"{values} was taken")
        for word in words:
            self.assertIn(word, said)

    def test_a_misspelt_name_in_every_section(self):
        sections = []

        def walk(values, path):
            sections.append(path)
            for name, value in values.items():
                # Maps of somebody's own names, and of Kubernetes' or Sawyer's own settings.
                free = name in FREE or (path.endswith("Selector") and path)
                if isinstance(value, dict) and not free:
                    walk(value, f"{path}.{name}" if path else name)

        walk(helm.chart().values, "")
        self.assertGreater(len(sections), 40)
        for section in sections:
            path = f"{section}.mispelt" if section else "mispelt"
            self.check(nested(path, "x"), "additional properties 'mispelt' not allowed")

    def test_values_of_the_wrong_kind(self):
        for path, value in [
            ("preset", "elastic"),
            ("agent.enabled", "yes"),
            ("server.enabled", "maybe"),
            ("server.retention", "two weeks"),
            ("server.persistence.size", "50 gigs"),
            ("agent.resources.limits.memory", "512 megs"),
            ("agent.exclude", "kube-system"),
            ("agent.dataHostPath", "var/lib/sawyer"),
            ("agent.steps", [{"drop": {}, "keep": {}}]),
            ("elasticsearch.endpoint", "elastic:9200"),
            ("elasticsearch.auth.type", "password"),
            ("cloudwatch.region", "Seoul"),
            ("cloudwatch.retentionDays", 8),
            ("kafka.brokers", ["kafka"]),
            ("image.digest", "sha256:12"),
            ("image.pullPolicy", "Sometimes"),
            ("server.service.port", 0),
            ("gateway.service.externalTrafficPolicy", "local"),
            ("gateway.replicas", 0),
            ("token.existingSecret", "My Secret"),
        ]:
            with self.subTest(path=path, value=value):
                self.check(nested(path, value), "/" + path.replace(".", "/"))

    def test_a_preset_without_its_address(self):
        self.check({"preset": "elasticsearch"}, "elasticsearch.endpoint: needed for preset=elasticsearch")
        self.check({"preset": "opensearch"}, "elasticsearch.endpoint: needed for preset=opensearch")
        self.check({"preset": "loki"}, "loki.endpoint: needed for preset=loki")
        self.check({"preset": "kafka"}, "kafka.brokers: needed for preset=kafka")
        self.check({"preset": "custom"}, "agent.config.outputs: needed for preset=custom")

    def test_a_password_without_its_secret(self):
        for preset in ["elasticsearch", "loki"]:
            target = {**TARGETS[preset], "auth": {"type": "basic", "user": "me"}}
            self.check({"preset": preset, preset: target}, f"{preset}.auth.existingSecret: the name of a Secret")
            target = {**TARGETS[preset], "auth": {"type": "basic", "existingSecret": "s"}}
            self.check({"preset": preset, preset: target}, f"{preset}.auth.user: needed")
        target = {**TARGETS["kafka"], "sasl": {"mechanism": "plain", "user": "me"}}
        self.check({"preset": "kafka", "kafka": target}, "kafka.sasl.existingSecret: the name of a Secret")

    def test_an_ingress_without_hosts(self):
        self.check({"server": {"ingress": {"enabled": True}}}, "server.ingress.hosts: at least one is needed")

    def test_ports_of_receivers(self):
        for value in ["5514/sctp", "0/udp", "5514/udp+tcp", "udp", 0, 65536, [5514]]:
            self.check({"server": {"receivers": {"syslog": value}}}, "/server/receivers/syslog")
        long = {"server": {"receivers": {"syslog-of-firms": "5514/tcp+udp"}}}
        self.check(long, "`syslog-of-firms-udp` would have a name of more than 15 letters")

    def test_no_good_values(self):
        for name, values in helm.cases().items():
            with self.subTest(case=name):
                self.assertIsNone(refusal(values))


# Sections whose names are not the chart's.
FREE = {
    "annotations", "labels", "config", "buffer", "affinity", "nodeSelector", "podAnnotations", "podLabels",
    "receivers", "requests", "limits",
}
