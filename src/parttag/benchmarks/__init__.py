"""Tables of taggers: many rows and seeds, trained and evaluated alike, beside published numbers."""
