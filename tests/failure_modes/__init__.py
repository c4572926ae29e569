"""The failure modes of human control, each shown prevented (requirements, section 26)."""
