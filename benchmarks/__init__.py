"""What Headwater costs and how fast it is, measured on one machine within one run."""
