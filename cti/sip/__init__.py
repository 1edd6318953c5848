"""A SIP library: pure protocol machines, and one file (transport.py) that touches sockets."""
