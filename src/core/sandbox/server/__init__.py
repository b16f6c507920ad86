"""What puts the pretend world on the network."""
