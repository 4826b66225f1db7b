"""gRPC without generated code: `calls.py serve ADDRESS`, which logs each call as it ends, or
`calls.py call ADDRESS [KIND...]`, which makes those calls, or all, and says what it saw."""

import collections
import os
import signal
import sys
import threading
from concurrent import futures

import grpc


def log(method, outcome):
    # One write a line: threads do not mix inside of it.
    os.write(1, f"POST {method} {outcome}\n".encode())


def end(request, context):
    """Ends as the request says: a code's number."""
    log("/test.Calls/End", f"grpc:{int(request)}")
    code = next(code for code in grpc.StatusCode if code.value[0] == int(request))
    if code is not grpc.StatusCode.OK:
        context.abort(code, "as you say")
    return b"ok"


def stream(request, context):
    """As many messages as the request says; `forever` waits until the client leaves."""
    if request == b"forever":
        left = threading.Event()
        context.add_callback(left.set)
        # A client that has left may end this anywhere.
        try:
            yield b"first"
            left.wait(30)
        finally:
            log("/test.Calls/Stream", "outcome:client_gave_up")
        return
    for _ in range(int(request)):
        yield b"message"
    log("/test.Calls/Stream", "grpc:0")


def collect(requests, context):
    log("/test.Calls/Collect", "grpc:0")
    return str(sum(1 for _ in requests)).encode()


def echo(requests, context):
    yield from requests
    log("/test.Calls/Echo", "grpc:0")


class Missing(grpc.GenericRpcHandler):
    """Logs what nobody else takes; gRPC answers it."""

    def service(self, details):
        log(details.method, "grpc:12")


def serve(address):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    handlers = {
        "End": grpc.unary_unary_rpc_method_handler(end),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Calls", handlers), Missing()))
    server.add_insecure_port(address)
    server.start()
    # Python ends once every call has, and so has logged.
    signal.signal(signal.SIGTERM, lambda *_: server.stop(None))
    server.wait_for_termination()


def unary(channel, seen):
    ending = channel.unary_unary("/test.Calls/End")
    for code in list(range(17)) * 10 + [0] * 100:
        try:
            ending(str(code).encode(), timeout=60)
            seen[0] += 1
        except grpc.RpcError as error:
            seen[error.code().value[0]] += 1
    try:
        channel.unary_unary("/test.Calls/Missing")(b"", timeout=60)
    except grpc.RpcError as error:
        seen[error.code().value[0]] += 1


def streaming(channel, seen):
    for _ in range(5):
        assert len(list(channel.unary_stream("/test.Calls/Stream")(b"200", timeout=60))) == 200
        seen[0] += 1


def collecting(channel, seen):
    for _ in range(5):
        assert channel.stream_unary("/test.Calls/Collect")(iter([b"message"] * 50), timeout=60) == b"50"
        seen[0] += 1


def echoing(channel, seen):
    """Each message is sent once the one before it has come back."""
    for _ in range(5):
        back = threading.Semaphore()

        def messages():
            for _ in range(20):
                back.acquire()
                yield b"message"

        for _ in channel.stream_stream("/test.Calls/Echo")(messages(), timeout=60):
            back.release()
        seen[0] += 1


def cancelled(channel, seen):
    for _ in range(3):
        endless = channel.unary_stream("/test.Calls/Stream")(b"forever")
        next(endless)
        endless.cancel()
        seen["cancelled"] += 1


def call(address, *kinds):
    seen = collections.Counter()
    every = [unary, streaming, collecting, echoing, cancelled]
    with grpc.insecure_channel(address) as channel:
        for kind in every:
            if not kinds or kind.__name__ in kinds:
                kind(channel, seen)
    for key, count in seen.items():
        print(key, count)
    print("answered", sum(count for key, count in seen.items() if key != "cancelled"))


{"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
