# SPDX-License-Identifier: Apache-2.0
"""hulld's gRPC server with grpcio and with frames made by hand. The handlers are grpc-server's."""
import concurrent.futures
import os
import signal
import subprocess
import sys
import time

import grpc
import pytest

import harness
import http2

VERSION = "/runtime.v1.RuntimeService/Version"
STOP = "/runtime.v1.RuntimeService/StopContainer"
MIB = 1024 * 1024


@pytest.fixture
def server(grpc_server):
    return grpc_server()


@pytest.fixture
def client(server):
    c = harness.Client(server.api, server.socket)
    yield c
    c.close()


def version_works(server):
    c = harness.Client(server.api, server.socket)
    try:
        return c.runtime.Version(server.api.VersionRequest(version="x"), timeout=10).version == "x"
    except grpc.RpcError:
        return False
    finally:
        c.close()


def failure(call, *args, **kw):
    with pytest.raises(grpc.RpcError) as e:
        call(*args, **kw)
    return e.value.code(), e.value.details()


def wait_for(condition, timeout=60):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def wait_for_stop(server, name):
    """The handler of StopContainer has this call."""
    wait_for(lambda: f"StopContainer {name} begins" in server.log())


def test_version_is_answered(api, client):
    got = client.runtime.Version(api.VersionRequest(version="v1"))
    assert (got.version, got.runtime_name) == ("v1", "grpc-server")


def test_what_no_handler_serves_says_so(api, client):
    assert failure(client.runtime.Status, api.StatusRequest()) == (
        grpc.StatusCode.UNIMPLEMENTED, "Status is not implemented by this version of hull")
    code, text = failure(client.channel.unary_unary("/runtime.v1.RuntimeService/Nonsense"), b"")
    assert code == grpc.StatusCode.UNIMPLEMENTED and "Nonsense" in text


@pytest.mark.parametrize("raw, text", [
    (b"\x0a\xff", "field version: its length goes past the end"),
    (b"\x0a\x02\xff\xfe", "field version: is not valid UTF-8"),
    (b"\x0a\x02a\x00", "field version: contains a NUL byte"),
    (b"\x08\x01", "field version: has wire type 0"),
    (b"\x00", "tag is malformed"),
    (b"\xff" * 11, "tag is malformed"),
])
def test_a_malformed_message_is_refused_with_its_field(client, raw, text):
    code, details = failure(client.runtime.Version, raw)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert text in details


def test_messages_up_to_16_mib_pass_and_larger_ones_do_not(api, client):
    def images(n):
        spec = api.ImageSpec(image=str(n))
        return client.image.ListImages(api.ListImagesRequest(filter=api.ImageFilter(image=spec)))
    assert len(images(16 * MIB - 100).images[0].id) == 16 * MIB - 100
    code, text = failure(images, 16 * MIB)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "16777216" in text
    # A request of nearly 16 MiB is taken; its answer, twice as large, is not sent.
    code, text = failure(client.runtime.Version, api.VersionRequest(version="a" * (16 * MIB - 100)))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and text.startswith("answer VersionResponse")
    code, text = failure(client.runtime.Version, api.VersionRequest(version="a" * 17 * MIB))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "a message of" in text


def test_a_message_that_would_grow_beyond_the_budget_is_refused(api, client):
    # Eight million fields in 16 MiB, which the decoder would keep in a multiple of that.
    code, text = failure(client.runtime.Version, b"\x12\x00" * (8 * MIB - 10))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED and "64 MiB" in text
    assert client.runtime.Version(api.VersionRequest(version="v")).version == "v"


def test_memory_of_large_calls_goes_back(api, server, client):
    client.runtime.Version(api.VersionRequest(version="v"))
    if server.is_sanitized():
        pytest.skip("a sanitizer keeps freed memory")
    before = server.pss_kib()
    for _ in range(3):
        failure(client.runtime.Version, api.VersionRequest(version="a" * (16 * MIB - 100)))
    wait_for(lambda: server.pss_kib() < before + 1024)


def test_the_deadline_reaches_the_handler(api, server, client):
    start = time.monotonic()
    code, _ = failure(client.runtime.StopContainer, api.StopContainerRequest(container_id="d", timeout=300), timeout=1)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - start < 60
    wait_for(lambda: "StopContainer d:" in server.log())


def test_cancellation_reaches_the_handler(api, server, client):
    call = client.runtime.StopContainer.future(api.StopContainerRequest(container_id="c", timeout=300))
    wait_for_stop(server, "c")
    call.cancel()
    wait_for(lambda: "StopContainer c: the client gave up" in server.log())


def test_a_lost_connection_cancels_its_calls(api, server):
    raw = http2.Raw(server.socket)
    raw.headers(1, STOP)
    body = api.StopContainerRequest(container_id="l", timeout=300).SerializeToString()
    raw.send(http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(body)))
    wait_for_stop(server, "l")
    raw.close()
    wait_for(lambda: "StopContainer l: the client gave up" in server.log())


def test_a_stream_comes_in_order(api, client):
    events = [e.created_at for e in client.runtime.GetContainerEvents(api.GetEventsRequest())]
    assert events == list(range(1000))


def test_a_stream_that_nobody_reads_waits(api, server, client):
    before = server.pss_kib()
    stream = client.runtime.GetContainerEvents(api.GetEventsRequest())
    next(stream)
    time.sleep(0.5)
    # 10 MB would have been sent; what waits in the server is bounded.
    assert server.is_sanitized() or server.pss_kib() < before + 4 * 1024
    stream.cancel()
    wait_for(lambda: "GetContainerEvents: event" in server.log())


def test_long_calls_do_not_starve_short_ones(api, grpc_server):
    server = grpc_server(max_long=4)
    client = harness.Client(api, server.socket)
    calls = [client.runtime.StopContainer.future(api.StopContainerRequest(container_id=f"s{i}", timeout=300))
             for i in range(12)]
    wait_for(lambda: server.log().count(" begins") == 4)
    assert client.runtime.Version(api.VersionRequest(version="v")).version == "v"
    assert server.log().count(" begins") == 4 and not any(c.done() for c in calls)
    for c in calls:
        c.cancel()
    client.close()


def test_many_calls_at_once_are_all_answered(api, server, client):
    calls = [client.runtime.Version.future(api.VersionRequest(version=str(i))) for i in range(3000)]
    assert [c.result(timeout=60).version for c in calls] == [str(i) for i in range(3000)]


def test_many_connections_at_once(api, server):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda _: version_works(server), range(64)))


def test_sigterm_lets_running_calls_end(api, server, client):
    call = client.runtime.StopContainer.future(api.StopContainerRequest(container_id="t", timeout=1))
    wait_for_stop(server, "t")
    server.send(signal.SIGTERM)
    call.result(timeout=60)
    assert server.process.wait(60) == 0


def test_sigterm_cancels_calls_that_do_not_end(api, grpc_server):
    server = grpc_server(drain_ms=300)
    client = harness.Client(api, server.socket)
    call = client.runtime.StopContainer.future(api.StopContainerRequest(container_id="k", timeout=300))
    wait_for_stop(server, "k")
    start = time.monotonic()
    assert server.stop() == 0
    assert call.exception(timeout=60) is not None
    assert time.monotonic() - start < 60
    assert "StopContainer k: the client gave up" in server.log()
    client.close()


def test_idle_connections_do_not_hold_up_the_end(server):
    idle, silent = http2.Raw(server.socket), http2.Raw(server.socket, handshake=False)
    assert idle.until(http2.SETTINGS)
    start = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - start < 8  # of the 10 s that running calls have
    assert idle.until(http2.GOAWAY) and idle.is_closed() and silent.is_closed()


# --- what no well-behaved client does ---

@pytest.mark.parametrize("without, extra", [
    (["content-type"], []),
    ([], [("grpc-timeout", "1x")]),
    ([], [("grpc-timeout", "123456789S")]),
    (["te"], []),
    ([":method"], [(":method", "GET")]),
])
def test_a_bad_header_is_refused_before_the_body(server, without, extra):
    raw = http2.Raw(server.socket)
    pseudo = [h for h in extra if h[0].startswith(":")]
    fields = pseudo + [h for h in http2.GRPC_HEADERS if h[0] not in without and h[0].startswith(":")]
    fields += [(":path", VERSION)]
    fields += [h for h in http2.GRPC_HEADERS if h[0] not in without and not h[0].startswith(":")]
    fields += [h for h in extra if not h[0].startswith(":")]
    raw.send(http2.frame(http2.HEADERS, http2.END_HEADERS, 1, http2.hpack(fields)))
    kind, flags, stream, payload = raw.until(http2.HEADERS)
    # Trailers only, and then the request to stop sending.
    assert stream == 1 and flags & http2.END_STREAM
    kind, _, stream, payload = raw.until(http2.RST_STREAM)
    assert (stream, payload) == (1, b"\0\0\0\0")
    raw.close()
    assert version_works(server)


def test_a_compressed_message_is_unimplemented(server, api):
    raw = http2.Raw(server.socket)
    raw.headers(1, VERSION)
    raw.send(http2.frame(http2.DATA, http2.END_STREAM, 1, b"\1\0\0\0\1x"))
    _, flags, _, payload = raw.until(http2.HEADERS)
    assert flags & http2.END_STREAM
    raw.close()
    assert version_works(server)


def test_frames_of_nonsense_close_only_their_connection(server):
    for junk in (os.urandom(16 * MIB), http2.PREFACE + os.urandom(MIB), b"GET / HTTP/1.1\r\n\r\n", b"\0" * MIB):
        raw = http2.Raw(server.socket, handshake=False)
        try:
            raw.send(junk)
        except OSError:
            pass
        assert raw.is_closed()
        raw.close()
    assert version_works(server)


def test_a_half_open_connection_is_closed(grpc_server):
    server = grpc_server(handshake_ms=300)
    silent, half = http2.Raw(server.socket, handshake=False), http2.Raw(server.socket, handshake=False)
    half.send(http2.PREFACE[:10])
    assert silent.is_closed() and half.is_closed()
    assert version_works(server)


def test_a_request_that_does_not_arrive_is_given_up(grpc_server):
    server = grpc_server(request_ms=300)
    raw = http2.Raw(server.socket)
    raw.headers(1, VERSION)
    raw.send(http2.frame(http2.DATA, 0, 1, b"\0\0\0\1\0"))
    assert raw.until(http2.HEADERS)[2] == 1
    assert raw.until(http2.RST_STREAM)[2] == 1
    # Inside a header block nothing else can be said: the connection ends.
    stuck = http2.Raw(server.socket)
    stuck.headers(1, VERSION, flags=0)
    assert stuck.is_closed()
    assert version_works(server)


def test_a_header_list_that_is_too_large_is_refused(server):
    raw = http2.Raw(server.socket)
    raw.headers(1, VERSION, extra=[(f"x-{i}", "y" * 100) for i in range(60)] + [("z", "z" * 9000)])
    assert raw.until(http2.HEADERS, http2.GOAWAY)[0] == http2.HEADERS
    raw.close()
    assert version_works(server)


def test_more_connections_than_allowed_are_closed(grpc_server):
    server = grpc_server(max_connections=4)

    def hold():
        """Four of them: not while the connection is there by which the fixture saw that it serves."""
        held = [http2.Raw(server.socket) for _ in range(4)]
        if all([h.until(http2.SETTINGS) for h in held]):
            return held
        for h in held:
            h.close()
        return None

    end = time.monotonic() + 60
    while not (held := hold()):
        assert time.monotonic() < end
    extra = http2.Raw(server.socket, handshake=False)
    assert extra.is_closed()
    for h in held:
        h.close()
    wait_for(lambda: version_works(server))


def test_a_client_that_takes_no_bytes_is_cut_off(api, grpc_server):
    server = grpc_server(stall_ms=500)
    raw = http2.Raw(server.socket)
    window = (2**31 - 1 - 65535).to_bytes(4, "big")
    raw.send(http2.frame(http2.SETTINGS, 0, 0, b"\0\4\x7f\xff\xff\xff") + http2.frame(http2.WINDOW_UPDATE, 0, 0, window))
    raw.headers(1, "/runtime.v1.RuntimeService/GetContainerEvents")
    raw.send(http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(b"")))
    wait_for(lambda: "the client takes no bytes" in server.log())
    assert version_works(server)
    raw.close()


def test_pings_are_answered(server):
    raw = http2.Raw(server.socket)
    raw.send(http2.frame(http2.PING, 0, 0, b"12345678"))
    kind, flags, _, payload = raw.until(http2.PING)
    assert flags & http2.ACK and payload == b"12345678"
    raw.close()


def test_streams_reset_at_once_do_no_harm(server):
    # CVE-2023-44487: many streams, each reset right after it was opened.
    raw = http2.Raw(server.socket)
    try:
        for i in range(20000):
            raw.headers(2 * i + 1, VERSION)
            raw.send(http2.frame(http2.RST_STREAM, 0, 2 * i + 1, b"\0\0\0\x08"))
    except OSError:
        pass
    assert version_works(server)
    raw.close()


def test_a_client_that_is_killed_leaves_nothing(api, server):
    script = ("import sys, grpc; sys.path[:0] = sys.argv[2:]\n"
              "import api_pb2 as a, harness\n"
              "c = harness.Client(a, sys.argv[1])\n"
              "f = c.runtime.StopContainer.future(a.StopContainerRequest(container_id='p', timeout=300))\n"
              "print('sent', flush=True); f.result()\n")
    where = [os.path.dirname(api.__file__), os.path.dirname(harness.__file__)]
    p = subprocess.Popen([sys.executable, "-c", script, server.socket, *where], stdout=subprocess.PIPE)
    p.stdout.readline()
    wait_for_stop(server, "p")
    p.kill()
    p.wait()
    wait_for(lambda: "StopContainer p: the client gave up" in server.log())
