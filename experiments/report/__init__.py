"""The report of `compare`: one file for each question, and the page that shows them."""
