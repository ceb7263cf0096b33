"""Sign-in at an OpenID Connect provider, sign-out, and their pages."""
