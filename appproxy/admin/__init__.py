"""
The admin socket: what the command C{appproxy} asks the edge, as JSON over a
Unix socket, on which the kernel says who is asking.
"""
