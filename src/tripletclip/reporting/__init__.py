"""Result files in, tables and one self-contained page out."""
