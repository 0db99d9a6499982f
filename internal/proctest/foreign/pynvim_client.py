"""pynvim's MessagePack-RPC session against a node: pynvim_client.py HOST PORT OTHER."""
import sys

from pynvim.msgpack_rpc import tcp_session

PIPELINED = 1000


class MeshError(Exception):
    pass


host, port, other = sys.argv[1], int(sys.argv[2]), sys.argv[3]
session = tcp_session(host, port)  # greets as to Neovim, with a notification that no node knows
session.error_wrapper = MeshError
request = session.request


def same(got, want):
    if got != want:
        raise AssertionError("got %r, want %r" % (got, want))


def fails(code, *call):
    try:
        request(*call)
    except MeshError as error:
        same(error.args[0]["code"], code)
        assert request("mesh.Ping")["node"], "the connection lives on"
        return
    raise AssertionError("%r did not fail" % (call,))


def peer():
    same(request("mesh.Ping", {}, {"peer": other})["node"], other)


def owner():
    own = request("mesh.Ping")["node"]
    keys = ["key-%d" % i for i in range(50)]
    found = request("mesh.Owner", {"keys": keys, "n": 1})["owners"]
    one = next(o for o in found if o["owners"][0] != own)
    reply = request("mesh.Echo", {"data": b"hello"}, {"key": one["key"]})
    same((reply["node"], reply["data"]), (one["owners"][0], b"hello"))


def every_byte():
    data = bytes(range(256))
    same(request("mesh.Echo", {"data": data}, {"key": "bytes", "timeout_ms": 5000})["data"], data)


def pipelined():
    replies, inner = {}, session._async_session

    def take(i):
        def done(error, result):
            replies[i] = error or result["data"]
            if len(replies) == PIPELINED:
                session.stop()
        return done

    for i in range(PIPELINED):
        args = [{"data": b"%d" % i}, {"key": "key-%d" % i}]
        inner.request("mesh.Echo", args, take(i))
    inner.run(lambda *_: None, lambda *_: None)
    same(replies, {i: b"%d" % i for i in range(PIPELINED)})


def notification():
    def calls():
        return request("mesh.Stats")["counters"]["mprpc_calls"]

    before = calls()
    request("mesh.Echo", {"data": b"x"}, async_=True)
    same(calls(), before + 2)  # it, and the question


CASES = {
    "a peer by name": peer,
    "the owner of a key, through another node": owner,
    "every byte": every_byte,
    "an unknown method": lambda: fails("Unimplemented", "no.Such"),
    "an unknown option": lambda: fails("InvalidArgument", "mesh.Ping", {}, {"color": "red"}),
    "an unknown peer": lambda: fails("NotFound", "mesh.Ping", {}, {"peer": "nobody"}),
    "%d requests at once" % PIPELINED: pipelined,
    "a notification": notification,
}

failed = 0
for name, case in CASES.items():
    try:
        case()
        print("ok", name)
    except Exception as error:  # noqa: BLE001
        failed += 1
        print("FAIL %s: %s: %s" % (name, type(error).__name__, error))
print("%d passed, %d failed" % (len(CASES) - failed, failed))
sys.stdout.flush()
sys.exit(1 if failed else 0)
