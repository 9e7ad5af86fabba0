"""The explanation: NumPy, float64, one equation a function."""
