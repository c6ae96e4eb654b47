#!/usr/bin/env python3
"""A real oslo.messaging peer for interoperability tests.

Run it with a Python that has oslo.messaging (any release from 14.0 on):

    oslo_peer.py version
    oslo_peer.py server  --url URL --topic T --server S [...]
    oslo_peer.py client  call|cast|fanout --url URL --topic T [...] METHOD ['{"json": "arguments"}']
    oslo_peer.py batch   --url URL            (one JSON command for each line of stdin)
    oslo_peer.py notify  --url URL --event-type E ['{"json": "payload"}'] [...]
    oslo_peer.py listen  --url URL --priority info [...]

Everything the peer has to say goes to stdout, one JSON object for each line;
logs go to stderr (``--debug`` for all of them).  ``server`` and ``listen``
print {"event": "ready"} when their queues exist, stop on SIGTERM or SIGINT,
and after ``--run-for`` seconds.

Options of [oslo_messaging_rabbit] and of any other group are set with
``--set name=value`` / ``--set group.name=value`` (DEFAULT.rpc_ping_enabled,
oslo_messaging_rabbit.rabbit_quorum_queue, ...).

The server has two endpoints: the null namespace at version 1.5 and the
namespace "peer.admin" (also answering to "peer.legacy") at version 2.3.
Methods, all with keyword arguments:

    echo(**kw)            -> {"args": kw}
    add(a, b)             -> a + b
    context()             -> the context as the server received it
    nothing()             -> null
    sleep(seconds)        -> seconds (waits first: timeouts, monitor pings)
    big(size)             -> a string of that many x
    fail(kind, ...)       raises; kind: value_error, key_error, type_error,
                          not_found, expected, unserializable, unicode, timeout
    whoami()              -> {"server": ..., "pid": ...}
    _private()            exists, but is not to be reached
    stats()               -> how many of each method were dispatched
"""
import os

os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
import argparse
import importlib
import json
import logging
import signal
import sys
import threading
import time
import warnings

warnings.simplefilter("ignore")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from oslo_config import cfg  # noqa: E402
import oslo_messaging as om  # noqa: E402
from oslo_messaging.rpc import dispatcher as om_dispatcher  # noqa: E402

import oslo_peer_exc  # noqa: E402

_print_lock = threading.Lock()


def say(**record):
    with _print_lock:
        print(json.dumps(record, default=repr), flush=True)


def versions():
    from importlib import metadata
    out = {"python": "%d.%d.%d" % sys.version_info[:3]}
    for name in ("oslo.messaging", "oslo.context", "oslo.serialization", "oslo.utils", "oslo.config",
                 "kombu", "amqp"):
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            out[name] = None
    return out


def make_conf(args):
    # The dispatcher reads rpc_ping_enabled from the global object, so use it.
    conf = cfg.CONF
    conf([], project="oslo_peer", default_config_files=[], default_config_dirs=[])
    url = args.url
    if args.exchange:
        om.set_transport_defaults(control_exchange=args.exchange)
    # Let the drivers register their options before any is overridden.
    from oslo_messaging._drivers import amqp as drv_amqp
    from oslo_messaging._drivers import impl_rabbit
    groups = {"oslo_messaging_rabbit": list(impl_rabbit.rabbit_opts) + list(drv_amqp.amqp_opts)}
    try:
        from oslo_messaging._drivers import base as drv_base
        groups["oslo_messaging_rabbit"] += drv_base.base_opts
    except AttributeError:
        pass
    for group, opts in groups.items():
        conf.register_opts(opts, group=group)
    from oslo_messaging.rpc import client as rpc_client
    conf.register_opts(rpc_client._client_opts)
    conf.register_opts(om_dispatcher._dispatcher_opts)
    from oslo_messaging.notify import notifier as om_notifier
    conf.register_opts(om_notifier._notifier_opts, group="oslo_messaging_notifications")
    for item in args.set or ():
        name, _, value = item.partition("=")
        group, _, name = name.rpartition(".")
        group = group or "oslo_messaging_rabbit"
        where = None if group == "DEFAULT" else group
        opt = conf._get_opt_info(name, where)["opt"]
        conf.set_override(name, opt.type(value), group=where)
    return conf, url


class ContextSerializer(om.NoOpSerializer):
    """As every service has it: a RequestContext travels as its dict."""

    def serialize_context(self, ctxt):
        return ctxt if isinstance(ctxt, dict) else ctxt.to_dict()


def make_context(args):
    values = json.loads(args.context) if args.context else {}
    if getattr(args, "request_context", False):
        from oslo_context import context
        return context.RequestContext(overwrite=False, **values)
    return values


class _Base:
    def __init__(self, name, quiet=False):
        self.name, self.counts, self.quiet = name, {}, quiet

    def _seen(self, method, ctxt, args):
        self.counts[method] = self.counts.get(method, 0) + 1
        if not self.quiet:
            say(event="dispatch", endpoint=type(self).__name__, server=self.name, method=method,
                args=args, context=ctxt)

    def echo(self, ctxt, **kw):
        self._seen("echo", ctxt, kw)
        return {"args": kw}

    def whoami(self, ctxt):
        self._seen("whoami", ctxt, {})
        return {"server": self.name, "pid": os.getpid(), "endpoint": type(self).__name__}


class NullEndpoint(_Base):
    target = om.Target(version="1.5")

    def add(self, ctxt, a, b):
        self._seen("add", ctxt, {"a": a, "b": b})
        return a + b

    def context(self, ctxt):
        self._seen("context", ctxt, {})
        return ctxt if isinstance(ctxt, dict) else ctxt.to_dict()

    def nothing(self, ctxt):
        self._seen("nothing", ctxt, {})

    def sleep(self, ctxt, seconds):
        self._seen("sleep", ctxt, {"seconds": seconds})
        time.sleep(seconds)
        return seconds

    def big(self, ctxt, size):
        self._seen("big", ctxt, {"size": size})
        return "x" * size

    def stats(self, ctxt):
        return dict(self.counts)

    def _private(self, ctxt):
        self._seen("_private", ctxt, {})
        return "reached"

    def fail(self, ctxt, kind, **kw):
        self._seen("fail", ctxt, dict(kw, kind=kind))
        if kind == "expected":
            return self._expected(kw)
        if kind == "value_error":
            raise ValueError(kw.get("message", "bad value"))
        if kind == "key_error":
            raise KeyError(kw.get("message", "missing"))
        if kind == "type_error":
            raise TypeError("wrong type", 42)
        if kind == "not_found":
            raise oslo_peer_exc.BackupNotFound(backup_id=kw.get("backup_id", "b-1"))
        if kind == "unserializable":
            raise oslo_peer_exc.PlainError("object inside", object(), {"set": [1, 2]}, 1.5, None)
        if kind == "unicode":
            raise ValueError("снимок ☃ 備份")
        if kind == "timeout":
            raise om.MessagingTimeout("inner call timed out")
        raise RuntimeError("no such kind of failure: %s" % kind)

    @om.expected_exceptions(oslo_peer_exc.PeerException)
    def _expected(self, kw):
        raise oslo_peer_exc.BackupNotFound(backup_id=kw.get("backup_id", "b-2"))


class AdminEndpoint(_Base):
    target = om.Target(namespace="peer.admin", version="2.3", legacy_namespaces=["peer.legacy"])

    def shutdown(self, ctxt, reason=None):
        self._seen("shutdown", ctxt, {"reason": reason})
        return "not really"


def wait_for_end(args):
    done = threading.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: done.set())
    done.wait(args.run_for)


def run_server(args):
    conf, url = make_conf(args)
    transport = om.get_rpc_transport(conf, url=url)
    target = om.Target(exchange=args.exchange, topic=args.topic, server=args.server)
    endpoints = [NullEndpoint(args.server, args.quiet), AdminEndpoint(args.server, args.quiet)]
    server = om.get_rpc_server(transport, target, endpoints, executor="threading",
                               serializer=ContextSerializer())
    server.start()
    # start() returns before the listener has declared its queues on some
    # releases; a listener object with an active connection has.
    say(event="ready", pid=os.getpid(), versions=versions())
    wait_for_end(args)
    server.stop()
    server.wait()
    transport.cleanup()
    say(event="stopped", counts={type(e).__name__: e.counts for e in endpoints})


def error_record(error, seconds):
    record = {"ok": False, "class": type(error).__name__, "module": type(error).__module__,
              "message": str(error), "seconds": round(seconds, 3)}
    if isinstance(error, om.RemoteError):
        record["remote"] = {"exc_type": error.exc_type, "value": error.value, "traceback": error.traceback}
    if getattr(error, "kwargs", None):
        record["kwargs"] = error.kwargs
    record["args"] = [a if isinstance(a, (str, int, float, type(None))) else repr(a) for a in error.args]
    return record


class Client:
    def __init__(self, args):
        self.args = args
        for name in args.allow_exmod or ():
            importlib.import_module(name)
        conf, url = make_conf(args)
        self.transport = om.get_rpc_transport(conf, url=url, allowed_remote_exmods=args.allow_exmod or [])

    def do(self, op, method, arguments, **over):
        a = dict(vars(self.args), **over)
        target = om.Target(exchange=a["exchange"], topic=a["topic"], server=a.get("to_server"),
                           namespace=a.get("namespace"), version=a.get("rpc_version"),
                           fanout=True if op == "fanout" else None)
        extra = {}
        if a.get("mandatory"):
            extra["transport_options"] = om.TransportOptions(at_least_once=True)
        make = getattr(om, "get_rpc_client", None) or om.RPCClient
        client = make(self.transport, target, timeout=a.get("timeout"), version_cap=a.get("version_cap"),
                      serializer=ContextSerializer(), retry=a.get("retry"),
                      call_monitor_timeout=a.get("monitor_timeout"), **extra)
        ctxt = over.get("context_object")
        if ctxt is None:
            ctxt = make_context(argparse.Namespace(**a))
        started = time.monotonic()
        try:
            if op == "call":
                result = client.call(ctxt, method, **arguments)
                return {"ok": True, "result": result, "seconds": round(time.monotonic() - started, 3)}
            client.cast(ctxt, method, **arguments)
            return {"ok": True, "seconds": round(time.monotonic() - started, 3)}
        except Exception as error:  # the point is to report whatever it is
            return error_record(error, time.monotonic() - started)


def run_client(args):
    client = Client(args)
    arguments = json.loads(args.arguments)
    worst = 0
    for n in range(args.count):
        record = client.do(args.op, args.method, arguments)
        say(event="result", n=n, op=args.op, method=args.method, **record)
        worst = worst or (0 if record["ok"] else 1)
        if args.interval and n + 1 < args.count:
            time.sleep(args.interval)
    if args.linger:
        time.sleep(args.linger)
    client.transport.cleanup()
    return worst


def run_batch(args):
    """Each line: {"op": "call|cast|fanout", "method": m, "args": {...}, and any
    client option by its name: topic, to_server, timeout, ...}.  {"op": "wait",
    "seconds": n} waits.  Ends at the end of stdin."""
    client = Client(args)
    say(event="ready", pid=os.getpid(), versions=versions())
    for line in sys.stdin:
        line = line.strip()
        if not line:
            continue
        command = json.loads(line)
        op = command.pop("op")
        if op == "wait":
            time.sleep(command["seconds"])
            say(event="result", op=op, ok=True)
            continue
        method, arguments = command.pop("method"), command.pop("args", {})
        if isinstance(command.get("context"), dict):
            command["context"] = json.dumps(command["context"])
        say(event="result", op=op, method=method, **client.do(op, method, arguments, **command))
    client.transport.cleanup()


def run_notify(args):
    conf, url = make_conf(args)
    transport = om.get_notification_transport(conf, url=url)
    notifier = om.Notifier(transport, publisher_id=args.publisher_id, driver=args.driver,
                           topics=args.topic.split(","), serializer=ContextSerializer(), retry=args.retry)
    payload = json.loads(args.payload)
    for n in range(args.count):
        getattr(notifier, args.priority)(make_context(args), args.event_type, payload)
        say(event="sent", n=n, priority=args.priority, event_type=args.event_type)
    transport.cleanup()


class NotificationEndpoint:
    def __init__(self, requeue_first, event_type):
        self.left = requeue_first
        if event_type:
            self.filter_rule = om.NotificationFilter(event_type=event_type)

    def take(self, priority, ctxt, publisher_id, event_type, payload, metadata):
        requeue = self.left > 0
        self.left -= requeue
        say(event="notification", priority=priority, context=ctxt, publisher_id=publisher_id,
            event_type=event_type, payload=payload, metadata=metadata, requeued=requeue)
        return om.NotificationResult.REQUEUE if requeue else om.NotificationResult.HANDLED


def run_listen(args):
    conf, url = make_conf(args)
    transport = om.get_notification_transport(conf, url=url)
    targets = [om.Target(exchange=args.exchange, topic=t) for t in args.topic.split(",")]
    endpoint = NotificationEndpoint(args.requeue_first, args.filter_event_type)
    for priority in args.priority.split(","):
        setattr(endpoint, priority, (lambda p: lambda *a: endpoint.take(p, *a))(priority))
    listener = om.get_notification_listener(transport, targets, [endpoint], executor="threading",
                                            pool=args.pool, allow_requeue=True,
                                            serializer=ContextSerializer())
    listener.start()
    say(event="ready", pid=os.getpid(), versions=versions())
    wait_for_end(args)
    listener.stop()
    listener.wait()
    transport.cleanup()
    say(event="stopped")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(dest="command", required=True)

    def common(p, topic):
        p.add_argument("--url", required=True, help="transport_url, rabbit://user:pass@host:port/vhost")
        p.add_argument("--exchange", default=None, help="control_exchange (default: openstack)")
        p.add_argument("--topic", default=topic)
        p.add_argument("--set", action="append", metavar="[GROUP.]NAME=VALUE")
        p.add_argument("--context", default=None, help="JSON dict of the request context")
        p.add_argument("--request-context", action="store_true",
                       help="make an oslo.context RequestContext of --context (its constructor's arguments)")
        p.add_argument("--debug", action="store_true")

    p = sub.add_parser("server", help="RPC server")
    common(p, "peer")
    p.add_argument("--server", default="peer-host")
    p.add_argument("--run-for", type=float, default=None)
    p.add_argument("--quiet", action="store_true")

    def client_options(p):
        p.add_argument("--to-server", default=None, help="direct the message at one server")
        p.add_argument("--namespace", default=None)
        p.add_argument("--rpc-version", default=None)
        p.add_argument("--version-cap", default=None)
        p.add_argument("--timeout", type=float, default=None)
        p.add_argument("--monitor-timeout", type=int, default=None)
        p.add_argument("--retry", type=int, default=None)
        p.add_argument("--mandatory", action="store_true", help="TransportOptions(at_least_once=True)")
        p.add_argument("--allow-exmod", action="append", metavar="MODULE")

    p = sub.add_parser("client", help="one RPC method, --count times")
    p.add_argument("op", choices=("call", "cast", "fanout"))
    common(p, "peer")
    client_options(p)
    p.add_argument("--count", type=int, default=1)
    p.add_argument("--interval", type=float, default=0)
    p.add_argument("--linger", type=float, default=0, help="keep the transport open that long at the end")
    p.add_argument("method")
    p.add_argument("arguments", nargs="?", default="{}")

    p = sub.add_parser("batch", help="RPC commands from stdin")
    common(p, "peer")
    client_options(p)

    p = sub.add_parser("notify", help="emit notifications")
    common(p, "notifications")
    p.add_argument("--publisher-id", default="peer.host1")
    p.add_argument("--driver", default="messagingv2")
    p.add_argument("--priority", default="info")
    p.add_argument("--event-type", default="peer.event")
    p.add_argument("--count", type=int, default=1)
    p.add_argument("--retry", type=int, default=None)
    p.add_argument("payload", nargs="?", default="{}")

    p = sub.add_parser("listen", help="notification listener")
    common(p, "notifications")
    p.add_argument("--priority", default="info", help="comma-separated")
    p.add_argument("--pool", default=None)
    p.add_argument("--requeue-first", type=int, default=0, help="requeue that many deliveries first")
    p.add_argument("--filter-event-type", default=None, help="regular expression")
    p.add_argument("--run-for", type=float, default=None)

    sub.add_parser("version")
    args = parser.parse_args()
    if args.command == "version":
        say(**versions())
        return 0
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG if args.debug else logging.WARNING,
                        format="%(asctime)s %(levelname)s %(name)s %(message)s")
    return {"server": run_server, "client": run_client, "batch": run_batch,
            "notify": run_notify, "listen": run_listen}[args.command](args) or 0


if __name__ == "__main__":
    sys.exit(main())
