"""
Everything at once on one machine: C{python -m appproxy.demo}.

Sample applications, a demo sign-in and the real daemons. No daemon imports
this folder, and no setting leads here.
"""
