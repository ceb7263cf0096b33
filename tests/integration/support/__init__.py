"""
Starts the daemons and what stands around them: each on free loopback ports, waited for until it
answers, ended by its own process id, its log attached to the test that failed.
"""
