"""What may differ from the world that was learnt in, one thing at a time, untold."""
