"""Looking up users' accounts, groups and services in Active Directory."""
