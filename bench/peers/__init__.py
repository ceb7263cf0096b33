"""
What else brings a client to an application behind two TLS hops.
"""
