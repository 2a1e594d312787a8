"""What a training run leaves on the disk: checkpoints, metrics, and how they are found again."""
