"""Display of results and progress on a terminal."""
