"""What is kept of a run: its recording, and the file about an error of this program."""
