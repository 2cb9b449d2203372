"""The command ``squall``, and the only doors to the terminal."""
