# SPDX-License-Identifier: Apache-2.0
"""Images made by hand, a registry that can misbehave, and src/image behind tests/helper/imagetool."""
import base64
import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import pathlib
import socket
import ssl
import subprocess
import tarfile
import threading
import time
import urllib.parse

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("HULL_BUILD", CHECKOUT / "build"))

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Entry:
    """One tar entry; what tarfile.TarInfo takes, and its content."""

    def __init__(self, name, content=b"", **fields):
        self.info = tarfile.TarInfo(name)
        self.info.size = len(content)
        self.info.mode = 0o644
        for key, value in fields.items():
            setattr(self.info, key, value)
        self.content = content


def file(name, content=b"x", **fields):
    return Entry(name, content, **fields)


def directory(name, mode=0o755, **fields):
    return Entry(name, type=tarfile.DIRTYPE, mode=mode, **fields)


def symlink(name, target, **fields):
    return Entry(name, type=tarfile.SYMTYPE, linkname=target, **fields)


def hardlink(name, target, **fields):
    return Entry(name, type=tarfile.LNKTYPE, linkname=target, **fields)


def tar(*entries, format=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as t:
        for entry in entries:
            t.addfile(entry.info, io.BytesIO(entry.content))
    return out.getvalue()


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


class Image:
    """layers: tar bytes. The blobs are in self.blobs by digest; self.manifest is the text."""

    def __init__(self, *layers, compress="gzip", arch=ARCH, os_name="linux", config=None, docker=False, diff_ids=None):
        self.blobs = {}
        described = []
        for layer in layers:
            media = OCI_LAYER
            blob = layer
            if compress == "gzip":
                blob, media = gzip.compress(layer, mtime=0), media + "+gzip"
            elif compress == "zstd":
                blob, media = zstd(layer), media + "+zstd"
            if docker:
                media = "application/vnd.docker.image.rootfs.diff.tar.gzip"
            described.append(self.add(blob, media))
        document = {
            "os": os_name,
            "architecture": arch,
            "config": config or {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest_of(x) for x in layers]},
        }
        self.config = json.dumps(document).encode()
        config_media = "application/vnd.docker.container.image.v1+json" if docker else OCI_CONFIG
        self.media = DOCKER_MANIFEST if docker else OCI_MANIFEST
        self.document = {
            "schemaVersion": 2,
            "mediaType": self.media,
            "config": self.add(self.config, config_media),
            "layers": described,
        }
        self.id = digest_of(self.config)

    def add(self, blob, media):
        self.blobs[digest_of(blob)] = blob
        return {"mediaType": media, "digest": digest_of(blob), "size": len(blob)}

    @property
    def manifest(self):
        return json.dumps(self.document).encode()


class Registry:
    """A registry on loopback. Faults are attributes that a test sets."""

    def __init__(self, auth=None, certificate=None):
        self.manifests, self.blobs, self.log = {}, {}, []
        self.auth = auth  # None, "basic", "bearer"
        self.user, self.password = "user", "secret-word"
        self.cut_after = None  # close blob answers after so many bytes ...
        self.cuts_left = 0  # ... so many times
        self.has_ranges = True
        self.redirect_to = None  # base URL for blobs
        self.tokens = set()
        self.fail_first = 0  # answer 503 to so many requests
        self.hold = None  # an Event: blobs above 100 kB stop in the middle until it is set
        handler = type("Handler", (_Handler,), {"registry": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server.server_port}"
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def push(self, name, image, tag="latest"):
        self.blobs.update(image.blobs)
        self.put_manifest(name, tag, image.manifest, image.media)
        return f"{self.host}/{name}:{tag}"

    def put_manifest(self, name, tag, text, media):
        for reference in (tag, digest_of(text)):
            self.manifests[name, reference] = (text, media)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry = None

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    def is_let_in(self):
        r, given = self.registry, self.headers.get("Authorization", "")
        if not r.auth:
            return True
        if r.auth == "basic":
            want = "Basic " + base64.b64encode(f"{r.user}:{r.password}".encode()).decode()
            if given == want:
                return True
            self.answer(401, WWW_Authenticate='Basic realm="test"')
            return False
        if given.startswith("Bearer ") and given[7:] in r.tokens:
            return True
        self.answer(401, WWW_Authenticate=f'Bearer realm="{r.url}/token",service="test",scope="repository:any:pull"')
        return False

    def give_token(self):
        r = self.registry
        want = "Basic " + base64.b64encode(f"{r.user}:{r.password}".encode()).decode()
        if self.headers.get("Authorization") != want:
            self.answer(401)
            return
        token = f"token-{len(r.tokens)}"
        r.tokens.add(token)
        self.answer(200, json.dumps({"token": token}).encode(), Content_Type="application/json")

    def do_GET(self):
        r = self.registry
        r.log.append((self.path, dict(self.headers)))
        path = urllib.parse.urlparse(self.path).path
        if path == "/token":
            self.give_token()
            return
        if r.fail_first > 0:
            r.fail_first -= 1
            self.answer(503)
            return
        if not self.is_let_in():
            return
        parts = path.split("/")
        name, kind, reference = "/".join(parts[2:-2]), parts[-2], parts[-1]
        if kind == "manifests" and (name, reference) in r.manifests:
            text, media = r.manifests[name, reference]
            self.answer(200, text, Content_Type=media)
        elif kind == "blobs" and r.redirect_to:
            self.answer(307, Location=r.redirect_to + self.path)
        elif kind == "blobs" and reference in r.blobs:
            self.give_blob(r.blobs[reference])
        else:
            code = "MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN"
            self.answer(404, json.dumps({"errors": [{"code": code, "message": "not here"}]}).encode())

    do_HEAD = do_GET

    def give_blob(self, blob):
        r, start = self.registry, 0
        given = self.headers.get("Range")
        if given and r.has_ranges:
            start = int(given.removeprefix("bytes=").split("-")[0])
        body = blob[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(blob) - 1}/{len(blob)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(OSError):
            if r.cut_after is not None and r.cuts_left > 0 and len(body) > r.cut_after:
                r.cuts_left -= 1
                self.wfile.write(body[: r.cut_after])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            elif r.hold and len(body) > 100000:
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                r.hold.wait(60)
                self.wfile.write(body[len(body) // 2 :])
            else:
                self.wfile.write(body)


class Failed(Exception):
    """What imagetool said: kind and message."""

    def __init__(self, text):
        lines = [x for x in text.strip().splitlines() if x]
        last = lines[-1] if lines else "?: nothing was said"
        self.kind, _, self.message = last.partition(": ")
        self.log = text
        super().__init__(text)


class Node:
    """A root directory with images."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.options = []

    def command(self, *args):
        tool, worker = BUILD / "tests/helper/imagetool", BUILD / "src/image/hull-unpack"
        return [str(tool), str(self.root), str(worker), *self.options, *args]

    def run(self, *args, **kwargs):
        done = subprocess.run(self.command(*args), capture_output=True, text=True, timeout=120, check=False, **kwargs)
        self.stderr = done.stderr
        if done.returncode != 0:
            raise Failed(done.stderr)
        return [json.loads(x) if x.startswith("{") else x for x in done.stdout.splitlines()]

    def pull(self, *refs):
        out = self.run("pull", *refs)
        return out[0] if len(refs) == 1 else out

    def list(self):
        return self.run("list")

    def leftovers(self):
        """What there is besides the database: layers, blobs, temporary things."""
        found = []
        for name in ("layers", "blobs/sha256", "tmp"):
            path = self.root / name
            found += [f"{name}/{x}" for x in os.listdir(path)] if path.exists() else []
        return sorted(found)


def certificate(path, host="127.0.0.1"):
    """A self-signed one with its key, in one PEM file."""
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=test", "-addext", f"subjectAltName=IP:{host}", "-keyout", "-", "-out", "-"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    pathlib.Path(path).write_bytes(made.stdout)
    return path


@contextlib.contextmanager
def docker_registry(directory):
    """The real one, from Debian."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    config = pathlib.Path(directory) / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage:\n  filesystem: {{rootdirectory: {directory}/data}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def oci_layout(path, *images, names=()):
    """Write images as an OCI layout directory."""
    blobs = pathlib.Path(path) / "blobs/sha256"
    blobs.mkdir(parents=True)
    index = []
    for i, image in enumerate(images):
        for digest, blob in {**image.blobs, digest_of(image.manifest): image.manifest}.items():
            (blobs / digest[7:]).write_bytes(blob)
        entry = {"mediaType": image.media, "digest": digest_of(image.manifest), "size": len(image.manifest)}
        if i < len(names):
            entry["annotations"] = {"org.opencontainers.image.ref.name": names[i]}
        index.append(entry)
    (pathlib.Path(path) / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (pathlib.Path(path) / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": index}))
