"""Published relief rates: the curated rows, their statistics, and the predictions that are held against them."""
