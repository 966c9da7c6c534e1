"""A server that says one line to whoever comes, and closes. IPv6 only."""
import socket
import sys

with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((sys.argv[1], int(sys.argv[2])))
    s.listen(512)
    while True:
        peer, _ = s.accept()
        with peer:
            peer.sendall(b"554 not here\r\n")
