"""How text says what a page shows by place and size: raised and lowered text, fractions, tables."""
