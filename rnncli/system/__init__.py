"""The machine and the operating system: threads, BLAS, memory, durable files, signals, random streams, timing."""
