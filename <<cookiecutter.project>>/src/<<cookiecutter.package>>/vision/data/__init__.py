"""What the prepare stage is made of: sources, splits, checks, the picture. Later stages use vision.layout alone."""
