"""Cut a text of ids into (T, B) windows."""
