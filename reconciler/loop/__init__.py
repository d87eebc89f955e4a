"""When to look: events only say "look again"; every pass compares everything."""
