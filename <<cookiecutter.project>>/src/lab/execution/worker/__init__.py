"""A worker of our own: experiments in a lasting checkout, each the same as DVC would make it."""
