"""
Addresses in headers, between the inside that an application knows and the
outside that its users see. Pure.
"""
