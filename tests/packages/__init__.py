"""What is installed elsewhere: the wheel and the npm package."""
