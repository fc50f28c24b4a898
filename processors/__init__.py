"""What to do about an event: one stateless processor per stage, and the ports through which it reaches services."""
