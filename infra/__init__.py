"""Infrastructure beside the code. What is Python here computes and checks it; none of it is installed."""
