"""What the measuring process and its server have to agree on."""

CONSTANT = "/benchmark/constant"
"""The path of the route whose answer is a constant."""
