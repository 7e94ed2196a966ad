"""What makes starting fast: everything here could be left out, and the program would say the same, later."""
