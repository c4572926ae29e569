"""What the demo runs on: its policy, people and notices; and two executors to try and to copy."""
