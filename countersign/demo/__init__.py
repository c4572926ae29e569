"""`countersign demo`: three notices from draft to audit, on this machine, with the real services."""
