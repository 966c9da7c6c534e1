"""A server that writes down who comes, says one line and closes. IPv6 only.

usage: line_server.py ADDRESS PORT FILE
"""
import contextlib
import socket
import sys

with open(sys.argv[3], "w", buffering=1) as seen, \
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((sys.argv[1], int(sys.argv[2])))
    s.listen(512)
    while True:
        peer, who = s.accept()
        with peer, contextlib.suppress(ConnectionError):  # who is gone already
            seen.write(who[0] + "\n")
            peer.sendall(b"554 not here\r\n")
