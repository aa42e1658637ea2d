"""What is particular to some owners: other forms of their names, and visitors."""
