"""
The units under a real systemd, in a machine made for the purpose: C{make test-systemd}.
"""
