"""Pure data that every other folder shares: principals, applications, refusals, units."""
