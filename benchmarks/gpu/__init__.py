"""`python -m benchmarks.gpu`: is this project right on the GPU at hand, how fast, and what does it find, in under eight minutes."""
