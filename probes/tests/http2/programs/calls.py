"""gRPC without generated code: `calls.py serve PORT`, or `calls.py call PORT`, which says what it saw."""

import collections
import sys
import threading
from concurrent import futures

import grpc


def end(request, context):
    """Ends as the request says: a code's number."""
    code = next(code for code in grpc.StatusCode if code.value[0] == int(request))
    if code is not grpc.StatusCode.OK:
        context.abort(code, "as you say")
    return b"ok"


def stream(request, context):
    """As many messages as the request says; `forever` waits until the client leaves."""
    if request == b"forever":
        yield b"first"
        left = threading.Event()
        context.add_callback(left.set)
        left.wait(30)
        return
    for _ in range(int(request)):
        yield b"message"


def collect(requests, context):
    return str(sum(1 for _ in requests)).encode()


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    handlers = {
        "End": grpc.unary_unary_rpc_method_handler(end),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
        "Collect": grpc.stream_unary_rpc_method_handler(collect),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Calls", handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def call(port):
    seen = collections.Counter()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        unary = channel.unary_unary("/test.Calls/End")
        for code in list(range(17)) * 10 + [0] * 100:
            try:
                unary(str(code).encode(), timeout=60)
                seen[0] += 1
            except grpc.RpcError as error:
                seen[error.code().value[0]] += 1
        streaming = channel.unary_stream("/test.Calls/Stream")
        for _ in range(5):
            assert len(list(streaming(b"200", timeout=60))) == 200
            seen[0] += 1
        collecting = channel.stream_unary("/test.Calls/Collect")
        for _ in range(5):
            assert collecting(iter([b"message"] * 50), timeout=60) == b"50"
            seen[0] += 1
        for _ in range(3):
            endless = streaming(b"forever")
            next(endless)
            endless.cancel()
            seen["cancelled"] += 1
        try:
            channel.unary_unary("/test.Calls/Missing")(b"", timeout=60)
        except grpc.RpcError as error:
            seen[error.code().value[0]] += 1
    for key, count in seen.items():
        print(key, count)


{"serve": serve, "call": call}[sys.argv[1]](int(sys.argv[2]))
