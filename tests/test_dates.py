"""What is made of one attempt's certificate must not colour the next one."""

import re
import threading

import peer
from peer import HEAD, Server, chunk


def test_N2_lost_network_after_an_expired_certificate(tstream, authority):
    """A stream, then an expired certificate (waits as 503: 5 s), then nobody
    listens: that is the network's row, the second such failure waits 500 ms."""
    fine = peer.tls_context(authority.server())
    expired = peer.tls_context(authority.server(days=(-9, -2)))
    streamed = threading.Event()

    def handle(connection):
        connection.request()
        connection.send(HEAD + chunk(b'{"text":"x"}\r\n') + b"0\r\n\r\n")
        streamed.set()
        server.context = expired  # for all connections that follow

    with Server(handle, fine) as server:
        p = tstream.start("-u", server.url(), "-d", "8")
        told = []
        for line in p.stderr:
            told += re.findall(r"next attempt in ([0-9.]+) s", line.decode())
            if len(told) == 2:
                break
    # nobody listens any more
    for line in p.stderr:
        told += re.findall(r"next attempt in ([0-9.]+) s", line.decode())
        if len(told) == 3:
            break
    p.terminate()
    p.communicate()
    assert streamed.is_set() and told == ["0.25", "5", "0.5"]
