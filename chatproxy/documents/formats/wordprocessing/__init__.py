"""WordprocessingML, the XML of Word (ECMA-376, part 1, chapter 17)."""
