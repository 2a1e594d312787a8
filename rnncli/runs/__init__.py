"""The files of a training run: checkpoints, guards, metrics and the lock, and how to find and list runs."""
