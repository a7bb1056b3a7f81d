"""`evaluate --all`: a file for each kind of number, and the page that shows them."""
