"""
A real Active Directory, and an application that knows only Kerberos.

L{controller} starts a Samba domain controller on a loopback address of its own, L{application} Apache
with mod_auth_gssapi; L{relay} stands before a port of the controller and delays, or says nothing.
"""
