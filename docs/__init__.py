"""The documents, and the one program that writes those of them that are made from code. Nothing imports this but its test."""
