"""What is truly general."""
