"""The rules of the compiled loops, written plainly with NumPy: the tests compare the two."""
