# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests. HULL_BUILD names the build folder (default: build).

    def test_x(hulld):                 a private hulld that serves
        client = hulld.client()
        client.runtime.Version(hulld.api.VersionRequest())
        assert hulld.leaks() == {}

    def test_y(make_hulld):            with a configuration, or several side by side
        a = make_hulld({"sandbox_image": "..."})

After each test hulld must end on SIGTERM with status 0 and without a word from a sanitizer; when a test
fails, the log is shown.
"""
import os
import pathlib

import pytest

pytest.register_assert_rewrite("bundles", "crikit", "harness", "mountkit")

import crikit  # pylint: disable=wrong-import-position
import harness  # pylint: disable=wrong-import-position
from images import images  # pylint: disable=unused-import,wrong-import-position


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    setattr(item, "failed_" + report.when, report.failed)


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    return harness.load_api(tmp_path_factory.mktemp("api"))


@pytest.fixture
def make_hulld(api, request):
    if os.geteuid() != 0:
        pytest.skip("hulld's own tests need root")
    made = []

    def make(config=None, args=(), start=True):
        h = harness.Hulld(api, config, args)
        made.append(h)
        return h.start() if start else h

    try:
        yield make
        for h in made:
            if h.process and h.process.poll() is None:
                status = h.stop()
                assert status == 0, f"hulld ended with status {status}:\n{h.log()[-4000:]}"
            assert h.sanitizer_report() == [], h.log()[-20000:]
    finally:
        failed = getattr(request.node, "failed_call", True)
        for h in made:
            if failed:
                print(f"--- log of {h.tag} ---\n{h.log()[-20000:]}")
            h.destroy()


@pytest.fixture
def hulld(make_hulld):
    return make_hulld()


@pytest.fixture
def client(hulld):
    return hulld.client()


@pytest.fixture
def make_cri(make_hulld, images):  # pylint: disable=redefined-outer-name
    """Pods and containers in few words (crikit.py). When the test has passed, all pods are removed, and nothing
    of them may be left."""
    made = []

    def make(config=None, args=()):
        c = crikit.Cri(make_hulld(config, args), images)
        made.append(c)
        return c

    yield make
    for c in made:
        c.check_clean()


@pytest.fixture
def cri(make_cri):
    return make_cri()


@pytest.fixture
def grpc_server(api, tmp_path, request):
    """tests/helper/grpc-server: hulld's server with handlers made for tests. Call it with limits."""
    made = []

    def make(**limits):
        env = {k.upper(): str(v) for k, v in limits.items()}
        socket = pathlib.Path("/tmp") / f"hull-grpc-{os.getpid()}-{len(made)}.sock"
        p = harness.Process([harness.BUILD / "tests/helper/grpc-server", socket], socket,
                            tmp_path / f"server{len(made)}.log", env)
        p.api = api
        made.append(p)
        return p.start()

    try:
        yield make
        for p in made:
            if p.process.poll() is None:
                assert p.stop() == 0, p.log()[-4000:]
            assert p.sanitizer_report() == [], p.log()[-20000:]
    finally:
        for p in made:
            if getattr(request.node, "failed_call", True):
                print(f"--- log ---\n{p.log()[-20000:]}")
            p.kill()
            p.socket.unlink(missing_ok=True)
