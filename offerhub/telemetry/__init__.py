"""What the processes tell about themselves: structured logs with secrets taken out.

Never here: business rules, or I/O other than output.
"""
