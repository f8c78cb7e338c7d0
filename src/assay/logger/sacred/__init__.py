"""Sacred: runs in MongoDB, where Omniboard shows them, or in files in the run folder."""
