"""From a weight matrix to packed blocks: recipes, Algorithm 1 vectorised and in plain loops, golden vectors."""
