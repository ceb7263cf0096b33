"""
A real Active Directory on one machine, and an application behind it that knows only Kerberos.

L{samba_dc} has what a domain controller of Samba's needs, L{apache} an Apache with mod_auth_gssapi;
L{accounts} says what the directory holds, as data, and C{populate.py} writes it. Who starts the
programs is another's business: the demo, or a test.
"""
