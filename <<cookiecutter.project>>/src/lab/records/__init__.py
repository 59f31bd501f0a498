"""What came out: records read from git, and what is computed and drawn from them."""
