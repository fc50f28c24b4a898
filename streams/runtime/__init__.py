"""What happens to one record, from the broker to the broker."""
