"""What is on a page of a PDF: lines of text, fields, tables, pictures."""
