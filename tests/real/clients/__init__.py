"""Programs of clients that no one here wrote; each runs in a virtual environment of its own (requirements/clients.txt).

They read what they need to know from standard input, as JSON, and print what they saw.
"""
