"""The data faults that come with mpo, one file each."""
