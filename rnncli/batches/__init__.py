"""From a text as ids to (T, B) windows of it."""
