"""
HTTP/1.1 as values, with no sockets, clocks or reactors: heads, framing, paths
and the rules that decide which header may pass.
"""
