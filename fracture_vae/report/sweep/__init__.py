"""What the runs of a sweep reached, side by side: a table, and the reconstruction against the KL divergence."""
