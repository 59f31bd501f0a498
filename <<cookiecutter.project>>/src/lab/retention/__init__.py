"""`lab gc`: what of DVC's cache and remote nothing needs any more, found, told and freed."""
