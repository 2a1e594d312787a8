"""What the rest asks of the machine: cores, BLAS, memory, durable files, signals, random streams, timing."""
