"""Whether the image is packed as container runtimes expect it, and twice the same."""

import hashlib
import io
import json
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest

import helm
import yaml

PACK = helm.ROOT / "tools/image"


def program(machine=62, kinds=(1, 1)):
    """The smallest ELF file that looks like a static program."""
    header = struct.pack("<6s10xHHIQQQIHHHHHH", b"\x7fELF\x02\x01", 2, machine, 1, 0, 64, 0, 0, 64, 56, len(kinds), 0, 0, 0)
    return header + b"".join(struct.pack("<I52x", kind) for kind in kinds)


def pack(binary, *options):
    with tempfile.TemporaryDirectory() as folder:
        path, out = pathlib.Path(folder, "sawyer"), pathlib.Path(folder, "image.tar")
        certificates = pathlib.Path(folder, "ca.pem")
        path.write_bytes(binary)
        certificates.write_text("certificates\n")
        command = [sys.executable, str(PACK), "--binary", path, "--output", out, "--certificates", certificates, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done, out.read_bytes() if out.exists() else b""


def members(content):
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {each.name: (each, tar.extractfile(each).read() if each.isfile() else None) for each in tar}


class Image(unittest.TestCase):
    def test_the_same_twice(self):
        self.assertEqual(pack(program())[1], pack(program())[1])
        self.assertNotEqual(pack(program())[1], pack(program(kinds=(1, 2)))[1])

    def test_layers_and_settings_are_named_by_what_they_hold(self):
        parts = members(pack(program(), "--name", "example.com/sawyer:1")[1])
        (manifest,) = json.loads(parts["manifest.json"][1])
        self.assertEqual(manifest["RepoTags"], ["example.com/sawyer:1"])
        settings = parts[manifest["Config"]][1]
        self.assertEqual(manifest["Config"], hashlib.sha256(settings).hexdigest() + ".json")
        sums = ["sha256:" + hashlib.sha256(parts[name][1]).hexdigest() for name in manifest["Layers"]]
        self.assertEqual(json.loads(settings)["rootfs"]["diff_ids"], sums)
        self.assertEqual(json.loads(settings)["config"]["User"], "10001:10001")

    def test_what_is_in_it(self):
        parts = members(pack(program())[1])
        (manifest,) = json.loads(parts["manifest.json"][1])
        files = {}
        for name in manifest["Layers"]:
            files |= members(parts[name][1])
        self.assertEqual(files["usr/bin/sawyer"][1], program())
        self.assertEqual(files["usr/bin/sawyer"][0].mode, 0o755)
        self.assertEqual(files["etc/ssl/certs/ca-certificates.crt"][1], b"certificates\n")
        self.assertEqual((files["var/lib/sawyer"][0].uid, files["tmp"][0].mode), (10001, 0o1777))
        for info, _ in files.values():
            self.assertEqual(info.mtime, 0)

    def test_programs_of_both_processors_are_told_apart(self):
        for machine, name in [(62, "amd64"), (183, "arm64")]:
            parts = members(pack(program(machine))[1])
            (manifest,) = json.loads(parts["manifest.json"][1])
            self.assertEqual(json.loads(parts[manifest["Config"]][1])["architecture"], name)

    def test_what_would_not_run_is_refused(self):
        for binary, why in [
            (b"#!/bin/sh\n", "no 64-bit little-endian ELF program"),
            (program(machine=8), "processor is not known"),
            (program(kinds=(3, 1)), "it is not static"),
        ]:
            done, content = pack(binary)
            self.assertEqual((done.returncode, content), (1, b""))
            self.assertIn(why, done.stderr)

    def test_the_dockerfile_and_the_chart_agree_with_it(self):
        dockerfile = (helm.ROOT / "Dockerfile").read_text()
        parts = members(pack(program())[1])
        (manifest,) = json.loads(parts["manifest.json"][1])
        settings = json.loads(parts[manifest["Config"]][1])["config"]
        for name, value in [("USER", settings["User"]), ("WORKDIR", settings["WorkingDir"])]:
            self.assertIn(f"\n{name} {value}\n", dockerfile)
        for name in ["Entrypoint", "Cmd"]:
            self.assertIn(f"\n{name.upper()} {json.dumps(settings[name])}\n", dockerfile)
        chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())
        self.assertEqual(manifest["RepoTags"], [f"localhost/sawyer:{chart['appVersion']}"])
        rust = re.search(r'rust-version = "(.*?)"', (helm.ROOT / "Cargo.toml").read_text())[1]
        self.assertIn(f"FROM rust:{rust}-", dockerfile)
