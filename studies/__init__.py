"""What is asked of the model: case files, runs, sweeps, comparison with clinical data, and the command line."""
