"""Messages of attackers, as data: C{README.md} says how they are written."""
