"""`mpo show`: figures of an objective and one page that holds them."""
